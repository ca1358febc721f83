//! What may stand behind the `?`: what the route's operation says, and nothing else, so that a word that was mistyped is
//! not left out in silence. Must never know what a parameter means.

use super::openapi::{Kind, Parameter};
use super::problem::Problem;
use super::route::{Handler, Route};
use crate::auth::Needs;
use crate::{names, nearest};

/// Of a list that can be watched.
pub const WATCH: Parameter =
    Parameter::query("watch", Kind::Flag, "All rows, and then what changes, as server-sent events.");

/// All that a route knows.
pub fn of<S>(route: &Route<S>) -> impl Iterator<Item = &Parameter> {
    let watch = matches!(route.handler, Handler::Watched(..)).then_some(&WATCH);
    route.operation.parameters.iter().chain(watch)
}

/// Whether it refuses what it does not know. Calls of functions pass all of it on; and what anybody may ask without a
/// token (pages, health checks, the document) is asked by all sorts of programs, which add words of their own.
pub fn are_held<S>(route: &Route<S>) -> bool {
    !matches!(route.needs, Needs::Invoke | Needs::Nothing)
}

/// Refuses the first word that the route does not know.
pub fn check<S>(route: &Route<S>, query: &[(String, String)]) -> Result<(), Problem> {
    let known = || of(route).filter(|known| known.place == "query").map(|known| known.name);
    let unknown = query.iter().map(|(name, _)| name).find(|name| !known().any(|one| one == *name));
    let Some(name) = unknown.filter(|_| are_held(route)) else { return Ok(()) };
    let all: Vec<&str> = known().collect();
    let taken = if all.is_empty() { "none".into() } else { all.join(", ") };
    let name = names::shown(name);
    let meant = nearest::meant(&name, known());
    let detail = format!("{name}: is no parameter of {} {}, which takes {taken}{meant}", route.method, route.path);
    Err(Problem::new(400, "invalid_field", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::Face;
    use crate::orchestrator::Orchestrator;
    use crate::worker::Worker;

    fn checked<S: Face>(method: &str, path: &str, names: &[&str]) -> Result<(), String> {
        let route = S::ROUTES.iter().find(|route| (route.method, route.path) == (method, path)).expect(path);
        let query: Vec<_> = names.iter().map(|name| (name.to_string(), String::new())).collect();
        check(route, &query).map_err(|problem| problem.detail)
    }

    #[test]
    fn what_is_not_declared_is_refused_by_name() {
        let checked = checked::<Orchestrator>;
        assert_eq!(checked("GET", "/functions", &["label", "limit", "after", "watch", "label"]), Ok(()));
        assert_eq!(
            checked("GET", "/functions", &["limit", "limt"]),
            Err("limt: is no parameter of GET /functions, which takes limit, after, label, watch; did you mean \
                 'limit'?"
                .into())
        );
        assert_eq!(
            checked("GET", "/nodes/{id}", &["x"]),
            Err("x: is no parameter of GET /nodes/{id}, which takes none".into())
        );
        let long = checked("GET", "/nodes", &[&"é".repeat(9_000)]).expect_err("no such");
        assert!(long.len() < 300, "{long}");
        // A header is none of the query's.
        assert!(checked("POST", "/api/v1/manager/tasks", &["Idempotency-Key"]).is_err());
    }

    #[test]
    fn calls_of_functions_and_what_anybody_may_ask_take_all() {
        let lenient = |method: &str, path: &str| checked::<Orchestrator>(method, path, &["utm_source"]);
        for path in ["/invoke/{name}/*", "/function/{name}/*", "/async-function/{name}/*"] {
            assert_eq!(lenient("*", path), Ok(()));
        }
        for path in ["/", "/docs", "/web/{id}/{name}", "/healthz", "/health", "/api/health", "/openapi.json"] {
            assert_eq!(lenient("GET", path), Ok(()));
        }
        assert_eq!(checked::<Worker>("GET", "/status", &["watch"]), Ok(()));
        assert!(checked::<Worker>("GET", "/status", &["watched"]).is_err());
    }
}
