#!/bin/sh
# Runs once for each call: what was sent is on stdin, what is printed is the answer.
name=$(cat)
echo "Hello, ${name:-World}!"
