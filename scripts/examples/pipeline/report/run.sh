#!/bin/sh
# Gathers what all said; it runs also when a check failed, and then without that one's result.
printf 'report: %s\n' "$CARES_DEPENDENCY_RESULTS"
