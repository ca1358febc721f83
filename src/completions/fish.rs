//! The script for fish: one line a word, each said only where it may stand.

use super::{Flag, Value, Verb};

const HEAD: &str = r#"# cares completions fish >~/.config/fish/completions/cares.fish, or: cares completions fish | source
# Whether what stands there so far is just this path of verbs.
function __cares_at
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__cares_valued; and set skip 1
        else if contains -- (string trim "$path $word") $__cares_paths
            set path (string trim "$path $word")
        end
    end
    test "$path" = "$argv[1]"
end
function __cares_functions
    cares list -q -o name 2>/dev/null
end
function __cares_nodes
    cares node list -q -o name 2>/dev/null
end
complete -c cares -f
"#;

pub fn script(verbs: &[Verb]) -> String {
    let paths: Vec<String> = verbs.iter().map(|verb| format!("'{}'", verb.path)).collect();
    let valued = |verb: &Verb| {
        let named = |flag: &Flag| flag.names.iter().map(|name| format!("'{} {name}'", verb.path)).collect::<Vec<_>>();
        verb.flags.iter().filter(|flag| flag.value.is_some()).flat_map(named).collect::<Vec<_>>()
    };
    let valued: Vec<String> = verbs.iter().flat_map(valued).collect();
    let mut script = format!("{HEAD}set -g __cares_paths {}\n", paths.join(" "));
    script += &format!("set -g __cares_valued {}\n", valued.join(" "));
    for verb in verbs {
        let at = format!("complete -c cares -n \"__cares_at '{}'\"", verb.path);
        for (name, about) in &verb.verbs {
            script += &format!("{at} -a {name} -d '{about}'\n");
        }
        for flag in &verb.flags {
            script += &at;
            for name in &flag.names {
                script += &match name.strip_prefix("--") {
                    Some(long) => format!(" -l {long}"),
                    None => format!(" -s {}", name.trim_start_matches('-')),
                };
            }
            script += &flag.value.map(|value| format!(" -r{}", offered(value))).unwrap_or_default();
            script += &format!(" -d '{}'\n", flag.about);
        }
        if let Some(value) = verb.positionals.iter().find(|value| **value != Value::Anything) {
            script += &format!("{at}{}\n", offered(*value));
        }
    }
    script
}

fn offered(value: Value) -> String {
    match value {
        Value::Anything => String::new(),
        Value::Files => " -F".into(),
        Value::Folders => " -a '(__fish_complete_directories)'".into(),
        Value::Functions => " -a '(__cares_functions)'".into(),
        Value::Nodes => " -a '(__cares_nodes)'".into(),
        Value::Words(words) => format!(" -a '{}'", words.join(" ")),
    }
}
