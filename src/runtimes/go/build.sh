# Builds the module's program as the file that is named, which needs no library where it runs.
set -eu
main=$1 said=.cares/said
fail() {
    echo "$1; correct it and deploy again" >&2
    exit 1
}
if ! CGO_ENABLED=0 go build -trimpath -ldflags=-s -o "$main" . 2>"$said"; then
    cat "$said" >&2
    fail "$(grep -v '^#' "$said" | head -n 1 | sed 's/; to add it:$/: have "go get" add it to go.mod/')"
fi
cat "$said" >&2
[ -x "$main" ] || fail "the Go files at the top make no program: they must be of package main"
