# Builds the package's program as the file that is named, whatever its own name is. With `static` after it, the program needs
# no library where it runs.
set -eu
main=$1
if [ "${2:-}" = static ]; then
    # For the program alone: macros are libraries that the compiler loads, which the target's flags leave out when it is named.
    host=$(rustc -vV)
    host=${host#*host: }
    set -- --target "${host%%[[:space:]]*}" --config 'target."cfg(all())".rustflags = ["-C", "target-feature=+crt-static"]'
else
    set --
fi
[ ! -f Cargo.lock ] || set -- --locked "$@"
said=.cares/said
if ! cargo install --quiet --path . --root .cares/out --force --no-track "$@" 2>"$said"; then
    cat "$said" >&2
    # The first error and where it is, or of a chain of causes the last.
    if grep -q '^Caused by' "$said"; then
        why=$(grep . "$said" | tail -n 1 | sed 's/^ *//') where=
    else
        why=$(sed -n '/^error/{s/^error[^:]*: *//p;q;}' "$said") where=$(sed -n '/^error/,$s/^ *--> *//p' "$said" | head -n 1)
    fi
    echo "${where:+$where: }${why:-cargo failed}; correct it and deploy again" >&2
    exit 1
fi
cat "$said" >&2
set -- .cares/out/bin/*
[ $# -eq 1 ] || { echo "Cargo.toml has several programs; leave one, or write a Dockerfile" >&2; exit 1; }
mv "$1" "$main"
