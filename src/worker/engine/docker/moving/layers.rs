//! An image's layers by what they are called: by their own content, by all they stand on, and in the archives of engines.
//! Must never call two different ones the same.

use crate::hex::hex;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};

/// What stands for a layer together with all below it: `sha256:` and hex digits.
pub type Chain = String;

/// Of each layer, from the lowest up. `layers`: their own digests.
pub fn chains(layers: &[String]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::with_capacity(layers.len());
    for layer in layers {
        chains.push(match chains.last() {
            None => layer.clone(),
            Some(below) => digest(format!("{below} {layer}").as_bytes()),
        });
    }
    chains
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(Sha256::digest(bytes)))
}

/// The layers of an image that somebody has already.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    chains: Vec<Chain>,
    /// Their own, without `sha256:`.
    digests: HashSet<String>,
}

impl LeftOut {
    /// Of an image's layers those at the bottom that are in `has`. One that occurs further up once more is sent, for
    /// archives hold such a layer once.
    pub fn new(layers: &[String], has: &HashSet<Chain>) -> LeftOut {
        let mut chains = chains(layers);
        let mut count = chains.iter().take_while(|chain| has.contains(*chain)).count();
        while let Some(at) = layers[..count].iter().position(|layer| layers[count..].contains(layer)) {
            count = at;
        }
        chains.truncate(count);
        let own = |layer: &String| layer.strip_prefix("sha256:").map(str::to_string);
        LeftOut { chains, digests: layers[..count].iter().filter_map(own).collect() }
    }

    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether a blob of this name, as engines of 25 and later give it, is one of them.
    pub fn is_blob(&self, hex: &str) -> bool {
        self.digests.contains(hex)
    }

    /// Whether the folder of this name, as engines before give it, has one of them. The name is made of what `json`, which
    /// is in it, says, and of the layers: the right one gives the name again.
    pub fn is_folder(&self, name: &str, json: &[u8]) -> bool {
        !self.chains.is_empty() && ids(json, &self.chains).is_some_and(|mut ids| ids.any(|id| id == name))
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    parent: Option<String>,
}

/// What a folder with this description would be called if it had each of these layers.
fn ids<'a>(json: &'a [u8], chains: &'a [Chain]) -> Option<impl Iterator<Item = String> + 'a> {
    let head: Head = serde_json::from_slice(json).ok()?;
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(json).ok()?;
    fields.remove("id");
    fields.remove("parent");
    // The system was noted after the name had been made, but for the topmost layer.
    let mut bare = fields.clone();
    bare.remove("os");
    let id = move |fields: &BTreeMap<String, &RawValue>, chain: &Chain| {
        let raw = |text: &str| serde_json::value::to_raw_value(text).ok();
        let (layer, parent) = (raw(chain)?, head.parent.as_ref().map(|id| raw(&format!("sha256:{id}"))));
        let mut fields = fields.clone();
        fields.insert("layer_id".into(), &layer);
        let parent = match parent {
            Some(parent) => Some(parent?),
            None => None,
        };
        if let Some(parent) = &parent {
            fields.insert("parent".into(), parent);
        }
        Some(hex(Sha256::digest(serde_json::to_vec(&fields).ok()?)))
    };
    Some(chains.iter().flat_map(move |chain| [id(&fields, chain), id(&bare, chain)]).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| digest(name.as_bytes())).collect()
    }

    #[test]
    fn only_what_stands_on_the_same_is_left_out() {
        let image = layers(&["a", "b", "c"]);
        let all = chains(&image);
        assert_eq!(all[0], image[0]);
        assert_eq!(all[1], digest(format!("{} {}", image[0], image[1]).as_bytes()));
        let left = |image: &[String], has: &[&Chain]| LeftOut::new(image, &has.iter().map(|c| c.to_string()).collect());
        assert_eq!(left(&image, &[&all[0], &all[1]]).len(), 2);
        assert_eq!(left(&image, &[&all[1], &all[2]]).len(), 0, "the lowest is not there");
        assert_eq!(left(&image, &[&all[0], &image[1]]).len(), 1, "the same layer on another");
        let part = left(&image, &[&all[0]]);
        assert!(part.is_blob(&image[0][7..]) && !part.is_blob(&image[1][7..]));
        let twice = layers(&["a", "e", "b", "e"]);
        let has = chains(&twice);
        assert_eq!(left(&twice, &[&has[0], &has[1], &has[2]]).len(), 1, "the archive has `e` once");
        assert_eq!(left(&twice, &has.iter().collect::<Vec<_>>()).len(), 4);
        let first = layers(&["e", "a", "e"]);
        assert_eq!(left(&first, &[&chains(&first)[0], &chains(&first)[1]]).len(), 0);
    }

    #[test]
    fn folders_of_older_engines_are_recognised() {
        // As engine 20.10 wrote them for an image of two layers.
        let image = [
            "sha256:22281d94ed4f667114541662cade4458c5e7fdf2b1e383052ca2b8b8ff57db38".to_string(),
            "sha256:277147e6ad89c41a1230e6ebb23f1bc014ba20bd33c232903def269e50902f84".to_string(),
        ];
        let name = "e984c3d82d14076db99c7ac6aa5995bbb8c2e880d61ee812f80a28f9bf03c5e9";
        let json = r#"{"id":"e984c3d82d14076db99c7ac6aa5995bbb8c2e880d61ee812f80a28f9bf03c5e9","created":"1970-01-01T00:00:00Z","container_config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"os":"linux"}"#;
        let has = |chain: &str| LeftOut::new(&image, &HashSet::from([chain.to_string()]));
        assert!(has(&image[0]).is_folder(name, json.as_bytes()));
        assert!(!has(&image[1]).is_folder(name, json.as_bytes()));
        assert!(!has(&image[0]).is_folder(&name.replace('e', "f"), json.as_bytes()));
        assert!(!has(&image[0]).is_folder(name, b"{"));
    }
}
