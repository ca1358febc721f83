//! The dashboard, as a browser shows it: each page and action against a real cluster.

mod access;
mod apart;
mod deploy;
mod function;
mod live;
mod many;
mod pages;
mod pictures;
mod served;
mod work;

use crate::browser::{Browser, browser_is_there};
use crate::harness::Cluster;

/// A cluster and a browser that shows its dashboard; `None` where there is no browser.
fn open(workers: usize, path: &str) -> Option<(Cluster, Browser)> {
    if !browser_is_there() {
        return None;
    }
    let cluster = Cluster::start(workers);
    let browser = Browser::open(&at(&cluster, path));
    Some((cluster, browser))
}

/// A page's address.
fn at(cluster: &Cluster, path: &str) -> String {
    format!("{}/#{path}", cluster.head.url())
}

/// Answers yes to what is asked before something that cannot be undone.
fn yes(browser: &Browser, name: &str) {
    browser.is_so("it asks first", "return Boolean(document.querySelector('dialog[open]'))");
    browser.click(name);
}
