//! Flags, environment and defaults, and what is refused.

use super::*;

const HOME: Env<'static> = Env(&|key| (key == "HOME").then(|| "/home/me".to_string()));

fn worker(address: &str) -> cli::Worker {
    cli::Worker { address: address.to_string(), ..Default::default() }
}

#[test]
fn flags_come_before_the_environment_before_defaults() {
    let env = Env(&|key| match key {
        "CARES_HTTP_ADDR" => Some("127.0.0.1:1".to_string()),
        "CARES_GRPC_ADDR" => Some(String::new()),
        "XDG_DATA_HOME" => Some("/x".to_string()),
        _ => None,
    });
    let mut flags = OrchestratorOptions::default();
    let config = OrchestratorConfig::new(&flags, &env).unwrap();
    assert_eq!((config.http_addr.port(), config.grpc_addr), (1, DEFAULT_GRPC_ADDR));
    assert_eq!((config.data_dir, config.data_base), (None, PathBuf::from("/x/cares")));
    flags.http_addr = Some("localhost:0".to_string());
    assert_eq!(OrchestratorConfig::new(&flags, &env).unwrap().http_addr, "127.0.0.1:0".parse().unwrap());
    assert_eq!(HOME.data_base().unwrap(), PathBuf::from("/home/me/.local/share/cares"));
}

#[test]
fn beyond_loopback_needs_open_and_says_so() {
    for beyond in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        let mut flags = OrchestratorOptions { grpc_addr: Some(beyond.to_string()), ..Default::default() };
        let text = OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).unwrap_err().to_string();
        assert!(text.contains("--grpc-addr") && text.contains("--open"), "{text}");
        flags.open = true;
        assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).is_ok());
        flags.open = false;
        assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(true).is_ok());
        let env = Env(&|key| (key == "AUTH_TOKEN" || key == "HOME").then(|| "/home/me".to_string()));
        assert!(OrchestratorConfig::new(&flags, &env).unwrap().check_exposed(false).is_ok());
    }
    for near in ["127.9.9.9:1", "[::1]:1"] {
        let flags = OrchestratorOptions { http_addr: Some(near.to_string()), ..Default::default() };
        assert!(OrchestratorConfig::new(&flags, &HOME).unwrap().check_exposed(false).is_ok(), "{near}");
    }
    let flags = OrchestratorOptions { http_addr: Some("8080".to_string()), ..Default::default() };
    assert!(OrchestratorConfig::new(&flags, &HOME).unwrap_err().to_string().contains("--http-addr '8080'"));
}

#[test]
fn a_worker_joins_a_grpc_address() {
    for (given, kept) in [
        ("10.0.0.1", "10.0.0.1:50051"),
        ("host:1", "host:1"),
        ("::1", "[::1]:50051"),
        ("[::1]", "[::1]:50051"),
        ("[::1]:5", "[::1]:5"),
    ] {
        assert_eq!(WorkerConfig::new(&worker(given), &HOME).unwrap().orchestrator, kept);
    }
    for bad in ["", "http://h:1", "h:0", "h:x", ":1", "a b", "h:70000"] {
        assert!(WorkerConfig::new(&worker(bad), &HOME).is_err(), "{bad}");
    }
}

#[test]
fn errors_name_the_flag() {
    let text = |change: fn(&mut cli::Worker)| {
        let mut flags = worker("h");
        change(&mut flags);
        WorkerConfig::new(&flags, &HOME).unwrap_err().to_string()
    };
    assert!(text(|w| w.name = Some("No".to_string())).starts_with("--name"));
    assert!(text(|w| w.slots = Some(0)).starts_with("--slots 0"));
    assert!(text(|w| w.slots = Some(65_537)).starts_with("--slots 65537"));
    assert!(text(|w| w.tag = vec![("a".into(), "1".into()), ("a".into(), "2".into())]).starts_with("--tag 'a'"));
    assert!(text(|w| w.worker_addr = Some("0.0.0.0:9".to_string())).starts_with("--worker-addr"));
    assert!(text(|w| w.legacy_grpc_addr = Some("0.0.0.0:9".to_string())).starts_with("--legacy-grpc-addr"));
    assert!(ConfigError::NoHome.to_string().contains("--data-dir"));
}

#[test]
fn up_puts_both_roles_below_one_folder() {
    let flags = cli::Up {
        data_dir: Some("/d".to_string()),
        grpc_addr: Some("0.0.0.0:7".to_string()),
        open: true,
        ..Default::default()
    };
    let config = UpConfig::new(&flags, &HOME).unwrap();
    assert_eq!(config.worker.orchestrator, "127.0.0.1:7");
    assert_eq!(config.worker.worker_addr, None);
    let flags = |open| cli::Up { worker_addr: Some("0.0.0.0:9".into()), open, ..Default::default() };
    let exposed = |open, asked| UpConfig::new(&flags(open), &HOME).unwrap().worker.check_exposed(asked);
    assert!(exposed(false, false).is_err_and(|why| why.to_string().contains("--worker-addr")));
    assert!(exposed(true, false).is_ok() && exposed(false, true).is_ok());
    assert_eq!((config.orchestrator.data_dir, config.worker.data_dir), (None, None));
    assert_eq!((config.orchestrator.data_base, config.worker.data_base), ("/d".into(), "/d".into()));
}
