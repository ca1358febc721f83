//! The script for bash, without bash-completion.

use super::Verb;

/// What is the same whatever the verbs.
const HEAD: &str = r#"# cares completions bash >/etc/bash_completion.d/cares, or: source <(cares completions bash)
_cares() {
    local cur=${COMP_WORDS[COMP_CWORD]} path= word value= positional=0 verbs flags kind i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $value ]]; then value=; continue; fi
        _cares_of "$path"
        if [[ $word == -* ]]; then
            value=$(_cares_value "$path" "$word")
        elif [[ " $verbs " == *" $word "* ]]; then
            path="${path:+$path }$word"; positional=0
        else
            positional=$((positional + 1))
        fi
    done
    _cares_of "$path"
    kind=$value
    if [[ -z $kind && $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur")); return
    fi
    if [[ -z $kind && -n $verbs ]]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$cur")); return
    fi
    [[ -n $kind ]] || kind=$(_cares_positional "$path" "$positional")
    case $kind in
        files) COMPREPLY=($(compgen -f -- "$cur")) ;;
        folders) COMPREPLY=($(compgen -d -- "$cur")) ;;
        functions) COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" list -q -o name 2>/dev/null)" -- "$cur")) ;;
        nodes) COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" node list -q -o name 2>/dev/null)" -- "$cur")) ;;
        words*) COMPREPLY=($(compgen -W "${kind#words}" -- "$cur")) ;;
    esac
}
"#;

pub fn script(verbs: &[Verb]) -> String {
    let mut of = String::from("_cares_of() {\n    case $1 in\n");
    let mut values = String::from("_cares_value() {\n    case \"$1 $2\" in\n");
    let mut positionals = String::from("_cares_positional() {\n    case \"$1/$2\" in\n");
    for verb in verbs {
        let below: Vec<&str> = verb.verbs.iter().map(|(name, _)| name.as_str()).collect();
        let flags: Vec<&str> = verb.flags.iter().flat_map(|flag| &flag.names).map(String::as_str).collect();
        let (path, below, flags) = (&verb.path, below.join(" "), flags.join(" "));
        of += &format!("        '{path}') verbs='{below}' flags='{flags}' ;;\n");
        verb.cases(&mut values, &mut positionals);
    }
    let end = "    esac\n}\n";
    format!("{HEAD}{of}{end}{values}{end}{positionals}{end}complete -o filenames -F _cares cares\n")
}
