//! The catalog: what is in it, what is found in folders, and what an operator adds.

use super::*;
use crate::data_dir::tests::Scratch;
use crate::types::Mode;

fn catalog() -> Catalog {
    Catalog::load(&[]).unwrap()
}

fn folder(scratch: &Scratch, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = scratch.0.join(name);
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn six_runtimes_are_in_the_program_and_their_starters_are_detected() {
    let catalog = catalog();
    let names: Vec<&str> = catalog.names().collect();
    assert_eq!(names, ["go", "nodejs", "python-flask", "rust", "shell", "static-binary"]);
    let scratch = Scratch::new();
    for runtime in catalog.iter() {
        assert!(!runtime.description.is_empty() && !runtime.start.is_empty(), "{}", runtime.name);
        assert!(runtime.base.is_some() && runtime.dockerfile().contains("\nFROM ${BASE}"), "{}", runtime.name);
        assert!(runtime.dockerfile().contains("USER 65532:65532"), "{}: as root", runtime.name);
        assert_eq!(runtime.dockerfile().contains("\nEXPOSE 8080"), runtime.mode == Mode::Http, "{}", runtime.name);
        let dir = scratch.0.join(&runtime.name);
        fs::create_dir(&dir).unwrap();
        for (path, file) in runtime.starter() {
            write(&dir, path, file).unwrap();
            assert!(file.bytes.len() < 1024, "{path} of {} is not tiny", runtime.name);
        }
        if runtime.name != "static-binary" || sample::program().is_some() {
            assert_eq!(catalog.detect(&dir).map(|found| &found.name), Ok(&runtime.name));
        }
    }
    assert_eq!(catalog.get("python-flask").unwrap().base.as_deref(), Some("python:3.13-slim"));
    assert_eq!(catalog.get("static-binary").unwrap().base.as_deref(), Some("scratch"));
}

#[test]
fn a_folder_is_told_by_function_json_its_files_or_its_one_program() {
    let (catalog, scratch) = (catalog(), Scratch::new());
    let told = |dir: &Path| catalog.detect(dir).map(|runtime| runtime.name.clone()).map_err(|error| error.to_string());
    let named = folder(&scratch, "named", &[("function.json", r#"{"runtime":"shell"}"#), ("app.py", "")]);
    assert_eq!(told(&named).as_deref(), Ok("shell"));
    let unknown = folder(&scratch, "unknown", &[("function.json", r#"{"runtime":"cobol"}"#)]);
    let text = told(&unknown).unwrap_err();
    assert!(text.contains("'cobol'") && text.contains("python-flask") && text.contains("--runtimes"), "{text}");
    let wrong = folder(&scratch, "wrong", &[("function.json", r#"{"rumtime":"go"}"#)]);
    assert!(told(&wrong).unwrap_err().contains("rumtime"));

    let both = folder(&scratch, "both", &[("app.py", ""), ("package.json", "{}")]);
    let text = told(&both).unwrap_err();
    assert!(text.contains("nodejs or python-flask") && text.contains("function.json"), "{text}");
    let nothing = folder(&scratch, "nothing", &[("README", "")]);
    let text = told(&nothing).unwrap_err();
    for part in ["Dockerfile", "app.py (python-flask)", "one program (static-binary)", "main.sh (shell)", "\"runtime\""]
    {
        assert!(text.contains(part), "no {part} in: {text}");
    }
    assert!(told(&scratch.0.join("gone")).unwrap_err().contains("cannot read"));

    let elf = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0";
    let one = folder(&scratch, "one", &[("hello", elf), ("README", ""), ("lib.so", elf)]);
    assert_eq!(told(&one).as_deref(), Ok("static-binary"));
    let runtime = catalog.get("static-binary").unwrap();
    runtime.dress(&one).unwrap();
    assert!(one.join("main").is_file() && !one.join("hello").exists() && one.join(FOLDER).is_dir());
    fs::write(one.join("other"), elf).unwrap();
    assert_eq!(told(&one).as_deref(), Ok("static-binary"), "main goes before others");
    fs::rename(one.join("main"), one.join("third")).unwrap();
    assert!(told(&one).is_err());
    let script = folder(&scratch, "script", &[("main.sh", ""), ("tool", elf)]);
    assert_eq!(told(&script).as_deref(), Ok("shell"));
}

#[test]
fn a_folder_without_what_its_runtime_needs_is_refused() {
    let (catalog, scratch) = (catalog(), Scratch::new());
    let elf = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0";
    for (runtime, files, said) in [
        (
            "python-flask",
            &[("main.py", "x")][..],
            "the folder has no app.py or app, which the runtime python-flask needs: add app.py",
        ),
        (
            "python-flask",
            &[("app.py", "")],
            "app.py is empty, which the runtime python-flask needs: write something into app.py",
        ),
        ("python-flask", &[("app.py", "x")], ""),
        ("python-flask", &[("app/__init__.py", "")], ""),
        ("nodejs", &[("index.js", "x")], "no package.json"),
        ("go", &[("go.mod", "x"), ("cmd/main.go", "x")], "no *.go"),
        ("go", &[("go.mod", "x"), ("a.go", "x")], ""),
        ("rust", &[("src/main.rs", "x")], "no Cargo.toml"),
        ("shell", &[("run.sh", "x")], "no main.sh"),
        ("static-binary", &[("main", "no program")], "no program that was built for Linux"),
        ("static-binary", &[("it", elf)], ""),
    ] {
        let dir = folder(&scratch, &format!("{runtime}-{}", said.len()), files);
        let told = catalog.get(runtime).unwrap().has_all(&dir).map_err(|missing| missing.to_string());
        match said {
            "" => assert_eq!(told, Ok(()), "{files:?}"),
            said => assert!(told.as_ref().is_err_and(|text| text.contains(said)), "{files:?}: {told:?}"),
        }
        fs::remove_dir_all(dir).unwrap();
    }
    for runtime in catalog.iter() {
        assert!(!runtime.needs.is_empty(), "{}", runtime.name);
    }
}

#[test]
fn a_folder_is_dressed_with_the_runtimes_own_files() {
    let (catalog, scratch) = (catalog(), Scratch::new());
    let dir = folder(&scratch, "f", &[("app.py", ""), (".cares/serve.py", "mine"), (".cares/more", "")]);
    let runtime = catalog.get("python-flask").unwrap();
    for _ in 0..2 {
        runtime.dress(&dir).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.join(FOLDER)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["build.py", "serve.py"]);
        assert!(fs::read_to_string(dir.join(".cares/serve.py")).unwrap().contains("gunicorn"));
    }
}

#[test]
fn an_operator_adds_and_replaces_runtimes() {
    let scratch = Scratch::new();
    let dir = folder(
        &scratch,
        "own",
        &[
            ("ruby/Dockerfile", "FROM ruby\n"),
            ("ruby/runtime.json", r#"{"detect":["main.rb"],"mode":"http"}"#),
            ("ruby/starter/lib/main.rb", "puts 1"),
            ("plain/Dockerfile", "FROM x\n"),
            ("shell/Dockerfile", "ARG BASE=debian\nFROM ${BASE}\n"),
            ("README", "not a runtime"),
        ],
    );
    let own = Catalog::load(&[scratch.0.join("gone"), dir.clone()]).unwrap();
    assert_eq!(own.names().count(), 8);
    let ruby = own.get("ruby").unwrap();
    assert_eq!((ruby.mode, ruby.base.as_deref()), (Mode::Http, None));
    assert_eq!(ruby.starter().map(|(path, _)| path).collect::<Vec<_>>(), ["lib/main.rb"]);
    assert_eq!(own.get("shell").unwrap().base.as_deref(), Some("debian"));
    assert_eq!(own.get("plain").unwrap().mode, Mode::Auto);
    let digest = ruby.digest();
    assert_eq!(digest, Runtime::new("ruby", ruby.files().to_vec()).unwrap().digest());
    fs::write(dir.join("ruby/starter/lib/main.rb"), "puts 2").unwrap();
    let again = Catalog::load(std::slice::from_ref(&dir)).unwrap();
    assert_ne!(again.get("ruby").unwrap().digest(), digest);

    fs::write(dir.join("ruby/runtime.json"), r#"{"detct":[]}"#).unwrap();
    let text = Catalog::load(std::slice::from_ref(&dir)).unwrap_err().to_string();
    assert!(text.contains("own/ruby") && text.contains("runtime.json") && text.contains("detct"), "{text}");
    for path in ["../x", "/x", ""] {
        fs::write(dir.join("ruby/runtime.json"), format!(r#"{{"cache":["{path}"]}}"#)).unwrap();
        let text = Catalog::load(std::slice::from_ref(&dir)).unwrap_err().to_string();
        assert!(text.contains("`cache`") && text.contains(&format!("'{path}'")), "{text}");
    }
    fs::remove_file(dir.join("ruby/runtime.json")).unwrap();
    fs::remove_file(dir.join("ruby/Dockerfile")).unwrap();
    let text = Catalog::load(&[dir]).unwrap_err().to_string();
    assert!(text.contains("own/ruby") && text.contains("no Dockerfile"), "{text}");
}
