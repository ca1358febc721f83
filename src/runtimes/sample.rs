//! The program that the starter of static-binary brings, made here so that it needs no compiler: it greets and says
//! what stdin said. Its source in C stands beside it in the starter.

const TEXT: &[u8; 18] = b"Hello! You sent: \n";
/// Where programs begin in memory; after the two headers, so that the file is mapped as it is.
const ADDRESS: u64 = 0x40_0000;
const ELF_HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;

/// Room on the stack; write TEXT but for its last byte; then read to there and write, until nothing is read; write the
/// last byte; exit with 0. TEXT follows the code.
#[cfg(target_arch = "x86_64")]
const CODE: (u16, &[u8]) = (
    62,
    &[
        0x48, 0x81, 0xec, 0x00, 0x10, 0x00, 0x00, // sub rsp, 4096
        0x48, 0x8d, 0x35, 0x46, 0x00, 0x00, 0x00, // lea rsi, [TEXT]
        0xba, 0x11, 0x00, 0x00, 0x00, // mov edx, 17
        0xb8, 0x01, 0x00, 0x00, 0x00, 0xbf, 0x01, 0x00, 0x00, 0x00, 0x0f, 0x05, // again: write(1, rsi, edx)
        0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6, 0xba, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x05, // read(0, rsp, 4096)
        0x89, 0xc2, 0x85, 0xc0, 0x7f, 0xe0, // mov edx, eax; jg again
        0xb8, 0x01, 0x00, 0x00, 0x00, 0xbf, 0x01, 0x00, 0x00, 0x00, // write(1, TEXT + 17, 1)
        0x48, 0x8d, 0x35, 0x21, 0x00, 0x00, 0x00, 0xba, 0x01, 0x00, 0x00, 0x00, 0x0f, 0x05, //
        0xb8, 0x3c, 0x00, 0x00, 0x00, 0x31, 0xff, 0x0f, 0x05, // exit(0)
    ],
);
#[cfg(target_arch = "aarch64")]
const CODE: (u16, &[u8]) = (
    183,
    &[
        0xff, 0x07, 0x40, 0xd1, // sub sp, sp, 4096
        0xa1, 0x02, 0x00, 0x10, 0x22, 0x02, 0x80, 0xd2, // adr x1, TEXT; mov x2, 17
        0x20, 0x00, 0x80, 0xd2, 0x08, 0x08, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // again: write(1, x1, x2)
        0x00, 0x00, 0x80, 0xd2, 0xe1, 0x03, 0x00, 0x91, 0x02, 0x00, 0x82, 0xd2, // read(0, sp, 4096)
        0xe8, 0x07, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, //
        0xe2, 0x03, 0x00, 0xaa, 0x1f, 0x00, 0x00, 0xf1, 0xcc, 0xfe, 0xff, 0x54, // mov x2, x0; b.gt again
        0x20, 0x00, 0x80, 0xd2, 0x61, 0x01, 0x00, 0x30, 0x22, 0x00, 0x80, 0xd2, // write(1, TEXT + 17, 1)
        0x08, 0x08, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, //
        0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // exit(0)
    ],
);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CODE: (u16, &[u8]) = (0, &[]);

/// The program as a file; `None` where there is none for this kind of processor.
pub fn program() -> Option<Vec<u8>> {
    let (machine, code) = CODE;
    if code.is_empty() || !cfg!(target_os = "linux") {
        return None;
    }
    let before = u64::from(ELF_HEADER + PROGRAM_HEADER);
    let size = before + (code.len() + TEXT.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(); // 64 bits, little endian
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    put(&2u16.to_le_bytes()); // a program
    put(&machine.to_le_bytes());
    put(&1u32.to_le_bytes());
    put(&(ADDRESS + before).to_le_bytes()); // where it begins
    put(&u64::from(ELF_HEADER).to_le_bytes()); // where the program header stands
    put(&[0; 12]); // no sections, no flags
    put(&ELF_HEADER.to_le_bytes());
    put(&PROGRAM_HEADER.to_le_bytes());
    put(&1u16.to_le_bytes());
    put(&[0; 6]);
    put(&1u32.to_le_bytes()); // to be loaded
    put(&5u32.to_le_bytes()); // read and executed
    for number in [0, ADDRESS, ADDRESS, size, size, 0x1_0000] {
        put(&number.to_le_bytes());
    }
    put(code);
    put(TEXT);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    #[test]
    fn it_runs_here_and_answers() {
        let Some(program) = program() else { return };
        assert!(program.len() < 512);
        let scratch = Scratch::new();
        let path = scratch.0.join("main");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // Another test's fork may hold it open for writing for a moment.
        let start = || Command::new(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = loop {
            match start() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                child => break child.unwrap(),
            }
        };
        let sent = "x".repeat(10_000);
        child.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("Hello! You sent: {sent}\n"));
    }
}
