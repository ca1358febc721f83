# Has main.sh checked by the shell that its first line names, and makes it a program.
set -eu
fail() {
    echo "main.sh: $1; correct it and deploy again" >&2
    exit 1
}
first=$(head -n 1 main.sh)
case $first in
*"$(printf '\r')") fail "it has Windows line ends (CRLF), which no shell here reads: save it with Unix ones (LF)" ;;
'#!'*) shell=${first#??} ;;
*) fail "its first line must name the shell, such as #!/bin/sh" ;;
esac
# Of several words, such as /usr/bin/env bash.
set -- $shell
command -v "$1" >/dev/null || fail "its first line names $1, which is not here: name another, such as /bin/sh"
$shell -n main.sh
chmod +x main.sh
