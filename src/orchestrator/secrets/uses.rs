//! Which secrets a function says it uses, between JSON and the core: checked here, once. Must never see a value.

use crate::cluster::Secrets;
use crate::orchestrator::spec::{Invalid, invalid};
use crate::{names, types, wire};
use std::collections::BTreeMap;

/// Where containers have the files; a file may be named with it.
const FOLDER: &str = "/run/secrets/";
const FILE_BYTES: usize = 128;
const VARIABLE_BYTES: usize = 256;

/// Checks names against each other and against the function's plain variables.
pub fn read(given: types::Secrets, env: &BTreeMap<String, String>) -> Result<Secrets, Invalid> {
    if given.env.len() + given.files.len() > wire::SECRETS_MAX {
        return invalid("secrets", format!("a function is given at most {}", wire::SECRETS_MAX));
    }
    for (variable, secret) in &given.env {
        check("secrets.env", variable, secret)?;
        if variable.is_empty() || variable.len() > VARIABLE_BYTES || variable.contains(['=', '\0']) {
            return invalid(
                "secrets.env",
                format!("a variable's name has 1 to {VARIABLE_BYTES} bytes, no '=' and no NUL"),
            );
        }
        if variable == "PORT" {
            return invalid("secrets.env", "PORT is the port the function serves on: choose another name");
        }
        if env.contains_key(variable) {
            return invalid("secrets.env", format!("{variable} stands in env too: leave one out"));
        }
    }
    let mut files = BTreeMap::new();
    for (path, secret) in given.files {
        check("secrets.files", &path, &secret)?;
        let name = path.strip_prefix(FOLDER).unwrap_or(&path);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.len() > FILE_BYTES || name.starts_with('.') || !name.bytes().all(plain) {
            let why = format!(
                "a file is named by 1 to {FILE_BYTES} letters, digits, '.', '_' or '-', the first no '.', or by \
                 {FOLDER} and such a name"
            );
            return invalid("secrets.files", why);
        }
        let name = name.to_string();
        if files.contains_key(&name) {
            return invalid("secrets.files", format!("{name} is named twice"));
        }
        files.insert(name, secret);
    }
    Ok(Secrets { env: given.env, files })
}

fn check(field: &'static str, given: &str, secret: &str) -> Result<(), Invalid> {
    let shown: String = given.chars().take(80).collect();
    names::check_name(secret).or_else(|why| invalid(field, format!("the secret of {shown:?}: {why}")))
}

/// Their JSON shape.
pub fn shown(secrets: &Secrets) -> types::Secrets {
    types::Secrets { env: secrets.env.clone(), files: secrets.files.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn names_are_checked_and_files_lie_in_one_folder() {
        let read = |env: &[_], files: &[_]| {
            read(types::Secrets { env: pairs(env), files: pairs(files) }, &pairs(&[("PLAIN", "x")]))
        };
        let good = read(&[("A", "one")], &[("/run/secrets/b.pem", "two"), ("c", "two")]).expect("valid");
        assert_eq!((good.env, good.files), (pairs(&[("A", "one")]), pairs(&[("b.pem", "two"), ("c", "two")])));
        let long = "x".repeat(300);
        for bad in ["", "A=B", "A\0", "PORT", "PLAIN", &long] {
            assert_eq!(read(&[(bad, "one")], &[]).expect_err(bad).field, "secrets.env");
        }
        for bad in ["", "..", ".hidden", "a/b", "/etc/passwd", "/run/secrets/", "/run/secrets/../x", "a b", "é", "a\0"]
        {
            assert_eq!(read(&[], &[(bad, "one")]).expect_err(bad).field, "secrets.files");
        }
        assert_eq!(read(&[], &[("a", "one"), ("/run/secrets/a", "one")]).expect_err("twice").field, "secrets.files");
        for bad in ["", "No", "a/b", "../x", "a\nb"] {
            assert!(read(&[("A", bad)], &[]).is_err() && read(&[], &[("a", bad)]).is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..=wire::SECRETS_MAX).map(|n| format!("V{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "one")).collect();
        assert_eq!(read(&many, &[]).expect_err("too many").field, "secrets");
    }
}
