//! The client against canned answers. Must never need an orchestrator.

use super::canned::{json, serve, with};
use super::{Body, Builder, Invoke, Orchestrator};
use crate::errors::Error;
use crate::types::{Change, FunctionSpec};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const NODE: &str = r#"{"id":"i","name":"n","status":"active","cordoned":false,"address":"","hostname":"h","os":"linux","arch":"x86_64","cpus":4,"memory_bytes":1,"tools":[],"tags":{},"engines":["process"],"version":"0.1.0","cpu_percent":null,"memory_percent":1.5,"slots":2,"job_slots":1,"running":0,"succeeded":0,"failed":0,"last_seen":"2025-01-01T00:00:00Z","reach":"links"}"#;

fn client(url: &str) -> Orchestrator {
    Orchestrator::new(url).unwrap().timeout(Duration::from_secs(5))
}

#[test]
fn lists_follow_pages_and_send_the_token() {
    let link = "link: </nodes?limit=1000&after=n>; rel=\"next\"\r\n";
    let (url, server) = serve(vec![with("200 OK", link, &format!("[{NODE}]")), json("200 OK", &format!("[{NODE}]"))]);
    assert_eq!(client(&url).token("s3cret").nodes().unwrap().len(), 2);
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /nodes?limit=1000 "), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /nodes?limit=1000&after=n "), "{}", asked[1]);
    assert!(asked.iter().all(|ask| ask.to_lowercase().contains("authorization: bearer s3cret\r\n")));
}

#[test]
fn changes_send_json_and_problems_are_typed() {
    let taken = r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"'a' is taken","code":"name_taken"}"#;
    let made = r#"{"status":"success","invoke_path":"/invoke/a","name":"a","revision":1}"#;
    let (url, server) = serve(vec![json("201 Created", made), json("409 Conflict", taken)]);
    let spec = FunctionSpec { name: "a".to_string(), image: "hello-world".to_string(), ..Default::default() };
    assert_eq!(client(&url).register(&spec).unwrap().revision, 1);
    let error = client(&url).register(&spec).unwrap_err();
    assert_eq!((error.status(), error.code(), error.to_string().as_str()), (Some(409), "name_taken", "'a' is taken"));
    assert!(server.join().unwrap()[0].ends_with("\r\n\r\n{\"name\":\"a\",\"image\":\"hello-world\"}"));
}

#[test]
fn only_reading_is_tried_again() {
    let (url, server) = serve(vec![String::new(), json("200 OK", NODE)]);
    assert_eq!(client(&url).node("n").unwrap().name, "n");
    assert_eq!(server.join().unwrap().len(), 2);
    let (url, server) = serve(vec![String::new()]);
    let error = client(&url).cordon("n").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(server.join().unwrap().len(), 1);
    let (url, thread) = serve(vec![String::new()]);
    let error = client(&url).invoke("f", Invoke::default()).map(drop).expect_err("no answer");
    assert!(error.to_string().contains("and the call may have run"), "{error}");
    assert_eq!(thread.join().unwrap().len(), 1, "a call that may have run is not sent again, whatever its method");
}

#[test]
fn errors_say_what_happened() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let text = client(&url).version().unwrap_err().to_string();
    assert_eq!(text, format!("cannot reach the orchestrator at {url}: connection refused"));

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}", silent.local_addr().unwrap().port());
    let error = client(&url).timeout(Duration::from_millis(50)).version().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let error = client(&url).timeout(Duration::from_millis(50)).events(None).err().unwrap();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");

    let (url, _server) = serve(vec![with("200 OK", "", "<html>"), with("502 Bad Gateway", "", "<h1>oh\nno</h1>")]);
    assert!(matches!(client(&url).version().unwrap_err(), Error::Protocol { .. }));
    assert!(client(&url).version().unwrap_err().to_string().contains("502"));
    assert!(matches!(client(&url).token("a\nb").version().unwrap_err(), Error::BadRequest(_)));
}

#[test]
fn bundles_stream_and_local_failures_are_not_blamed_on_the_orchestrator() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let stored = r#"{"name":"a","revision":3,"image":"bundle:x","invoke_path":"/invoke/a"}"#;
    let (url, server) = serve(vec![json("201 Created", stored)]);
    let len = 200_000;
    let bundle = client(&url).upload_bundle("a", &mut std::io::repeat(b'z').take(len), len).unwrap();
    assert_eq!(bundle.revision, 3);
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("PUT /functions/a/bundle "));
    assert!(asked[0].ends_with(&"z".repeat(1000)));

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let error = client(&url).upload_bundle("a", &mut Broken, 5).unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.to_string() == "disk on fire"), "{error:?}");
}

#[test]
fn calls_give_any_answer_as_it_is() {
    let (url, server) = serve(vec![
        with("302 Found", "x-call-id: c-1\r\nlocation: /elsewhere\r\n", "body"),
        json("404 Not Found", r#"{"status":404,"code":"function_not_found","detail":"no"}"#),
    ]);
    let call = Invoke {
        method: "PATCH".to_string(),
        path: "/a b".to_string(),
        query: "x=1 2".to_string(),
        headers: vec![("X-One".to_string(), "1".to_string())],
        body: Body::Reader(Box::new(&b"streamed"[..]), None),
        ..Default::default()
    };
    let mut answer = client(&url).invoke("f", call).unwrap();
    let mut body = String::new();
    answer.reader.read_to_string(&mut body).unwrap();
    assert_eq!((answer.status, answer.call_id.as_deref(), body.as_str()), (302, Some("c-1"), "body"));
    assert_eq!(answer.header("location"), Some("/elsewhere"));
    assert!(client(&url).invoke("f", Invoke::default()).unwrap().is_problem());
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("PATCH /invoke/f/a%20b?x=1%202 "), "{}", asked[0]);
    assert!(asked[0].contains("x-one: 1\r\n") && asked[0].contains("streamed"), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /invoke/f "), "{}", asked[1]);
}

#[test]
fn streams_are_iterators() {
    let event = r#"{"id":7,"time":"2025-01-01T00:00:00Z","kind":"node.joined","level":"info","message":"m"}"#;
    let stream = format!(": hello\n\nid: 7\nevent: node.joined\ndata: {event}\n\ndata: {event}\r\n\r\ndata: cut off");
    let line = r#"{"time":"t","node":"n","source":"s","stream":"stdout","line":"hi"}"#;
    let (url, server) = serve(vec![with("200 OK", "", &stream), with("200 OK", "", &format!("{line}\n\n{line}"))]);
    let ids: Vec<u64> = client(&url).events(Some(6)).unwrap().map(|event| event.unwrap().id).collect();
    assert_eq!(ids, [7, 7]);
    assert_eq!(client(&url).logs("f", Some(5), false).unwrap().filter_map(Result::ok).count(), 2);
    let asked = server.join().unwrap();
    assert!(asked[0].contains("last-event-id: 6\r\n"));
    assert!(asked[1].starts_with("GET /logs/f?format=json&follow=false&tail=5 "));
}

#[test]
fn watches_and_own_logs_are_iterators() {
    let stream = format!(
        ": still here\n\nevent: put\ndata: {NODE}\n\nevent: synced\ndata: {{}}\n\nevent: later\ndata: 1\n\n\
         event: gone\ndata: {{\"id\":\"i\"}}\n\nevent: put\ndata: {{}}\n\n"
    );
    let record = r#"{"id":3,"time":"t","level":"info","message":"m"}"#;
    let refused = r#"{"status":503,"code":"too_many_watchers","detail":"64"}"#;
    let (url, server) = serve(vec![
        with("200 OK", "", &stream),
        with("200 OK", "", &format!("{record}\n\n{record}\n")),
        json("503 Service Unavailable", refused),
    ]);
    let mut watch = client(&url).watch_nodes().unwrap();
    assert!(matches!(watch.next(), Some(Ok(Change::Put(node))) if node.name == "n"));
    assert!(matches!(watch.next(), Some(Ok(Change::Synced))));
    assert!(matches!(watch.next(), Some(Ok(Change::Gone(id))) if id == "i"), "kinds it does not know are left out");
    assert!(matches!(watch.next(), Some(Err(Error::Protocol { .. }))), "a row that is none");
    assert!(watch.next().is_none());
    let ids: Vec<u64> = client(&url).own_log(7, true).unwrap().map(|record| record.unwrap().id).collect();
    assert_eq!(ids, [3, 3]);
    assert_eq!(client(&url).watch_functions().err().unwrap().code(), "too_many_watchers");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /nodes?watch=true ") && asked[0].contains("accept: text/event-stream\r\n"));
    assert!(asked[1].starts_with("GET /log?format=json&tail=7&follow=true "), "{}", asked[1]);
    assert!(asked[2].starts_with("GET /functions?watch=true "), "{}", asked[2]);
}

#[test]
fn silence_is_not_the_end_of_the_past() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let event = r#"{"id":1,"time":"","kind":"k","level":"info","message":"m"}"#;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let text = format!("data: {event}\n\n");
        stream.write_all(format!("{head}{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
        stream // stays open until the test has seen the end
    });
    let mut past = client(&url).timeout(Duration::from_millis(100)).past_events().unwrap();
    assert_eq!(past.next().unwrap().unwrap().id, 1);
    let error = past.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(past.next().is_none());
    drop(server.join().unwrap());
}

#[test]
fn an_unready_orchestrator_says_why() {
    let (url, _server) = serve(vec![
        with("503 Service Unavailable", "", r#"{"status":"no active node","active_nodes":0}"#),
        json("401 Unauthorized", r#"{"status":401,"code":"unauthenticated","detail":"give a token"}"#),
    ]);
    assert_eq!(client(&url).readyz().unwrap().status, "no active node");
    assert_eq!(client(&url).readyz().unwrap_err().code(), "unauthenticated");
}

#[test]
fn a_builder_says_who_asks_and_how() {
    let nothing = || json("200 OK", r#"{"version":"1","commit":"c","role":"worker"}"#);
    let (url, server) = serve(vec![nothing(), nothing(), nothing()]);
    Builder::new(&url).token("t1").user_agent("mine/1").orchestrator().unwrap().version().unwrap();
    Builder::new(&url).api_key("t2").worker().unwrap().version().unwrap();
    let own = Invoke { headers: vec![("X-API-Key".into(), "theirs".into())], ..Default::default() };
    Builder::new(&url).api_key("t3").orchestrator().unwrap().invoke("f", own).unwrap();
    let asked: Vec<String> = server.join().unwrap().into_iter().map(|text| text.to_lowercase()).collect();
    assert!(asked[0].contains("\r\nauthorization: bearer t1\r\n") && asked[0].contains("\r\nuser-agent: mine/1\r\n"));
    assert!(asked[1].contains("\r\nx-api-key: t2\r\n") && !asked[1].contains("authorization"), "{}", asked[1]);
    assert!(asked[1].contains("\r\nuser-agent: cares/"), "{}", asked[1]);
    assert!(asked[2].contains("x-api-key: theirs\r\n") && !asked[2].contains("t3"), "{}", asked[2]);
    assert!(!format!("{:?}", Builder::new(&url).token("s3cret")).contains("s3cret"));
}

#[test]
fn only_what_is_safe_is_sent_again_and_only_when_asked_for() {
    let busy = |after: &str| {
        let problem = r#"{"status":503,"code":"api_busy","detail":"busy"}"#;
        with("503 Service Unavailable", after, problem)
    };
    let soon = || busy("retry-after: 0\r\n");
    let patient = |url: &str| Builder::new(url).retries(2).orchestrator().unwrap();
    let code = |result: Result<(), Error>| result.unwrap_err().code().to_string();

    let (url, server) = serve(vec![soon(), soon(), with("204 No Content", "", "")]);
    patient(&url).delete_function("f").unwrap();
    assert_eq!(server.join().unwrap().len(), 3);

    let (url, server) = serve(vec![soon(), soon(), soon()]);
    assert_eq!(code(patient(&url).delete_function("f")), "api_busy", "three in all, and no more");
    assert_eq!(server.join().unwrap().len(), 3);

    // Once each: a POST, a call, an answer that says no time or too long a one, and whoever did not ask for more.
    let (url, server) = serve(vec![soon(), soon(), busy(""), busy("retry-after: 11\r\n"), soon()]);
    assert_eq!(code(patient(&url).redeploy("f").map(drop)), "api_busy");
    assert_eq!(patient(&url).invoke("f", Invoke::default()).unwrap().status, 503);
    assert_eq!(code(patient(&url).delete_function("f")), "api_busy");
    assert_eq!(code(patient(&url).delete_function("f")), "api_busy");
    assert_eq!(code(client(&url).delete_function("f")), "api_busy");
    assert_eq!(server.join().unwrap().len(), 5);
}

#[test]
fn a_server_that_is_not_there_yet_is_asked_again() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    let url = format!("http://{address}");
    drop(place);
    let begun = Instant::now();
    let error = Builder::new(&url).retries(2).orchestrator().unwrap().version().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waited 0.1 s and 0.2 s");
}

#[test]
fn a_worker_is_asked_for_tasks_at_its_own_address() {
    let task =
        r#"{"id":"t 1","name":"web","image":"nginx","state":"Running","attempt":1,"restarts":0,"created_at":"t"}"#;
    let line = r#"{"time":"t","node":"n","source":"s","stream":"stdout","line":"hi"}"#;
    let (url, server) = serve(vec![
        json("200 OK", &format!("[{task}]")),
        json("202 Accepted", task),
        with("204 No Content", "", ""),
        with("200 OK", "", &format!("{line}\n")),
        json("409 Conflict", r#"{"status":409,"code":"illegal_transition","detail":"it runs"}"#),
    ]);
    let worker = Builder::new(&url).worker().unwrap();
    assert_eq!(worker.tasks().unwrap()[0].name, "web");
    assert_eq!(worker.stop("t 1").unwrap().id, "t 1");
    worker.delete_task("t 1").unwrap();
    assert_eq!(worker.task_logs("t 1", 5, true).unwrap().filter_map(Result::ok).count(), 1);
    assert_eq!(worker.start("t 1").unwrap_err().code(), "illegal_transition");
    let asked = server.join().unwrap();
    let begins = ["GET /api/v1/worker/tasks?limit=1000 ", "POST /api/v1/worker/tasks/t%201/stop "];
    let begins = begins.into_iter().chain(["DELETE /api/v1/worker/tasks/t%201 "]);
    let begins = begins.chain(["GET /api/v1/worker/tasks/t%201/logs?format=json&tail=5&follow=true "]);
    let begins: Vec<&str> = begins.chain(["POST /api/v1/worker/tasks/t%201/start "]).collect();
    begins.iter().zip(&asked).for_each(|(begin, asked)| assert!(asked.starts_with(begin), "{begin}: {asked}"));
}
