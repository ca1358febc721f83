//! Every code that an error may have: the one list. The document, the README's table and tests are held to it.

/// A stable code of an error, which a program may go by.
pub struct Code {
    pub status: u16,
    pub code: &'static str,
    /// When it is given, for people.
    pub when: &'static str,
}

const fn code(status: u16, code: &'static str, when: &'static str) -> Code {
    Code { status, code, when }
}

/// By status.
pub const CODES: &[Code] = &[
    code(400, "invalid_request", "the request cannot be read, or a header or parameter of it is not what it must be"),
    code(400, "invalid_json", "the body is no JSON object"),
    code(400, "invalid_field", "a setting, parameter or header is not what it must be; the text begins with its name"),
    code(400, "https_only", "HTTPS is spoken at this address, and nothing else"),
    code(400, "invalid_bundle", "the zip is no bundle"),
    code(400, "unknown_bundle", "no bundle of that digest is stored"),
    code(400, "unknown_secret", "no secret of that name is set, or it is no text and is to be a variable"),
    code(400, "invalid_backup", "the file is no whole backup; nothing was changed"),
    code(
        400,
        "endpoint_not_allowed",
        "the orchestrator's operator does not let a worker or a function be called there",
    ),
    code(401, "unauthenticated", "a token is needed and none came, or it is wrong, revoked or expired"),
    code(403, "forbidden", "the token lacks the scope"),
    code(
        403,
        "host_not_allowed",
        "asked under a host name that is neither localhost nor an address; `--open` allows it",
    ),
    code(403, "origin_not_allowed", "a web page of another site asks"),
    code(403, "worker_not_yours", "that worker was registered with another token, or joined over gRPC"),
    code(404, "route_not_found", "there is nothing at that path"),
    code(404, "function_not_found", "no such function, or it was deleted while the call waited"),
    code(404, "revision_not_found", "that revision is not kept"),
    code(404, "node_not_found", "no such node"),
    code(404, "call_not_found", "no such asynchronous call, or no longer"),
    code(404, "token_not_found", "no such token"),
    code(404, "execution_not_found", "no such execution runs"),
    code(404, "secret_not_found", "no such secret"),
    code(404, "pipeline_not_found", "no such pipeline, or no longer"),
    code(404, "module_not_found", "the pipeline has no such module, or the module no result"),
    code(404, "task_not_found", "no such task, or no longer"),
    code(404, "build_not_found", "no such build, or no longer"),
    code(405, "method_not_allowed", "the path takes other methods; `Allow` says which"),
    code(408, "body_timeout", "the body did not come in time"),
    code(409, "no_image", "the function was registered without an image, and has none yet"),
    code(409, "name_taken", "a function or token of that name exists"),
    code(409, "node_connected", "its worker must be stopped first"),
    code(409, "node_disconnected", "nothing runs there"),
    code(409, "call_not_ended", "the result is there once the call has ended"),
    code(409, "call_ended", "there is nothing to cancel"),
    code(409, "call_cancelled", "it was cancelled: there is no result"),
    code(409, "pipeline_ended", "there is nothing to cancel"),
    code(409, "pipeline_not_failed", "it runs or has succeeded: there is nothing to retry"),
    code(409, "module_not_ended", "the result is there once the module has ended"),
    code(409, "backup_busy", "another backup is being made or restored"),
    code(409, "too_many_functions", "the cluster has as many as it may"),
    code(409, "too_many_tokens", "the cluster has as many as it may"),
    code(409, "too_many_secrets", "the cluster has as many as it may"),
    code(409, "secret_in_use", "a function is given it; the text says which"),
    code(409, "wrong_secret_key", "the backup's secrets are sealed with another key; nothing was changed"),
    code(409, "no_admin_token", "the first token must be an admin's that does not expire"),
    code(409, "last_admin_token", "nobody could make tokens any more"),
    code(409, "worker_id_taken", "a worker of that id is connected, at another endpoint"),
    code(409, "worker_refused", "the cluster does not take that worker; the text says why"),
    code(409, "execution_running", "an execution of that id runs"),
    code(409, "illegal_transition", "a task in that state cannot become that"),
    code(409, "port_in_use", "a port of the node that a task asks for is taken; the text names it"),
    code(409, "task_key_reused", "the idempotency key was used for another task"),
    code(409, "task_refused", "the worker cannot run that task, or it is its orchestrator's; the text says why"),
    code(409, "build_ended", "there is nothing to cancel"),
    code(409, "build_cancelled", "somebody cancelled the build"),
    code(413, "too_large", "a body, bundle or backup is beyond the limit that the text names"),
    code(422, "idempotency_key_reused", "the key was used for another call"),
    code(422, "nothing_to_build", "the folder has no Dockerfile, and is no runtime's"),
    code(422, "build_failed", "the build did not succeed; the text says why, and has the log's last lines"),
    code(429, "queue_full", "as many calls of the function wait as may"),
    code(429, "too_many_pipelines", "as many pipelines run as may, or they have as many modules as they may"),
    code(429, "too_many_builds", "as many builds wait as may"),
    code(429, "too_many_tasks", "as many tasks as may be; remove ended ones"),
    code(429, "rate_limited", "more requests a second than the token, the address or the function may have"),
    code(429, "too_many_calls", "as many calls are under way as may be, in all or of the function"),
    code(429, "worker_full", "the worker runs as many jobs at once as it may"),
    code(431, "headers_too_large", "the request's head is beyond the limit"),
    code(431, "too_many_headers", "the request has more headers than it may"),
    code(500, "internal", "a fault of CARES; its log says more"),
    code(502, "function_not_started", "the function could not be started"),
    code(
        502,
        "endpoint_unreachable",
        "the server that the function was registered as cannot be reached, or gave no answer",
    ),
    code(502, "function_failed", "the function ended or broke off without an answer"),
    code(502, "node_lost", "the call's node went away; it may have run in part"),
    code(502, "call_failed", "the asynchronous call ended without an answer"),
    code(503, "function_stopped", "somebody stopped the function, and nobody has started it again"),
    code(503, "no_node", "no node can run it now; the text says why"),
    code(503, "queue_timeout", "the call waited for room as long as its `timeout_s`"),
    code(503, "queue_space_full", "asynchronous calls that wait take the space they may"),
    code(503, "call_not_kept", "the call could not be kept; try again"),
    code(503, "not_joined", "the worker is not connected to its orchestrator"),
    code(503, "stopping", "the program is stopping"),
    code(503, "api_busy", "as many requests to the API wait as may"),
    code(503, "too_many_watchers", "as many lists are watched as may be"),
    code(503, "too_many_connections", "as many connections as may be"),
    code(504, "function_timeout", "no first byte within the function's `timeout_s`"),
    code(504, "api_timeout", "the API's handler gave no answer in time"),
    code(507, "store_failed", "the disk is full or fails; nothing was changed"),
];

/// One of them.
pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

/// Where it stands in the list.
pub fn place(code: &str) -> Option<usize> {
    CODES.iter().position(|known| known.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_readme_has_the_same_table() {
        let row = |code: &Code| format!("| {} | `{}` | {} |", code.status, code.code, code.when);
        let table: Vec<String> = CODES.iter().map(row).collect();
        assert!(include_str!("../../README.md").contains(&table.join("\n")), "{}", table.join("\n"));
    }

    /// What the program says, tests aside.
    fn sources() -> Vec<String> {
        let mut found = Vec::new();
        let mut dirs = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(dir) = dirs.pop() {
            for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("codes.rs") {
                    found.push(std::fs::read_to_string(path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn each_error_has_a_code_of_the_list_and_each_code_an_error() {
        let sources = sources();
        let mut seen = 0;
        for made in sources.iter().flat_map(|text| text.split("Problem::new(").skip(1)) {
            let mut words = made.splitn(3, ',').map(str::trim);
            let (Some(Ok(status)), Some(word)) = (words.next().map(str::parse::<u16>), words.next()) else { continue };
            let Some(word) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) else { continue };
            assert_eq!(find(word).map(|code| code.status), Some(status), "{word}: put it into codes::CODES");
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
        for Code { code, .. } in CODES {
            let made = [format!("\"{code}\""), format!("\\\"{code}\\\"")];
            assert!(sources.iter().any(|text| made.iter().any(|m| text.contains(m))), "{code}: nothing answers so");
        }
    }

    #[test]
    fn each_is_there_once_by_status_and_fits_a_problem() {
        assert!(CODES.is_sorted_by_key(|code| code.status));
        let names: BTreeSet<&str> = CODES.iter().map(|code| code.code).collect();
        assert_eq!(names.len(), CODES.len());
    }
}
