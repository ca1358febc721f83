//! From words to a parsed command line: mends what argh does not take, and turns its complaints into ours. Must never
//! know what a verb does.

use crate::cli::Cli;
use crate::limits::{self, Of};
use crate::nearest;
use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs};

/// What is printed instead of doing anything.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// Help that was asked for.
    Help(String),
    /// What is wrong, with a hint.
    Usage(String),
}

/// Options of all client verbs; those that take a value are marked. They may also stand before the verb.
const COMMON: [(&str, bool); 6] =
    [("--url", true), ("--output", true), ("-o", true), ("--yes", false), ("--quiet", false), ("-q", false)];

/// Parses the words after the program's name.
pub fn parse(words: &[String]) -> Result<Cli, Instead> {
    let root = Cli::get_args_info();
    let Mended { words, verbs } = mend(words, &root)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Cli::from_args(&["cares"], &words).map_err(|exit| match exit.status {
        Ok(()) => Instead::Help(exit.output + &limits_of(&verbs)),
        Err(()) => Instead::Usage(complaint(exit.output.trim_end(), &verbs, &root)),
    })
}

/// What help adds where a role is started.
fn limits_of(verbs: &[String]) -> String {
    match verbs.first().map(String::as_str) {
        Some("up") => limits::help(Of::Both),
        Some("orchestrator") => limits::help(Of::Orchestrator),
        Some("worker") => limits::help(Of::Worker),
        _ => String::new(),
    }
}

struct Mended {
    words: Vec<String>,
    verbs: Vec<String>,
}

fn mend(given: &[String], root: &argh::CommandInfoWithArgs) -> Result<Mended, Instead> {
    let mut command = root;
    let mut verbs = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut early: Vec<String> = Vec::new(); // common options before the verb they belong to
    let mut verb_end = 0;
    let mut plain: Vec<String> = Vec::new(); // no options whatever they look like; `-` is stdin or stdout
    let mut rest = given.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            plain.extend(rest.cloned());
            break;
        }
        if word == "-" {
            plain.push(word.clone());
            continue;
        }
        if word.is_empty() {
            return Err(Instead::Usage(complaint("an argument is empty: what is it to name?", &verbs, root)));
        }
        if !word.starts_with('-') {
            words.push(word.clone());
            if let Some(sub) = command.commands.iter().find(|sub| sub.name == word) {
                command = &sub.command;
                verbs.push(word.clone());
                verb_end = words.len();
            }
            continue;
        }
        let parts = split(word, command.flags);
        for (name, value) in parts {
            let own = find(command.flags, &name).map(takes_value);
            let common = COMMON.iter().find(|(common, _)| *common == name).map(|(_, takes)| *takes);
            let (target, takes) = match (own, common) {
                (Some(takes), _) => (&mut words, takes),
                (None, Some(takes)) if !command.commands.is_empty() => (&mut early, takes),
                _ => (&mut words, value.is_some()), // argh says what it is not
            };
            target.push(name.clone());
            match (takes, value) {
                (true, Some(value)) => target.push(value),
                (true, None) => target.extend(rest.next().cloned()),
                (false, None) => {}
                (false, Some(_)) => {
                    return Err(Instead::Usage(complaint(&format!("{name} takes no value"), &verbs, root)));
                }
            }
        }
    }
    if verbs.is_empty() {
        words.extend(early);
    } else {
        words.splice(verb_end..verb_end, early);
    }
    if !plain.is_empty() {
        words.push("--".to_string()); // what follows is no option
        words.append(&mut plain);
    }
    Ok(Mended { words, verbs })
}

/// `--name=value`, `-nvalue` and `-abc` taken apart; anything else as it is.
fn split(word: &str, flags: &[FlagInfo]) -> Vec<(String, Option<String>)> {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => vec![(name.to_string(), Some(value.to_string()))],
            None => vec![(word.to_string(), None)],
        };
    }
    let mut parts = Vec::new();
    let letters: Vec<(usize, char)> = word.char_indices().skip(1).collect();
    for (at, letter) in letters {
        let name = format!("-{letter}");
        let takes = find(flags, &name).map(takes_value).or((name == "-o").then_some(true));
        let after = &word[at + letter.len_utf8()..];
        match takes {
            Some(true) if !after.is_empty() => {
                parts.push((name, Some(after.strip_prefix('=').unwrap_or(after).to_string())));
                return parts;
            }
            Some(_) => parts.push((name, None)),
            None if ["-h", "-q"].contains(&name.as_str()) => parts.push((name, None)),
            None => return vec![(word.to_string(), None)],
        }
    }
    parts
}

fn find<'a>(flags: &'a [FlagInfo<'a>], name: &str) -> Option<&'a FlagInfo<'a>> {
    flags.iter().find(|flag| {
        let long = name.strip_prefix("--").is_some_and(|long| flag.long.trim_start_matches('-') == long);
        long || name.strip_prefix('-').is_some_and(|short| flag.short.is_some_and(|c| short == c.to_string()))
    })
}

fn takes_value(flag: &FlagInfo) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { .. })
}

/// What is no number, in the standard library's words and in ours.
const NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "it must be a whole number, not below 0"),
    ("number too large to fit in target type", "it is too large"),
    ("cannot parse integer from empty string", "it must be a number"),
    ("invalid float literal", "it must be a number"),
];

/// One sentence and a hint out of argh's lines.
fn complaint(text: &str, verbs: &[String], root: &argh::CommandInfoWithArgs) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let more: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty() && *line != "help").collect();
    let mut sentence = format!("{first} {}", more.join(", "));
    if let Some(word) = first.strip_prefix("Unrecognized argument: ") {
        let command = verbs.iter().fold(root, |command, verb| {
            command.commands.iter().find(|sub| sub.name == *verb).map_or(command, |sub| &sub.command)
        });
        sentence = match command.commands.is_empty() || word.starts_with('-') {
            true => format!("'{word}' is not understood here"),
            false => format!(
                "there is no verb '{word}'{}",
                nearest::meant(word, command.commands.iter().map(|sub| sub.name))
            ),
        };
    }
    let sentence = sentence.trim();
    let number = NUMBERS.iter().find_map(|(said, meant)| Some(sentence.strip_suffix(said)?.to_string() + meant));
    let sentence = number.as_deref().unwrap_or(sentence);
    let mut letters = sentence.chars();
    let sentence: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let verb: String = verbs.iter().map(|verb| format!(" {verb}")).collect();
    let stop = if sentence.ends_with(['.', '?']) { "" } else { "." };
    format!("{sentence}{stop} See 'cares{verb} --help'.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Format, NodeVerb, Verb};

    fn words(line: &str) -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(str::to_string).collect()
    }

    fn ok(line: &str) -> Cli {
        parse(&words(line)).unwrap_or_else(|instead| panic!("{line}: {instead:?}"))
    }

    fn usage(line: &str) -> String {
        match parse(&words(line)) {
            Err(Instead::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn common_options_stand_anywhere() {
        for line in [
            "list --url http://h -o json -q --yes",
            "--url=http://h -q list --yes --output=json",
            "-ojson --url http://h --yes --quiet list",
            "list -o=json -q --url=http://h --yes",
        ] {
            let Some(Verb::List(list)) = ok(line).verb else { panic!("{line}") };
            let client = list.client();
            assert_eq!((client.url.as_deref(), client.output), (Some("http://h"), Some(Format::Json)), "{line}");
            assert!(client.quiet && client.yes, "{line}");
        }
        let Some(Verb::Node(node)) = ok("node -o name list").verb else { panic!() };
        let NodeVerb::List(list) = node.verb else { panic!() };
        assert_eq!(list.output, Some(Format::Name));
    }

    #[test]
    fn an_argument_that_names_nothing_is_no_name() {
        let usage = |given: &[&str]| parse(&given.iter().map(|word| word.to_string()).collect::<Vec<_>>());
        for (given, verb) in [(&["describe", ""][..], " describe"), (&["task", "get", ""], " task get"), (&[""], "")] {
            let text = format!("an argument is empty: what is it to name? See 'cares{verb} --help'.");
            assert_eq!(usage(given).err(), Some(Instead::Usage(text)), "{given:?}");
        }
        for fine in [&["invoke", "f", "-d", ""][..], &["task", "run", "i", "--", "echo", ""]] {
            assert!(usage(fine).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn values_are_left_alone() {
        let Some(Verb::Invoke(invoke)) = ok("invoke f -d --a=b -H X:--c=d -i --path=/x?y=z").verb else { panic!() };
        assert_eq!(invoke.data.as_deref(), Some("--a=b"));
        assert_eq!(invoke.headers, [("X".to_string(), "--c=d".to_string())]);
        assert_eq!((invoke.path.as_deref(), invoke.include), (Some("/x?y=z"), true));
        let Some(Verb::Logs(logs)) = ok("logs list -fq --tail=5").verb else { panic!() };
        assert_eq!((logs.name.as_deref(), logs.follow, logs.quiet, logs.tail), (Some("list"), true, true, Some(5)));
        let Some(Verb::Register(register)) = ok("register a b --env=A=1 --env B=x=y").verb else { panic!() };
        assert_eq!(register.env.len(), 2);
        let Some(Verb::Invoke(invoke)) = ok("invoke -d - f").verb else { panic!() };
        assert_eq!(invoke.data.as_deref(), Some("-"));
        let Some(Verb::Backup(backup)) = ok("backup - -q").verb else { panic!() };
        assert_eq!((backup.file.as_str(), backup.quiet), ("-", true));
    }

    #[test]
    fn help_is_an_answer_and_mistakes_have_a_hint() {
        for line in ["-h", "--help", "help", "list -h", "list --help", "help list", "node list --help"] {
            assert!(matches!(parse(&words(line)), Err(Instead::Help(text)) if text.contains("Usage: cares")), "{line}");
        }
        for line in ["-V", "--version"] {
            assert!(ok(line).version, "{line}");
        }
        assert!(ok("").verb.is_none());
        assert_eq!(usage("lisst"), "there is no verb 'lisst'; did you mean 'list'? See 'cares --help'.");
        for (line, part) in [
            ("list --nope", "'--nope' is not understood here. See 'cares list --help'"),
            ("node nope", "there is no verb 'nope'. See 'cares node --help'"),
            ("node drian x", "there is no verb 'drian'; did you mean 'drain'? See 'cares node --help'"),
            ("register a", "required positional arguments not provided: image. See 'cares register --help'"),
            ("up --demo=yes", "--demo takes no value. See 'cares up --help'"),
            ("list -o", "'-o'"),
            ("list -o yaml", "yaml"),
            ("list --limit=3", "--limit"),
            ("invoke f -H nocolon", "Name: value"),
            ("--url x", "--url"),
            ("logs f --tail x", "--tail"),
            ("scale f --min -1", "'--min' with value '-1': it must be a whole number, not below 0. See"),
            ("scale f --max 99999999999", "it is too large"),
        ] {
            let text = usage(line);
            assert!(text.contains(part) && text.contains("--help'"), "{line}: {text}");
        }
    }

    #[test]
    fn every_verb_has_help_that_says_what_it_does() {
        fn walk(command: &argh::CommandInfoWithArgs, line: &str) {
            assert!(!command.description.is_empty(), "{line}");
            assert!(matches!(parse(&words(&format!("{line} --help"))), Err(Instead::Help(_))), "{line}");
            for sub in &command.commands {
                walk(&sub.command, &format!("{line} {}", sub.name));
            }
        }
        walk(&Cli::get_args_info(), "");
    }
}
