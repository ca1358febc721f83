//! Who gets in: sign-in, what a token may not do, tokens made and revoked on the page; and no secret in an address.

use super::{at, open, yes};
use crate::browser::Browser;
use cares::client::Orchestrator;
use cares::types::TokenSpec;
use serde_json::json;

/// All that stays of a page, and may be seen by others.
const PLACES: &str = "return [location.href, document.cookie, JSON.stringify(localStorage), \
    ...performance.getEntries().map((entry) => entry.name)].join()";

#[test]
fn who_makes_the_first_token_goes_on_with_it_and_all_others_need_one() {
    let Some((cluster, browser)) = open(1, "/tokens") else { return };
    browser.shows("There are none");
    browser
        .is_so("of nothing that streams it says nothing", "return !document.querySelector('.pill').checkVisibility()");
    browser.fill("Name", "boss");
    browser.click("Make a token");
    browser.shows("Choose at least one thing");
    browser.check("admin: everything");
    browser.click("Make a token");
    browser.shows("The token “boss”");
    browser.shows("It is shown this once.");
    let secret = browser.js("return document.querySelector('.secret').textContent", json!([]));
    let secret = secret.as_str().expect("a secret").to_string();
    assert!(!browser.js(PLACES, json!([])).to_string().contains(&secret));
    browser.click("Overview");
    browser.shows("w1");
    let other = Browser::open(&at(&cluster, "/"));
    other.shows("This cluster asks for a token.");
    other.fill("Token", "wrong-token-0123456789");
    other.click("Sign in");
    other.shows("This token is not known here");
    other.fill("Token", &secret);
    other.click("Sign in");
    other.shows("w1");
    drop(other);
    browser.click("Sign out"); // as whoever made it can at once
    browser.shows("This cluster asks for a token.");
}

#[test]
fn a_token_lets_in_for_what_it_allows_and_until_it_is_revoked() {
    let Some((cluster, browser)) = open(1, "/") else { return };
    cluster.deploy_echo("");
    let spec =
        |name: &str, scope: &str| TokenSpec { name: name.into(), scopes: vec![scope.into()], ..Default::default() };
    let with = |secret: &str| Orchestrator::new(&cluster.head.url()).expect("a URL").token(secret);
    let admin = cluster.client.create_token(&spec("admin", "admin")).expect("a token");
    let client = with(&admin.secret);
    let reader = client.create_token(&spec("reader", "read")).expect("a token");
    browser.js("location.reload()", json!([]));
    browser.shows("This cluster asks for a token.");
    browser.fill("Token", &reader.secret);
    browser.click("Sign in");
    browser.shows("echo");
    assert!(!browser.js(PLACES, json!([])).to_string().contains(&reader.secret));
    browser.go(&at(&cluster, "/functions/echo"));
    browser.click("Delete");
    yes(&browser, "Delete");
    browser.shows("lacks the scope deploy");
    browser.shows("Sign in with a token that may do this");
    assert!(client.function("echo").is_ok());

    let caller = client.create_token(&spec("caller", "invoke")).expect("a token");
    browser.click("Sign out");
    browser.fill("Token", &caller.secret);
    browser.click("Sign in");
    browser.shows("lacks the scope read");
    browser.shows("Not allowed");

    browser.go(&at(&cluster, "/functions/echo"));
    browser.click("Sign out");
    browser.shows("This cluster asks for a token.");
    browser.fill("Token", &admin.secret);
    browser.click("Sign in");
    browser.shows("/invoke/echo");
    browser.click("Tokens");
    browser.click("Revoke reader");
    yes(&browser, "Revoke");
    browser.shows("reader is worthless now");
    browser.click("Make a join token");
    browser.shows("--join-token-file FILE");
    let other = client.create_token(&spec("other", "admin")).expect("a token");
    with(&other.secret).revoke_token("admin").expect("revoked");
    browser.click("Make a join token");
    browser.shows("The token that was used here is no longer good.");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
