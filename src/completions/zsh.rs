//! The script for zsh: words with what they do.

use super::Verb;

const HEAD: &str = r#"#compdef cares
# cares completions zsh >"${fpath[1]}/_cares", or: source <(cares completions zsh)
_cares() {
    local at= word value= kind i
    local -i positional=0
    local -a verbs flags
    for ((i = 2; i < CURRENT; i++)); do
        word=${words[i]}
        if [[ -n $value ]]; then value=; continue; fi
        _cares_of "$at"
        if [[ $word == -* ]]; then
            value=$(_cares_value "$at" "$word")
        elif (( ${verbs[(I)$word:*]} )); then
            at="${at:+$at }$word"; positional=0
        else
            positional+=1
        fi
    done
    _cares_of "$at"
    kind=$value
    if [[ -z $kind && ${words[CURRENT]} == -* ]]; then
        _describe -o option flags; return
    fi
    if [[ -z $kind && ${#verbs} -gt 0 ]]; then
        _describe verb verbs; return
    fi
    [[ -n $kind ]] || kind=$(_cares_positional "$at" "$positional")
    case $kind in
        files) _files ;;
        folders) _files -/ ;;
        functions) compadd -- ${(f)"$("${words[1]}" list -q -o name 2>/dev/null)"} ;;
        nodes) compadd -- ${(f)"$("${words[1]}" node list -q -o name 2>/dev/null)"} ;;
        words*) compadd -- ${=kind#words} ;;
    esac
}
"#;

pub fn script(verbs: &[Verb]) -> String {
    let mut of = String::from("_cares_of() {\n    verbs=() flags=()\n    case $1 in\n");
    let mut values = String::from("_cares_value() {\n    case \"$1 $2\" in\n");
    let mut positionals = String::from("_cares_positional() {\n    case \"$1/$2\" in\n");
    for verb in verbs {
        let path = &verb.path;
        let told = |name: &str, about: &str| format!(" '{name}:{about}'");
        let below: String = verb.verbs.iter().map(|(name, about)| told(name, about)).collect();
        let each = verb.flags.iter().flat_map(|flag| flag.names.iter().map(|name| told(name, &flag.about)));
        let flags: String = each.collect();
        of += &format!("        '{path}') verbs=({below} ) flags=({flags} ) ;;\n");
        verb.cases(&mut values, &mut positionals);
    }
    let end = "    esac\n}\n";
    let call = "if [[ ${funcstack[1]} == _cares ]]; then _cares \"$@\"; else compdef _cares cares; fi\n";
    format!("{HEAD}{of}{end}{values}{end}{positionals}{end}{call}")
}
