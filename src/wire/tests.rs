//! Messages as each release wrote them, in `tests/fixtures/release-*/messages`: today's program must read them all, and
//! write those of the last release as that did, for either end of a connection may be the older one.
//!
//! A release is recorded once, with `CARES_RECORD=VERSION cargo test --lib wire::tests::record -- --ignored`, and its
//! files never change after it.

#![allow(clippy::needless_update)] // messages get more fields

use super::proto::*;
use prost::Message;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

fn folder(version: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(format!("release-{version}/messages"))
}

/// Shows each message of 0.1.0 with its name.
trait Look {
    fn at<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: M);
}

/// Each message with every field that 0.1.0 knew; no map has two entries, whose order nothing says.
fn of_0_1_0(look: &mut impl Look) {
    let text = |text: &str| text.to_string();
    let one = |key: &str, value: &str| [(text(key), text(value))].into();
    let instance = || InstanceState {
        id: text("i1f"),
        function: text("echo"),
        revision: 3,
        gone: true,
        reason: text("exit code 1"),
        frozen: true,
        ..Default::default()
    };
    let port = || TaskPort { container: 80, host: 8_080, protocol: text("tcp"), ..Default::default() };
    let task = || Task {
        id: text("t-1"),
        name: text("web"),
        attempt: 7,
        image: text("nginx:1"),
        command: vec![text("nginx"), text("-g")],
        env: one("A", "b"),
        memory_bytes: 1 << 30,
        cpu: 1.5,
        disk_bytes: 1 << 31,
        ports: vec![port()],
        restart: Some(TaskRestart {
            policy: text("always"),
            limit: 5,
            window_ms: 60_000,
            backoff_ms: 1_000,
            ..Default::default()
        }),
        health: Some(HealthCheck {
            kind: text("http"),
            path: text("/healthz"),
            port: 80,
            command: vec![text("true")],
            interval_ms: 10_000,
            timeout_ms: 2_000,
            retries: 3,
            start_period_ms: 5_000,
            ..Default::default()
        }),
        stop_grace_ms: 10_000,
        volumes: vec![TaskVolume { name: text("data"), path: text("/data"), read_only: true, ..Default::default() }],
        devices: vec![text("gpu")],
        open_files: true,
        all_syscalls: true,
        pids: 64,
        tmp_bytes: 1 << 20,
        function: text("f"),
        ..Default::default()
    };
    let state = || TaskState {
        id: text("t-1"),
        attempt: 7,
        state: text("failed"),
        restarts: 2,
        exit_code: -9,
        has_exit_code: true,
        reason: text("out of memory"),
        last_lines: text("killed"),
        started_ms: 1_700_000_000_000,
        ended_ms: 1_700_000_001_000,
        ports: vec![port()],
        health: text("unhealthy"),
        spec: Some(task()),
        ..Default::default()
    };
    let secret = |name: &str| Secret { name: text(name), value: b"\x00\xffvalue".to_vec() };
    let engines = || Engines { names: vec![text("process")], trouble: text("docker is down"), ..Default::default() };
    // What the first CARES had: numbers 1 to 5 alone.
    look.at(
        "first-node-info",
        NodeInfo {
            node_id: text("n-1"),
            address: text("h:9000"),
            hostname: text("h"),
            timestamp: 5,
            ..Default::default()
        },
    );
    look.at(
        "first-node-metrics",
        NodeMetrics {
            node_id: text("n-1"),
            cpu_usage: 12.5,
            memory_usage: 40.0,
            timestamp: 5,
            status: text("active"),
            ..Default::default()
        },
    );
    look.at(
        "first-acknowledgement",
        Acknowledgement { success: true, message: text("welcome"), cluster_id: text("c0ffee"), ..Default::default() },
    );
    look.at(
        "function-request",
        FunctionRequest { docker_image: text("hello-world"), function_name: text("hello"), ..Default::default() },
    );
    look.at(
        "function-result",
        FunctionResult { output: text("hello"), success: true, error: text("none"), ..Default::default() },
    );
    look.at(
        "node-info",
        NodeInfo {
            node_id: text("n-1"),
            address: text("h:9000"),
            hostname: text("h"),
            timestamp: 1_700_000_000_000,
            name: text("w1"),
            os: text("linux"),
            arch: text("x86_64"),
            tools: vec![text("ffmpeg")],
            tags: one("zone", "a"),
            slots: 256,
            job_slots: 4,
            engines: vec![text("process"), text("docker")],
            memory_bytes: 1 << 33,
            cpus: 4,
            version: text("0.1.0"),
            instances: vec![instance()],
            engine_trouble: text("none"),
            node_secret: text("5ec4e7"),
            tasks: vec![state()],
            disk_bytes: 1 << 40,
            devices: vec![text("gpu")],
            secrets: true,
            ..Default::default()
        },
    );
    look.at(
        "acknowledgement",
        Acknowledgement {
            success: true,
            message: text("welcome"),
            cluster_id: text("c0ffee"),
            link_ticket: text("00112233445566778899aabbccddeeff"),
            heartbeat_ms: 1_000,
            lease_ms: 10_000,
            links: 4,
            session: 9,
            ..Default::default()
        },
    );
    look.at(
        "node-metrics",
        NodeMetrics {
            node_id: text("n-1"),
            cpu_usage: -1.0,
            memory_usage: 40.0,
            timestamp: 1_700_000_000_000,
            status: text("draining"),
            session: 9,
            instances: vec![instance()],
            engines: Some(engines()),
            tasks: vec![state()],
            ..Default::default()
        },
    );
    look.at(
        "command",
        OrchestratorCommand {
            command_type: text("stop_instance"),
            payload: text("i1f"),
            timestamp: 1_700_000_000_000,
            ..Default::default()
        },
    );
    look.at(
        "enroll-request",
        EnrollRequest {
            node_id: text("n-1"),
            public_key: vec![4, 1, 2],
            node_secret: text("5ec4e7"),
            ..Default::default()
        },
    );
    look.at("enroll-reply", EnrollReply { certificate: vec![0x30, 0x82], ..Default::default() });
    look.at("bundle-request", BundleRequest { digest: text("sha256-00"), ..Default::default() });
    look.at("bundle-chunk", BundleChunk { data: (&b"PK\x03\x04"[..]).into(), ..Default::default() });
    look.at("function-query", FunctionQuery { function: text("echo"), ..Default::default() });
    look.at(
        "revision",
        Revision {
            function: text("echo"),
            number: 3,
            image: text("bundle:sha256-00"),
            http: true,
            command: vec![text("cares"), text("demo-function")],
            env: one("A", "b"),
            memory_bytes: 1 << 28,
            cpu: 0.5,
            concurrency: 80,
            timeout_ms: 30_000,
            fresh: true,
            open_files: true,
            all_syscalls: true,
            pids: 64,
            tmp_bytes: 1 << 20,
            secrets: Some(Secrets {
                env: vec![secret("DB")],
                files: vec![secret("key")],
                plain: vec![secret("P")],
                ..Default::default()
            }),
            ..Default::default()
        },
    );
    look.at("task", task());
    look.at("task-state", state());
}

/// Writes them, of a version that is being released.
struct Recorder(PathBuf);

impl Look for Recorder {
    fn at<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: M) {
        fs::write(self.0.join(name), message.encode_to_vec()).unwrap();
    }
}

#[test]
#[ignore = "for a release"]
fn record() {
    let folder = folder(&std::env::var("CARES_RECORD").expect("CARES_RECORD=VERSION"));
    fs::create_dir_all(&folder).unwrap();
    of_0_1_0(&mut Recorder(folder));
}

/// Holds what was recorded against what it means.
struct Reader {
    version: &'static str,
    read: usize,
}

impl Look for Reader {
    fn at<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: M) {
        let path = folder(self.version).join(name);
        let bytes = fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let read = M::decode(&*bytes).unwrap_or_else(|why| panic!("{name} cannot be read any more: {why}"));
        assert_eq!(read, message, "{name} is read as something else");
        assert_eq!(message.encode_to_vec(), bytes, "{name} is written otherwise: {} would not read it", self.version);
        // A later release says more.
        let more = [&bytes[..], &[0xfa, 0x3f, 2, 1, 2]].concat(); // field 1023, two bytes
        assert_eq!(M::decode(&*more).unwrap(), message, "{name} with an unknown field");
        self.read += 1;
    }
}

#[test]
fn messages_of_0_1_0_are_read_and_written_as_they_were() {
    let mut reader = Reader { version: "0.1.0", read: 0 };
    of_0_1_0(&mut reader);
    assert_eq!(reader.read, fs::read_dir(folder("0.1.0")).unwrap().count(), "one that was recorded is not looked at");
}
