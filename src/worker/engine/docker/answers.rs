//! What engines from 20.10 to 29 answer, as far as we read it: every field may be missing, null or have company. Must
//! never fail for what it does not need.

use super::super::Port;
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, HashMap};

/// Null means the same as missing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident { $($(#[$rename:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        pub struct $name { $($(#[$rename])* #[serde(deserialize_with = "or_default")] pub $field: $kind,)* }
    };
}

answer!(
    /// `/version`
    Version { version: String, api_version: String, #[serde(rename = "MinAPIVersion")] min_api_version: String, arch: String, }
);
answer!(
    /// `POST /containers/create`
    Created { id: String, warnings: Vec<String>, }
);
answer!(
    /// `/images/NAME/json`
    Image {
        id: String, size: u64, architecture: String, os: String, config: ImageConfig, #[serde(rename = "RootFS")] root_fs: Layers,
        repo_tags: Vec<String>, repo_digests: Vec<String>,
    }
);
answer!(Layers { layers: Vec<String>, });
answer!(
    /// One of `/images/json`
    Listed { id: String, }
);
answer!(
    /// `/distribution/NAME/json`
    Distribution { descriptor: Descriptor, }
);

/// What a registry has by a name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Descriptor {
    #[serde(deserialize_with = "or_default")]
    pub digest: String,
}

answer!(
    /// `/info`
    Info { driver_status: Vec<Vec<String>>, }
);
answer!(ImageConfig { exposed_ports: BTreeMap<String, serde_json::Value>, env: Vec<String>, user: String, });
answer!(
    /// `/containers/ID/json`
    Container { id: String, state: State, network_settings: Networking, }
);
answer!(
    /// `/exec/ID/json`
    Executed { exit_code: i64, }
);
answer!(State {
    status: String,
    running: bool,
    paused: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i64,
    pid: i64,
});
answer!(Networking {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    networks: BTreeMap<String, Option<Network>>,
    ports: HashMap<String, Option<Vec<Published>>>,
});
answer!(Network {
    #[serde(rename = "IPAddress")]
    ip_address: String,
});
answer!(Published { host_ip: String, host_port: String });
answer!(
    /// One of `/containers/json`
    Summary { id: String, #[serde(rename = "ImageID")] image_id: String, state: String, labels: Texts, }
);
answer!(
    /// One of `/events`
    Event { #[serde(rename = "Type")] kind: String, action: String, actor: Actor, #[serde(rename = "timeNano")] time_nano: i64, }
);
answer!(Actor {
    #[serde(rename = "ID")]
    id: String,
    attributes: Texts,
});

/// `/containers/ID/stats`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Stats {
    #[serde(deserialize_with = "or_default")]
    pub cpu_stats: CpuStats,
    #[serde(deserialize_with = "or_default")]
    pub memory_stats: MemoryStats,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    #[serde(deserialize_with = "or_default")]
    pub cpu_usage: CpuUsage,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// Nanoseconds.
    #[serde(deserialize_with = "or_default")]
    pub total_usage: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    #[serde(deserialize_with = "or_default")]
    pub usage: u64,
    /// By the names of the kernel's control groups, of either version.
    #[serde(deserialize_with = "or_default")]
    pub stats: HashMap<String, Option<u64>>,
}

impl Stats {
    /// Without files that are only cached, as `docker stats` counts; `None` for what is not running.
    pub fn memory_bytes(&self) -> Option<u64> {
        let memory = &self.memory_stats;
        let cached = ["total_inactive_file", "inactive_file"].iter().find_map(|name| *memory.stats.get(*name)?);
        (memory.usage > 0).then(|| memory.usage.saturating_sub(cached.unwrap_or(0)))
    }
}

/// Labels and the like.
pub type Texts = HashMap<String, Option<String>>;

/// One of a pull's or build's answers. The status was 200 before any of it: failure is told in here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Progress {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// Of a layer that is on its way.
    #[serde(deserialize_with = "or_default")]
    pub progress_detail: Moved,
    /// Of a build: what it prints.
    #[serde(deserialize_with = "or_default")]
    pub stream: String,
    #[serde(deserialize_with = "or_default")]
    pub error: String,
    #[serde(deserialize_with = "or_default")]
    pub error_detail: ErrorDetail,
    /// Of a push that has come to its end.
    #[serde(deserialize_with = "or_default")]
    pub aux: Pushed,
}

/// Bytes; less than 0 where they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Moved {
    #[serde(deserialize_with = "or_default")]
    pub current: i64,
    #[serde(deserialize_with = "or_default")]
    pub total: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Pushed {
    #[serde(deserialize_with = "or_default")]
    pub digest: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

impl Info {
    /// Whether images are kept by containerd, where layers are not found by what they stand on.
    pub fn by_containerd(&self) -> bool {
        self.driver_status.iter().flatten().any(|text| text.contains("containerd.snapshotter"))
    }
}

impl Progress {
    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        [&self.error, &self.error_detail.message].into_iter().map(String::as_str).find(|text| !text.is_empty())
    }
}

impl Container {
    /// Its address in its networks: up to 28 it also stands at the top, from 29 on only in the list.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        let networks = self.network_settings.networks.values().flatten().map(|network| &network.ip_address);
        [&self.network_settings.ip_address].into_iter().chain(networks).find_map(|ip| ip.parse().ok())
    }

    /// All of its ports that this machine listens for, lowest first.
    pub fn ports(&self) -> Vec<Port> {
        let port = |key: &String| {
            let (number, protocol) = key.split_once('/')?;
            let (inside, udp) = (number.parse().ok()?, protocol == "udp");
            Some(Port { inside, host: self.published_by(inside, udp)?, udp })
        };
        let mut all: Vec<Port> = self.network_settings.ports.keys().filter_map(port).collect();
        all.sort_by_key(|port| (port.inside, port.udp));
        all
    }

    /// The port of this machine that leads to this one of its.
    pub fn published(&self, port: u16) -> Option<u16> {
        self.published_by(port, false)
    }

    /// The same of either protocol.
    pub fn published_by(&self, port: u16, udp: bool) -> Option<u16> {
        let protocol = if udp { "udp" } else { "tcp" };
        let all = self.network_settings.ports.get(&format!("{port}/{protocol}"))?.as_ref()?;
        all.iter().find_map(|one| one.host_port.parse().ok())
    }
}

impl Image {
    /// The TCP ports it exposes, lowest first.
    pub fn ports(&self) -> Vec<u16> {
        let exposed = self.config.exposed_ports.keys();
        let mut ports: Vec<u16> =
            exposed.filter_map(|key| key.strip_suffix("/tcp").unwrap_or(key).parse().ok()).collect();
        ports.sort_unstable();
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::fmt::Debug;

    const ENGINES: [&str; 3] = ["20.10", "28", "29-dev"];

    fn recorded(engine: &str, name: &str) -> Value {
        let path = format!("{}/tests/fixtures/engine/{engine}/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        serde_json::from_str::<Value>(&text).unwrap()["body"].clone()
    }

    fn read<T: DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"))
    }

    /// Reads it with each field in turn missing, null, and with a new one beside it; at most the field itself is lost.
    fn survives<T: DeserializeOwned + Debug>(whole: &Value) {
        fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    for (key, value) in map {
                        let path = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                        all.push(path.clone());
                        paths(value, &path, all);
                    }
                }
                Value::Array(list) => list.iter().enumerate().for_each(|(n, v)| paths(v, &format!("{at}/{n}"), all)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        paths(whole, "", &mut all);
        assert!(!all.is_empty());
        for path in all {
            let (parent, key) = path.rsplit_once('/').unwrap();
            let key = key.replace("~1", "/").replace("~0", "~");
            for change in ["missing", "null", "new"] {
                let mut changed = whole.clone();
                let map = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                match change {
                    "missing" => drop(map.remove(&key)),
                    "null" => drop(map.insert(key.clone(), Value::Null)),
                    // Maps of a kind (labels, ports) take only their kind.
                    _ if ["Labels", "Attributes", "Networks", "Ports", "memory_stats/stats"]
                        .iter()
                        .any(|m| parent.ends_with(m)) =>
                    {
                        continue;
                    }
                    _ => drop(map.insert("BrandNew".into(), json!({"a": [1, null]}))),
                }
                if let Err(error) = serde_json::from_value::<T>(changed) {
                    panic!("{path} {change}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_engine_is_read() {
        for engine in ENGINES {
            let version: Version = read(&recorded(engine, "version"));
            assert!(version.api_version.starts_with("1.") && version.min_api_version.starts_with("1."), "{version:?}");
            assert_eq!(version.arch, "amd64");
            assert_eq!(read::<Created>(&recorded(engine, "create-bridge")).id.len(), 64);
            let image: Image = read(&recorded(engine, "image"));
            assert_eq!((image.ports(), &*image.architecture, &*image.os), (vec![8080], "amd64", "linux"));
            assert!(image.root_fs.layers.iter().all(|layer| layer.starts_with("sha256:")), "{image:?}");
            assert!(!image.root_fs.layers.is_empty());
            assert!(read::<Vec<Listed>>(&recorded(engine, "images")).iter().any(|one| one.id == image.id));
            let container: Container = read(&recorded(engine, "container-bridge"));
            assert!(
                container.state.running && container.ip().is_some_and(|ip| ip.to_string().starts_with("172.17.0."))
            );
            assert_eq!(container.published(8080), None);
            assert_eq!(read::<Container>(&recorded(engine, "container-none")).ip(), None);
            let all: Vec<Summary> = read(&recorded(engine, "containers"));
            assert!(all.iter().any(|one| one.state == "running" && one.labels.contains_key("cares")), "{all:?}");
            for name in ["stats-bridge", "stats-none"] {
                let stats: Stats = read(&recorded(engine, name));
                assert!(stats.memory_bytes().is_some_and(|bytes| bytes > 100_000), "{stats:?}");
                assert!(stats.cpu_stats.cpu_usage.total_usage > 1_000_000, "{stats:?}");
                survives::<Stats>(&recorded(engine, name));
            }
            let events = format!("{}/tests/fixtures/engine/{engine}/events.ndjson", env!("CARGO_MANIFEST_DIR"));
            for line in std::fs::read_to_string(events).unwrap().lines() {
                let event: Event = serde_json::from_str(line).unwrap();
                assert!(!event.kind.is_empty() && !event.action.is_empty() && event.time_nano > 0, "{line}");
                survives::<Event>(&serde_json::from_str(line).unwrap());
            }
        }
    }

    #[test]
    fn any_field_may_be_missing_null_or_new() {
        for engine in ENGINES {
            survives::<Version>(&recorded(engine, "version"));
            survives::<Created>(&recorded(engine, "create-bridge"));
            survives::<Image>(&recorded(engine, "image"));
            survives::<Vec<Listed>>(&recorded(engine, "images"));
            survives::<Container>(&recorded(engine, "container-bridge"));
            survives::<Container>(&recorded(engine, "container-none"));
            survives::<Vec<Summary>>(&recorded(engine, "containers"));
        }
        survives::<Progress>(
            &json!({"id": "x", "status": "y", "progressDetail": {"current": 1, "total": -1}, "error": "z",
                    "errorDetail": {"code": 1, "message": "z"}}),
        );
        survives::<Container>(
            &json!({"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "1.2.3.4", "HostPort": "5"}]}}}),
        );
    }

    #[test]
    fn failures_and_ports_are_found() {
        let failed = |value| read::<Progress>(&value).failure().map(str::to_string);
        assert_eq!(failed(json!({"errorDetail": {"message": "no"}})).as_deref(), Some("no"));
        assert_eq!(failed(json!({"error": "no"})).as_deref(), Some("no"));
        assert_eq!(failed(json!({"status": "Pulling"})), None);
        let image: Image = read(&json!({"Config": {"ExposedPorts": {"9000": {}, "53/udp": {}, "80/tcp": {}}}}));
        assert_eq!(image.ports(), [80, 9000]);
        let ports = json!({"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4321"}]}}});
        assert_eq!(read::<Container>(&ports).published(80), Some(4321));
    }
}
