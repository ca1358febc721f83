//! How often an address may be wrong: a token that a person chose can be guessed, and the rest cannot. Decides nothing of
//! who gets in.

use super::rate::{self, Buckets, Rate};
use crate::clock;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses of which that is known.
const CLIENTS: usize = 10_000;

/// Wrong tokens of each address.
pub struct Guesses {
    /// `None`: any.
    rate: Option<Rate>,
    wrong: Buckets<IpAddr>,
}

impl Guesses {
    /// At most so many a second; 0: any.
    pub fn new(per_s: u64) -> Self {
        Guesses { rate: Rate::per_second(per_s), wrong: Buckets::new(CLIENTS) }
    }

    /// Whether one more may be looked at; `Err`: how long until then. On this machine any, where a program that has a
    /// wrong one must not keep out all others.
    pub fn may(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        match self.counted(from) {
            Some((client, rate)) => self.wrong.look(&client, rate, clock::now_ns()),
            None => Ok(()),
        }
    }

    /// It was wrong.
    pub fn count(&self, from: Option<IpAddr>) {
        if let Some((client, rate)) = self.counted(from) {
            let _ = self.wrong.take(&client, rate, clock::now_ns()); // several at once may be one too many
        }
    }

    fn counted(&self, from: Option<IpAddr>) -> Option<(IpAddr, Rate)> {
        let from = from.filter(|from| !from.to_canonical().is_loopback())?;
        Some((rate::client(from), self.rate?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_wrong_too_often_waits_and_others_do_not() {
        let guesses = Guesses::new(3);
        let at = |text: &str| Some(text.parse().expect("an address"));
        (0..3).for_each(|_| {
            assert_eq!(guesses.may(at("10.0.0.1")), Ok(()));
            guesses.count(at("10.0.0.1"));
        });
        assert!(guesses.may(at("10.0.0.1")).is_err_and(|wait| wait <= Duration::from_secs(1)));
        assert!(guesses.may(at("::ffff:10.0.0.1")).is_err());
        for other in [at("10.0.0.2"), at("127.0.0.1"), None] {
            (0..2).for_each(|_| guesses.count(other));
            assert_eq!(guesses.may(other), Ok(()), "{other:?}");
        }
        let any = Guesses::new(0);
        (0..100).for_each(|_| any.count(at("10.0.0.1")));
        assert_eq!(any.may(at("10.0.0.1")), Ok(()));
    }

    #[test]
    fn loopback_is_loopback_however_it_is_written() {
        let guesses = Guesses::new(1);
        for home in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let home = Some(home.parse().expect("an address"));
            (0..5).for_each(|_| guesses.count(home));
            assert_eq!(guesses.may(home), Ok(()), "{home:?}");
        }
    }
}
