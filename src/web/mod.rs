//! The dashboard's files, embedded as they are: no build step. It reaches the cluster as any other page would, over REST.

use crate::hex::hex;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// One file.
pub struct Asset {
    pub name: &'static str,
    /// Its media type.
    pub kind: &'static str,
    pub text: &'static str,
}

/// What stands for the files' common digest in the page: their folder has a name of its own in every version.
const PLACE: &str = "{version}";
/// What stands for links to all modules, so that they come at once and not one after the other.
const MODULES: &str = "{modules}";
/// It is no module.
const BOOT: &str = "boot.js";
/// Of a digest, in an address.
const DIGITS: usize = 12;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal $kind:ident)*) => {
        &[$(Asset { name: $name, kind: $kind, text: include_str!($name) }),*]
    };
}

const INDEX: &str = include_str!("index.html");

/// All but the page itself. A test holds this to the folder.
const ASSETS: &[Asset] = assets![
    "action.js" SCRIPT
    "answer.js" SCRIPT
    "api.js" SCRIPT
    "app.js" SCRIPT
    "base.css" STYLE
    "boot.js" SCRIPT
    "build.js" SCRIPT
    "deploy.js" SCRIPT
    "dialog.js" SCRIPT
    "dom.js" SCRIPT
    "drop.js" SCRIPT
    "events.js" SCRIPT
    "format.js" SCRIPT
    "function.js" SCRIPT
    "functions.js" SCRIPT
    "graph.js" SCRIPT
    "history.js" SCRIPT
    "icon.svg" PICTURE
    "instances.js" SCRIPT
    "invoke.js" SCRIPT
    "layout.js" SCRIPT
    "lists.js" SCRIPT
    "live.js" SCRIPT
    "logs.js" SCRIPT
    "meter.js" SCRIPT
    "node.js" SCRIPT
    "nodes.js" SCRIPT
    "overview.js" SCRIPT
    "pages.css" STYLE
    "parts.css" STYLE
    "pipeline.js" SCRIPT
    "pipelines.js" SCRIPT
    "revisions.js" SCRIPT
    "router.js" SCRIPT
    "settings.js" SCRIPT
    "signin.js" SCRIPT
    "source.js" SCRIPT
    "spec.js" SCRIPT
    "status.js" SCRIPT
    "stream.js" SCRIPT
    "table.js" SCRIPT
    "tabs.js" SCRIPT
    "task.js" SCRIPT
    "tasks.js" SCRIPT
    "tokens.js" SCRIPT
    "told.js" SCRIPT
    "top.js" SCRIPT
    "windows.js" SCRIPT
    "zip.js" SCRIPT
];

static VERSION: OnceLock<String> = OnceLock::new();
static PAGE: OnceLock<String> = OnceLock::new();

/// The digest of all files, as addresses have it.
pub fn version() -> &'static str {
    VERSION.get_or_init(|| {
        let mut digest = Sha256::new();
        digest.update(INDEX);
        for asset in ASSETS {
            digest.update(asset.name);
            digest.update(asset.text);
        }
        let mut digits = hex(digest.finalize());
        digits.truncate(DIGITS);
        digits
    })
}

/// The page, which names the others.
pub fn page() -> &'static str {
    PAGE.get_or_init(|| {
        let modules = ASSETS.iter().filter(|asset| asset.kind == SCRIPT && asset.name != BOOT);
        let links = modules.map(|one| format!("<link rel=\"modulepreload\" href=\"/web/{PLACE}/{}\">\n", one.name));
        INDEX.replace(MODULES, links.collect::<String>().trim_end()).replace(PLACE, version())
    })
}

/// A file by its name.
pub fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// What all of it may take.
    const BYTES_MAX: usize = 150 << 10;
    /// A module has one noun; more than this is several.
    const LINES_MAX: usize = 260;

    fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS.iter().map(|asset| (asset.name, asset.text)).chain([("index.html", INDEX)])
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let there = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> = there.filter(|name| name != "mod.rs").collect();
        let served: BTreeSet<String> = all().map(|(name, _)| name.to_string()).collect();
        assert_eq!(there, served);
        let bytes: usize = all().map(|(_, text)| text.len()).sum();
        assert!(bytes < BYTES_MAX, "{bytes} bytes");
        let long: Vec<_> = all().filter(|(_, text)| text.lines().count() > LINES_MAX).map(|(name, _)| name).collect();
        assert!(long.is_empty(), "{long:?}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_text_becomes_html() {
        let never = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            " style=\"",
            " onclick=",
        ];
        for (name, text) in all() {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in never.iter().chain(&["http://", "https://"]) {
                assert!(!text.contains(word), "{name}: {word}");
            }
            assert!(
                name == "index.html" || name.ends_with(".svg") || text.starts_with("/*") || text.starts_with("//"),
                "{name}: does not begin with what it is"
            );
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for (name, text) in all().filter(|(name, _)| name.ends_with(".js")) {
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split('\'').nth(1).unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(find(from.strip_prefix("./").unwrap()).is_some(), "{name}: {line}");
            }
        }
        for part in page().split(['"']).filter_map(|part| part.strip_prefix("/web/")) {
            let file = part.strip_prefix(version()).and_then(|rest| rest.strip_prefix('/')).unwrap();
            assert!(find(file).is_some(), "{part}");
        }
    }
}
