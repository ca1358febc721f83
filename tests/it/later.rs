//! Asynchronous calls through real processes: accepted means kept, whoever is killed; each ends once, and what it
//! answered can be read.

use crate::gate::Gate;
use crate::harness::{Cluster, own_ip, wait_for, wait_for_some};
use crate::head::Head;
use crate::processes;
use crate::wire::ReadSome;
use crate::wire::{ask, get, post};
use cares::client::{Body, Calls, Invoke, Later};
use cares::types::Call;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

/// Asks for a call with a body.
fn later(cluster: &Cluster, name: &str, body: &str) -> Call {
    later_with(cluster, name, body, Later::default()).expect("accepted")
}

fn later_with(cluster: &Cluster, name: &str, body: &str, later: Later) -> Result<Call, cares::errors::Error> {
    let invoke = Invoke { method: "POST".into(), body: Body::Bytes(body.into()), ..Default::default() };
    cluster.client.invoke_later(name, invoke, later)
}

fn call(cluster: &Cluster, id: &str) -> Call {
    cluster.client.call(id).expect("the call")
}

fn wait_status(cluster: &Cluster, id: &str, status: &str) -> Call {
    wait_for_some(&format!("call {id} is {status}"), || {
        let call = cluster.client.call(id).ok()?;
        assert!(call.status == status || call.ended_at.is_none(), "{call:?}");
        (call.status == status).then_some(call)
    })
}

/// Status and text of what a call answered.
fn result(cluster: &Cluster, id: &str) -> (u16, String) {
    let mut answer = cluster.client.call_result(id).expect("an answer");
    let mut text = String::new();
    answer.reader.read_to_string(&mut text).expect("a whole answer");
    (answer.status, text)
}

fn code((status, text): (u16, String)) -> (u16, String) {
    let problem: cares::types::Problem = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no problem: {text}"));
    (status, problem.code)
}

#[test]
fn a_call_is_accepted_runs_and_its_answer_can_be_read() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("shout", "tr a-z A-Z; echo \" $CARES_METHOD $CARES_PATH?$CARES_QUERY $CARES_ATTEMPT\"");
    let to = cluster.head.http();
    let marked: &[(&str, &str)] = &[("X-Cares-Async", "1")];
    for (path, headers) in [("/async-function/shout/x/y?z=1", &[][..]), ("/invoke/shout/x/y?z=1", marked)] {
        let answer = ask(to, "PUT", path, headers, b"hello");
        assert_eq!(answer.status, 202, "{answer:?}");
        let accepted: Call = serde_json::from_slice(&answer.body).expect("a call");
        assert_eq!(answer.header("location"), Some(&*format!("/calls/{}", accepted.id)));
        assert_eq!(answer.header("x-call-id"), Some(&*accepted.id));
        assert!(accepted.asynchronous && accepted.function == "shout", "{accepted:?}");
        let ended = wait_status(&cluster, &accepted.id, "succeeded");
        assert_eq!((ended.attempts, ended.failures, ended.interruptions), (1, 0, 0));
        assert_eq!(result(&cluster, &accepted.id), (200, "HELLO PUT /x/y?z=1 1\n".into()));
    }
    let listed = cluster.client.find_calls(&Calls { asynchronous: Some(true), ..Calls::default() }).expect("calls");
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|c| c.asynchronous && c.status == "succeeded" && c.attempts == 1), "{listed:?}");
    let all = cluster.client.find_calls(&Calls::default()).expect("calls");
    assert_eq!(all.iter().filter(|c| c.asynchronous).count(), 2);
    assert_eq!(all.len(), 2, "attempts are no calls of their own: {all:?}");
    let node = cluster.client.nodes().expect("nodes")[0].id.clone();
    assert!(all.iter().all(|c| c.node.as_ref() == Some(&node)), "{all:?}");
    assert_eq!(call(&cluster, &all[0].id).node.as_ref(), Some(&node));
    let there = Calls { node: Some(node), ..Calls::default() };
    assert_eq!(cluster.client.find_calls(&there).expect("calls"), all);
    assert!(cluster.client.function("shout").expect("the function").p50_ms.is_some(), "attempts count for it");
    let none = Calls { status: Some("failed".into()), ..Calls::default() };
    assert!(cluster.client.find_calls(&none).expect("calls").is_empty());
}

#[test]
fn bodies_of_any_size_are_kept_up_to_the_limit() {
    let cluster = Cluster::start(1);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    for size in [0, 1, 16 * 1024, 16 * 1024 + 1, 100_000, 3 << 20] {
        let text: String = (0..size).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let accepted = later(&cluster, "cat", &text);
        wait_status(&cluster, &accepted.id, "succeeded");
        let (status, answer) = result(&cluster, &accepted.id);
        assert!(status == 200 && answer == text, "{size} bytes came back as {}", answer.len());
    }
    let to = cluster.head.http();
    let head = format!("POST /async-function/cat HTTP/1.1\r\nHost: {to}\r\nContent-Length: 16777217\r\n\r\n");
    let answer = crate::harness::raw(to, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("16777216"), "{answer}");
}

#[test]
fn what_makes_no_sense_is_refused_and_never_accepted() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    post(to, "/async-function/nobody", "").problem(404, "function_not_found");
    ask(to, "POST", "/invoke/nobody", &[("X-Cares-Async", "true")], b"").problem(404, "function_not_found");
    cluster.deploy_script("f", "cat");
    let (url, key) = ("X-Callback-Url", "Idempotency-Key");
    let headers: [&[(&str, &str)]; 6] = [
        &[(url, "ftp://h/")],
        &[(url, "http://169.254.169.254/latest/meta-data")],
        &[(url, "h")],
        &[(url, "http://h/"), (url, "http://i/")],
        &[(key, "")],
        &[(key, "cares:1")],
    ];
    for headers in headers {
        let detail = ask(to, "POST", "/async-function/f", headers, b"").problem(400, "invalid_field");
        assert!(detail.starts_with(&headers[0].0.to_ascii_lowercase()), "{headers:?}: {detail}");
    }
    let marked = |word| ask(to, "POST", "/invoke/f", &[("X-Cares-Async", word)], b"");
    let detail = marked("maybe").problem(400, "invalid_field");
    assert!(detail.starts_with("x-cares-async: must be true or false"), "{detail}");
    marked("false").problem(503, "no_node"); // as any call: it was not kept for later
    for id in ["a0", "c1", "x", "a01"] {
        get(to, &format!("/calls/{id}")).problem(404, "call_not_found");
        get(to, &format!("/calls/{id}/result")).problem(404, "call_not_found");
        ask(to, "DELETE", &format!("/calls/{id}"), &[], b"").problem(404, "call_not_found");
    }
    for (query, field) in [("status=done", "status"), ("async=maybe", "async"), ("after=a1", "after")] {
        let detail = get(to, &format!("/calls?{query}")).problem(400, "invalid_field");
        assert!(detail.starts_with(field), "{detail}");
    }
    assert!(cluster.client.find_calls(&Calls::default()).expect("calls").is_empty());
}

#[test]
fn calls_wait_for_a_node_and_run_when_there_is_one() {
    let mut cluster = Cluster::start(0);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let calls: Vec<Call> = (0..5).map(|n| later(&cluster, "cat", &n.to_string())).collect();
    let first = call(&cluster, &calls[0].id);
    assert!(matches!(first.status.as_str(), "queued" | "running") && first.ended_at.is_none(), "{first:?}");
    assert_eq!(code(result(&cluster, &calls[0].id)), (409, "call_not_ended".into()));
    cluster.add_worker("w1", &[]);
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(wait_status(&cluster, &call.id, "succeeded").attempts, 1);
        assert_eq!(result(&cluster, &call.id), (200, n.to_string()));
    }
}

#[test]
fn a_function_that_fails_is_tried_again_and_ends_as_a_dead_letter() {
    let cluster = Cluster::start(1);
    let runs = cluster.dir.path().join("runs");
    let script = format!(
        "#!/bin/sh\necho \"$CARES_CALL_ID $CARES_ATTEMPT\" >> '{}'\necho no luck >&2\nexit 3\n",
        runs.display()
    );
    let manifest = r#"{"mode":"job","command":["./run.sh"],"isolation":{"files":"open"},"attempts":2}"#;
    cluster.deploy("bad", manifest, &[("run.sh", &script)]);
    let accepted = later(&cluster, "bad", "");
    let dead = wait_status(&cluster, &accepted.id, "failed");
    assert_eq!((dead.attempts, dead.failures, dead.max_attempts), (2, 2, 2));
    assert!(dead.last_error.as_deref().is_some_and(|why| why.contains("no luck")), "{dead:?}");
    assert_eq!(code(result(&cluster, &accepted.id)), (502, "function_failed".into()));
    let id = &accepted.id;
    assert_eq!(std::fs::read_to_string(runs).expect("runs"), format!("{id} 1\n{id} 2\n"), "one id, two attempts");
    let failed = Calls { status: Some("failed".into()), asynchronous: Some(true), ..Calls::default() };
    let listed = cluster.client.find_calls(&failed).expect("calls");
    assert_eq!(listed.iter().map(|c| &c.id).collect::<Vec<_>>(), [id]);
    assert_eq!(cluster.client.cancel_call(id).expect_err("it has ended").code(), "call_ended");
}

#[test]
fn cancelling_ends_what_runs_and_what_waits() {
    let cluster = Cluster::start(1);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":600"#);
    let running = later(&cluster, "gate", "");
    gate.wait_started(1);
    wait_status(&cluster, &running.id, "running");
    let cancelled = cluster.client.cancel_call(&running.id).expect("cancelled");
    assert_eq!(cancelled.status, "cancelled");
    processes::wait_none(&cluster);
    assert_eq!(code(result(&cluster, &running.id)), (409, "call_cancelled".into()));
    assert_eq!(cluster.client.cancel_call(&running.id).expect("again").status, "cancelled");
    cluster.client.cordon("w1").expect("cordoned");
    let waiting = later(&cluster, "gate", "");
    assert_eq!(cluster.client.cancel_call(&waiting.id).expect("cancelled").status, "cancelled");
    cluster.client.uncordon("w1").expect("uncordoned");
    assert_eq!(gate.started().len(), 1, "it never ran");
}

#[test]
fn all_that_was_accepted_ends_once_although_the_orchestrator_is_killed() {
    let mut cluster = Cluster::start(2);
    let runs = cluster.dir.path().join("runs");
    let script = format!("read n; echo $n >> '{}'; sleep 0.05; echo done $n", runs.display());
    cluster.deploy_open_script("work", &script);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":600"#);
    let held = later(&cluster, "gate", "");
    let mut accepted = vec![];
    for round in 0..3 {
        for n in 0..15 {
            let number = round * 100 + n;
            accepted.push((number, later(&cluster, "work", &format!("{number}\n")).id));
        }
        gate.wait_started(round + 1);
        cluster.restart_head();
    }
    let ids: BTreeSet<&String> = accepted.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), accepted.len(), "ids are not given twice");
    gate.open();
    assert_eq!(wait_status(&cluster, &held.id, "succeeded").interruptions, 3, "it ran at each kill");
    let mut attempts = call(&cluster, &held.id).attempts;
    for (number, id) in &accepted {
        let ended = wait_status(&cluster, id, "succeeded");
        attempts += ended.attempts;
        assert_eq!(result(&cluster, id), (200, format!("done {number}\n")));
    }
    let ran = std::fs::read_to_string(runs).expect("runs").lines().count() as u32 + gate.started().len() as u32;
    assert!(ran <= attempts && ran > accepted.len() as u32, "{ran} ran, and {attempts} attempts are counted");
    let before: Vec<Call> = accepted.iter().map(|(_, id)| call(&cluster, id)).collect();
    cluster.restart_head();
    for call in before {
        assert_eq!(cluster.client.call(&call.id).expect("kept").status, call.status, "an end is for good");
        assert_eq!(result(&cluster, &call.id).0, 200);
    }
}

#[test]
fn a_call_on_a_killed_worker_runs_elsewhere() {
    let mut cluster = Cluster::start(2);
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":600"#);
    cluster.client.cordon("w2").expect("cordoned");
    let accepted = later(&cluster, "gate", "");
    gate.wait_started(1);
    cluster.client.uncordon("w2").expect("uncordoned");
    cluster.workers[0].kill();
    gate.wait_started(2);
    gate.open();
    let ended = wait_status(&cluster, &accepted.id, "succeeded");
    assert_eq!((ended.attempts, ended.interruptions, ended.failures), (2, 1, 0));
    assert_eq!(result(&cluster, &accepted.id), (200, "through\n".into()));
}

#[test]
fn the_same_key_is_the_same_call_also_after_a_restart() {
    let mut cluster = Cluster::start(1);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let key = || Later { idempotency_key: Some("order-7".into()), ..Later::default() };
    let first = later_with(&cluster, "cat", "seven", key()).expect("accepted");
    assert_eq!(first.idempotency_key.as_deref(), Some("order-7"));
    assert_eq!(later_with(&cluster, "cat", "seven", key()).expect("the same").id, first.id);
    let other = later_with(&cluster, "cat", "eight", key()).expect_err("another body");
    assert_eq!((other.status(), other.code()), (Some(422), "idempotency_key_reused"));
    wait_status(&cluster, &first.id, "succeeded");
    cluster.restart_head();
    let again = later_with(&cluster, "cat", "seven", key()).expect("the same");
    assert_eq!((again.id.as_str(), again.status.as_str()), (first.id.as_str(), "succeeded"));
    let other = later_with(&cluster, "cat", "eight", key()).expect_err("another body");
    assert_eq!(other.code(), "idempotency_key_reused");
    assert_eq!(result(&cluster, &first.id), (200, "seven".into()));
}

/// Takes one request, answers with a status, and gives its text. Who connects and says nothing, as what looks for ports that
/// listen does, is not who is waited for.
fn receive(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let whole = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        (body.len() >= length.unwrap_or(0)).then_some(())
    };
    while whole(&text).is_none() {
        let count = stream.read_some(&mut buffer).expect("a request");
        if count == 0 && text.is_empty() {
            stream = listener.accept().expect("a connection").0;
            continue;
        }
        assert!(count > 0, "it broke off: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    answer(&mut stream, status);
    text
}

fn answer(stream: &mut TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("answered");
}

#[test]
fn results_go_where_the_operator_lists_and_nowhere_else() {
    let listener = TcpListener::bind((own_ip(), 0)).expect("a port");
    let there = listener.local_addr().expect("its address");
    let listed = ["--callbacks", "10.99.0.0/16", "--callbacks", &there.to_string()];
    let cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 1, &listed);
    cluster.deploy_script("hello", "echo hello");
    let to = |url: &str| Later { callback: Some(url.into()), ..Later::default() };
    for url in [format!("http://{}:1/x", there.ip()), "http://192.0.2.1/".into(), cluster.head.url() + "/invoke/hello"]
    {
        let why = later_with(&cluster, "hello", "", to(&url)).expect_err("not listed");
        let listed = format!("is not within --callbacks 10.99.0.0/16, {}/32:{}", there.ip(), there.port());
        assert!(why.status() == Some(400) && why.to_string().contains(&listed), "{url}: {why}");
    }
    let why = later_with(&cluster, "hello", "", to("http://169.254.169.254/")).expect_err("the cloud's");
    assert!(why.to_string().contains("is not called back"), "{why}");
    let named = later_with(&cluster, "hello", "", to("http://localhost:9/")).expect("where it is, is not known yet");
    let accepted = later_with(&cluster, "hello", "", to(&format!("http://{there}/told"))).expect("accepted");
    let told = receive(&listener, "200 OK");
    assert!(told.starts_with("POST /told "), "{told}");
    let callback = |id: &str| call(&cluster, id).callback.expect("a callback");
    wait_for("it is delivered", || callback(&accepted.id).status == "delivered");
    wait_for("the other is not", || {
        callback(&named.id).last_error.is_some_and(|why| why.contains("port 9 is not within --callbacks"))
    });
    let bad = Head::of(cluster.dir.path()).data(&cluster.dir.path().join("bad")).told(&["--callbacks", "http://h/"]);
    let (_, log) = bad.try_start().err().expect("it is no rule");
    assert!(log.contains("--callbacks 'http://h/': "), "{log}");
}

#[test]
fn a_callback_is_tried_until_its_receiver_is_there_and_takes_it() {
    let mut cluster = Cluster::start(1);
    cluster.deploy_script("hello", "echo hello");
    let there = crate::harness::free_address();
    let callback = Later { callback: Some(format!("http://{there}/told?x=1")), ..Later::default() };
    let accepted = later_with(&cluster, "hello", "", callback).expect("accepted");
    wait_status(&cluster, &accepted.id, "succeeded");
    let callback = |cluster: &Cluster| call(cluster, &accepted.id).callback.expect("a callback");
    wait_for("it was tried in vain", || callback(&cluster).last_error.is_some());
    cluster.restart_head(); // what is to be told lasts
    let listener = TcpListener::bind(there).expect("the address");
    receive(&listener, "500 Internal Server Error");
    wait_for("that is shown", || callback(&cluster).last_error.is_some_and(|why| why.contains("500")));
    let told = receive(&listener, "204 No Content").to_ascii_lowercase();
    assert!(told.starts_with("post /told?x=1 http/1.1\r\n") && told.ends_with("\r\n\r\nhello\n"), "{told}");
    for header in [
        format!("x-call-id: {}", accepted.id),
        "x-cares-status: succeeded".into(),
        "x-cares-result-status: 200".into(),
        "x-cares-function: hello".into(),
        format!("host: {there}"),
        "content-type: text/plain".into(),
    ] {
        assert!(told.contains(&format!("\r\n{header}")), "no {header} in {told}");
    }
    wait_for("it is delivered", || callback(&cluster).status == "delivered");
}

#[test]
fn the_orchestrator_itself_is_called_back_for_functions_only() {
    let cluster = Cluster::start(1);
    cluster.deploy_script("hello", "echo hello");
    let seen = cluster.dir.path().join("seen");
    cluster.deploy_open_script("next", &format!("cat > '{0}.part'; mv '{0}.part' '{0}'", seen.display()));
    let url = |path: &str| Later { callback: Some(format!("{}{path}", cluster.head.url())), ..Later::default() };
    let refused = later_with(&cluster, "hello", "", url("/restore")).expect("accepted");
    let told = |id: &str| call(&cluster, id).callback.expect("a callback");
    wait_for("its refusal is shown", || told(&refused.id).last_error.is_some_and(|why| why.contains("/invoke/ and")));
    let chained = later_with(&cluster, "hello", "", url("/invoke/next")).expect("accepted");
    wait_for("it is told", || told(&chained.id).status == "delivered");
    assert_eq!(std::fs::read_to_string(seen).expect("what it was told"), "hello\n");
    assert_ne!(told(&refused.id).status, "delivered");
}

#[test]
fn synchronous_calls_find_room_beside_many_asynchronous_ones() {
    let cluster = Cluster::start(1);
    let slots = cluster.client.node("w1").expect("w1").job_slots;
    assert!(slots > 1, "a machine of one core has no room for two jobs");
    let gate = Gate::deploy(&cluster, "gate", r#","timeout_s":600"#);
    let calls: Vec<Call> = (0..50).map(|_| later(&cluster, "gate", "")).collect();
    let half = (slots / 2).max(1) as usize;
    gate.wait_started(half);
    cluster.deploy("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    for n in 0..20 {
        assert_eq!(cluster.call("cat", "now"), (200, "now".into()), "{n}");
    }
    assert_eq!(gate.started().len(), half, "no more run at once");
    gate.open();
    for call in calls {
        wait_status(&cluster, &call.id, "succeeded");
    }
}

#[test]
fn calls_of_a_deleted_function_end() {
    let cluster = Cluster::start(0);
    cluster.deploy_script("gone", "cat");
    let accepted = later(&cluster, "gone", "");
    cluster.client.delete_function("gone").expect("deleted");
    let dead = wait_status(&cluster, &accepted.id, "failed");
    assert!(dead.last_error.as_deref().is_some_and(|why| why.contains("gone")), "{dead:?}");
    assert_eq!(code(result(&cluster, &accepted.id)), (404, "function_not_found".into()));
}

#[test]
fn answers_of_http_functions_keep_status_and_headers() {
    let cluster = Cluster::start(1);
    cluster.deploy("odd", &crate::fixture::manifest("by-path"), &[]);
    let invoke = |path: &str| Invoke { method: "POST".into(), path: path.into(), ..Default::default() };
    let accepted = cluster.client.invoke_later("odd", invoke("/headers"), Later::default()).expect("accepted");
    wait_status(&cluster, &accepted.id, "succeeded"); // it answered: 418 is its own word
    let answer = cluster.client.call_result(&accepted.id).expect("an answer");
    let cookies: Vec<_> = answer.headers.iter().filter(|(k, _)| k == "set-cookie").map(|(_, v)| v.as_str()).collect();
    assert_eq!((answer.status, answer.header("x-own"), &cookies[..]), (418, Some("kept"), &["a=1", "b=2"][..]));
    assert_eq!(answer.call_id.as_deref(), Some(accepted.id.as_str()));
    let head = cluster.client.invoke_later("odd", invoke("/head"), Later::default()).expect("accepted");
    wait_status(&cluster, &head.id, "succeeded");
    let (_, text) = result(&cluster, &head.id);
    assert!(text.to_ascii_lowercase().contains(&format!("x-call-id: {}", head.id)), "{text}");
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused_with_its_field() {
    let cluster = Cluster::start(0);
    let to = cluster.head.http();
    for (more, field) in [
        (r#""schedule":"* * * *""#, "schedule"),
        (r#""schedule":"61 * * * *""#, "schedule"),
        (r#""schedule":"0 0 31 2 *""#, "schedule"),
        (r#""schedule":7"#, "schedule"),
        (r#""schedule":"@daily","schedule_zone":"Mars/Base""#, "schedule_zone"),
        (r#""schedule":"@daily","timezone":"Mars/Base""#, "schedule_zone"),
        (r#""schedule":"@daily","schedule_missed":"x""#, "schedule_missed"),
        (r#""schedule":"@daily","schedule_overlap":"x""#, "schedule_overlap"),
        (r#""attempts":0"#, "attempts"),
    ] {
        let detail =
            post(to, "/functions", format!(r#"{{"name":"a","image":"b",{more}}}"#)).problem(400, "invalid_field");
        let named = [format!("{field}:"), format!("field `{field}`:")]; // its value, or its type
        assert!(named.iter().any(|start| detail.starts_with(start)), "{more}: {detail}");
    }
    assert!(cluster.client.functions().expect("functions").is_empty());
}

/// Waits up to 62 s: schedules know no seconds.
#[test]
fn a_schedule_calls_its_function_and_shows_it() {
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() % 60;
    let mut cluster = Cluster::start(1);
    wait_for("no minute begins before it is looked at", || seconds() < 40);
    let runs = cluster.dir.path().join("runs");
    let script = format!("#!/bin/sh\necho \"$CARES_METHOD $CARES_PATH\" >> '{}'\n", runs.display());
    let manifest = r#"{"mode":"job","command":["./run.sh"],"isolation":{"files":"open"},"schedule":"* * * * *","schedule_zone":"Europe/Berlin"}"#;
    cluster.deploy("tick", manifest, &[("run.sh", &script)]);
    cluster.restart_head(); // it lasts
    let schedule = |cluster: &Cluster| {
        wait_for_some("its next run is known", || {
            cluster.client.function("tick").ok()?.schedule.filter(|s| s.next_run_at.is_some())
        })
    };
    let before = schedule(&cluster);
    assert_eq!((before.expression.as_str(), before.zone.as_str()), ("* * * * *", "Europe/Berlin"));
    assert_eq!((before.missed.as_str(), before.overlap.as_str()), ("run", "skip"));
    for _ in 0..3 {
        if runs.exists() {
            break; // else the next minute has not begun
        }
        let since = std::time::Instant::now();
        wait_for("20 s are over, or it ran", || runs.exists() || since.elapsed().as_secs() >= 21);
    }
    wait_for("it is said to have run", || schedule(&cluster).last_call.is_some());
    let after = schedule(&cluster);
    let id = after.last_call.expect("it was called");
    let made = wait_status(&cluster, &id, "succeeded");
    assert_eq!(
        (made.scheduled_for.as_ref(), after.last_run_at.as_ref()),
        (before.next_run_at.as_ref(), before.next_run_at.as_ref())
    );
    assert_eq!(made.idempotency_key, None, "that name is the house's own");
    assert_eq!(std::fs::read_to_string(&runs).expect("runs"), "POST /\n");
    cluster.restart_head();
    let kept = schedule(&cluster);
    assert_eq!((kept.last_run_at, kept.last_call.as_deref()), (after.last_run_at, Some(id.as_str())));
    let spec = cares::types::FunctionSpec { image: "hello-world".into(), ..Default::default() };
    cluster.client.replace("tick", &spec).expect("replaced");
    assert_eq!(cluster.client.function("tick").expect("tick").schedule, None);
}
