#!/bin/sh
# Builds an artefact of its input: a page.
set -e
printf '<!doctype html><title>built</title><p>%s</p>\n' "$(cat)"
