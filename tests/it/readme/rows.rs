//! How each block of commands in the README is run: one row a block, and a test each.

use super::Row;
use super::Told::*;
use super::play::play;
use crate::builds::process::flask_is_there;

/// A row that says nothing but which block it is for.
const PLAIN: Row =
    Row { block: "", engine: false, needs: || true, before: "", swap: &[], told: &[], answers: false, after: "" };

macro_rules! rows {
    ($($(#[doc = $doc:tt])* $name:ident { $($field:ident: $value:expr,)* })*) => {
        /// All of them.
        pub const ALL: &[Row] = &[$(Row { $($field: $value,)* ..PLAIN },)*];

        $(
            $(#[doc = $doc])*
            #[test]
            fn $name() {
                static ROW: Row = Row { $($field: $value,)* ..PLAIN };
                play(&ROW);
            }
        )*
    };
}

rows! {
    first_commands {
        block: "cargo run --release -- up --demo",
        swap: &[("cargo run --release --", "cares")], // built as `cargo test` builds; scripts/bench/first runs it as it stands
        told: &[
            ("cares up --demo", Shows("ready http=")),
            ("scripts/test", Elsewhere(".ci/run", " scripts/test\n")),
        ],
    }
    own_function {
        block: "mkdir upper",
        before: "cares up",
        told: &[("cares deploy", Says("deployed upper")), ("cares invoke", Says("HELLO"))],
    }
    revisions {
        block: "cares scale web",
        before: WEB,
        told: &[
            ("cares redeploy", Says("redeployed web as revision 2")),
            ("cares rollback", Says("rolled back web as revision 3")),
            ("cares stop", Says("stopped web")),
        ],
    }
    from_source {
        block: "cares init my-function",
        needs: flask_is_there,
        before: "cares orchestrator\ncares worker 127.0.0.1:50051 --engine process\nEDITOR='sed -i s/Hello/Bye/'",
        told: &[
            ("cares deploy", Says("http://127.0.0.1:8080/invoke/my-function")),
            ("cares redeploy", Says("revision 2")),
            ("cares rollback", Says("revision 3")),
        ],
    }
    build_by_hand {
        block: "http://127.0.0.1:8080/build ",
        engine: true,
        before: "cares up --base shell=cares-test/busybox:1
            cares init my-function --runtime shell && echo \": $$\" >> my-function/main.sh
            (cd my-function && python3 -m zipfile -c ../my-function.zip *)",
        told: &[("curl", Says(r#""image":"cares/my-function:"#))],
        after: "docker rmi --force $(curl -s http://127.0.0.1:8080/builds | grep -om1 'cares/my-function:[0-9a-f]*')",
    }
    own_image {
        block: "cares register hello hello-world",
        engine: true,
        before: "cares up",
        swap: &[("hello hello-world", "hello cares-test/env:1"), ("web nginx", "web cares-test/echo:1")],
        told: &[("cares invoke hello", Says("K_SERVICE=hello")), ("cares invoke web", Says("GET /"))],
    }
    with_a_registry {
        block: "--registry localhost:5001",
        before: r#"echo '{"auths": {}}' > logins.json"#,
    }
    more_machines {
        block: "--tag room=lab",
        swap: &[("lab-89ab", "$(cares node list -o name | grep ^lab-)")], // the machine's name, and a piece of the node's id
        told: &[("cares node list", Says("lab-")), ("cares node remove", Alone)],
    }
    workers_in_any_language {
        block: "scripts/examples/http-worker",
        before: "cares orchestrator",
        told: &[("scripts/examples/http-worker", Joins("python-head")), ("cares invoke", Says("HELLO"))],
    }
    pipelines {
        block: "scripts/examples/pipeline/run",
        // FILE is the README's own pipeline, of which each module's function or image is `cat`.
        before: r#"cares orchestrator
            cares worker 127.0.0.1:50051 --tag disk=ssd
            mkdir f && echo '{"mode":"job","command":["cat"]}' > f/function.json
            cares deploy f --name build
            cares deploy f --name check
            bundle=$(cares describe check -o json | grep -om1 'bundle:[0-9a-f]*')
            sed -n '/^```json$/,/^```$/{//!p}' README.md | sed 's/"reporter"/"'$bundle'"/; s/\["report"\]/["cat"]/' > p.json"#,
        swap: &[("FILE", "p.json")],
        told: &[
            ("scripts/examples/pipeline/run", Elsewhere("tests/it/pipelines/example.rs", "/scripts/examples/pipeline/run\"")),
            ("cares pipeline run", Says("report")),
        ],
    }
    every_verb {
        block: "cares completions bash",
        // A node that has been, two functions' folders, and what reads from a file.
        before: r#"export AUTH_TOKEN=SECRET
            cares orchestrator
            cares worker 127.0.0.1:50051 --name attic --data-dir attic --worker-addr 127.0.0.1:0
            mkdir greet && echo '{"mode":"http","command":["cares","demo-function","echo"]}' > greet/function.json
            mkdir once && echo '{"mode":"job","command":["sh","-c","echo done; echo told >&2"]}' > once/function.json
            cares deploy once
            bundle=$(cares describe once -o json | grep -om1 'bundle:[0-9a-f]*')
            echo '{"modules": [{"name": "a", "function": "once"}]}' > p.json"#,
        swap: &[
            ("register NAME IMAGE  ", "register two $bundle"),
            ("register NAME IMAGE --schedule", "register nightly $bundle --schedule"),
            ("init NAME", "init flask"),
            ("invoke NAME --async", "invoke once --async"),
            ("logs NAME -f", "logs once -f"),
            ("deploy DIR", "deploy greet"),
            ("node revoke NAME", "node revoke attic"),
            ("pipeline run FILE", "pipeline run p.json"),
            ("task run IMAGE --follow", "task run $bundle --follow -- echo done"),
            ("secret set NAME", "secret set db-pass"),
            ("token create NAME", "token create prometheus"),
            ("cares tui --url http://HOST:8080", "script -qec 'stty rows 30 cols 120; cares tui --url http://127.0.0.1:8080' /dev/null"),
            ("NAME", "greet"),
            ("FILE", "all.tar"),
        ],
        told: &[
            ("cares up", GoesOn("echo answered: ping")),
            ("cares list --watch", GoesOn("two")),
            ("cares invoke greet -d", Says("body")),
            ("cares logs once -f", GoesOn("told")),
            ("cares logs -f", GoesOn("'greet'")),
            ("cares events -f", GoesOn("'greet'")),
            ("script", GoesOn("live")),
            ("cares task run", Says("done")),
            ("cares secret set", Hears("s3cret")),
            ("cares version", Says("cares: ")),
        ],
    }
    compose {
        block: "docker compose -f",
        told: &[
            ("docker compose", Elsewhere("scripts/compose-check", "COMPOSE_FILE=scripts/compose.yaml")),
            ("curl", Elsewhere("scripts/compose-check", "-H \"Authorization: Bearer $AUTH_TOKEN\"")),
        ],
    }
    as_a_service {
        block: "sudo apt install",
        told: &[
            ("scripts/package", Elsewhere("scripts/package-check", " scripts/package ")),
            ("sudo apt install", Elsewhere("scripts/package-check", "dpkg --install")),
            ("sudo systemctl", Elsewhere("scripts/package-check", "systemd-analyze verify")),
        ],
    }
    tasks {
        block: "cares task run redis:7",
        engine: true,
        before: "cares up",
        swap: &[("redis:7", "cares-test/echo:1 --env PORT=6379"), ("alpine", "cares-test/busybox:1")],
        told: &[("cares task run cares-test/busybox", Says("hello")), ("cares task list", Comes("Running"))],
    }
    tasks_by_hand {
        block: "mkdir clock",
        before: "cares orchestrator\ncares worker 127.0.0.1:50051",
        answers: true,
    }
    tasks_of_a_worker {
        block: r#""health_check": {"kind": "tcp"}"#,
        engine: true,
        before: "cares up",
        swap: &[(r#""redis:7""#, r#""cares-test/echo:1", "env": {"PORT": "6379"}"#)],
        told: &[("curl", Says(r#""id":"t"#))],
    }
    token_for_prometheus {
        block: "cares token create prometheus",
        before: "export AUTH_TOKEN=SECRET\ncares orchestrator",
    }
    who_gets_in {
        block: "openssl rand",
        before: "export AUTH_TOKEN=SECRET\ncares up --demo",
        told: &[("curl", Says("Hello from CARES"))],
    }
    tls {
        block: "--http-addr 0.0.0.0:8443",
        before: "export AUTH_TOKEN=SECRET
            openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ours -keyout ca.key -out ca.pem
            openssl req -newkey rsa:2048 -nodes -subj /CN=cares.example -keyout key.pem -out asked.pem
            openssl x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -extfile <(echo subjectAltName=DNS:cares.example)",
    }
    secrets {
        block: "cares secret set db-pass  ",
        engine: true,
        before: "cares up\nprintf %s key | cares secret set tls-key\nprintf %s other > new",
        swap: &[("my/image", "cares-test/echo:1")],
        told: &[
            ("cares secret set db-pass  ", Hears("first")),
            ("cares secret set db-pass -d", Says("version 2")),
            ("cares secret list", Says("db-pass")),
            ("cares secret delete", Fails("web")),
        ],
    }
}

/// `web`, an http function, without an image.
const WEB: &str = r#"cares up
    mkdir f && echo '{"mode":"http","command":["cares","demo-function","echo"]}' > f/function.json
    cares deploy f --name web"#;
