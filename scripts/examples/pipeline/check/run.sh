#!/bin/sh
# Checks what was built, which is in $CARES_DEPENDENCY_RESULTS as JSON; $CHECK says how.
set -e
built=$CARES_DEPENDENCY_RESULTS
case $CHECK in
    spelling) case $built in *teh*) echo "a word is misspelt" >&2; exit 1 ;; esac; echo "spelling: fine" ;;
    size) [ "${#built}" -lt 10000 ] || { echo "too large: ${#built} bytes" >&2; exit 1; }; echo "size: ${#built} bytes" ;;
    digest) echo "digest: $(printf %s "$built" | cksum | cut -d' ' -f1)" ;;
    *) echo "no such check: $CHECK" >&2; exit 2 ;;
esac
