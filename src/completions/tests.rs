//! The scripts, read by the shells themselves in `tests/it/completions.rs`; here that what they offer is taken.

use super::*;
use crate::usage::{self, Instead};

#[test]
fn every_verb_and_option_is_offered_and_words_are_taken() {
    let mut verbs = Vec::new();
    collect("", &Cli::get_args_info(), &mut verbs);
    assert!(verbs.iter().any(|verb| verb.path == "node list") && verbs.len() > 30);
    for verb in &verbs {
        for flag in &verb.flags {
            assert!(flag.names.iter().all(|name| name.len() > 1) && !flag.about.is_empty(), "{}", verb.path);
            let Some(Value::Words(words)) = flag.value else { continue };
            for word in words {
                let given = verb.path.split(' ').chain([flag.names[0].as_str(), word]);
                let given: Vec<String> =
                    given.chain(std::iter::repeat_n("x", verb.positionals.len())).map(str::to_string).collect();
                let parsed = usage::parse(&given);
                assert!(!matches!(&parsed, Err(Instead::Usage(why)) if why.contains(word)), "{given:?}: {parsed:?}");
            }
        }
    }
}

#[test]
fn scripts_are_for_the_shells_there_are() {
    assert!(["bash", "zsh", "fish"].iter().all(|shell| script(shell).is_some_and(|text| text.contains("pipeline"))));
    assert_eq!(script("tcsh"), None);
}
