#!/bin/sh
# `make lock`: write requirements/*.txt with uv. Versions stay as they are unless UPGRADE=--upgrade says otherwise.
# One resolution for all: dev.txt has everything, and the others take their versions from it.
set -eu
uv=$1
lock() {
  "$uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" "$@"
}
lock pyproject.toml requirements/build.in --extra bot --extra apprise --extra sandbox --extra dev ${UPGRADE:-} --output-file requirements/dev.txt
lock pyproject.toml --extra bot --extra apprise --constraint requirements/dev.txt --output-file requirements/bot.txt
lock pyproject.toml --extra bot --extra sandbox --constraint requirements/dev.txt --output-file requirements/demo.txt
lock requirements/build.in --constraint requirements/dev.txt --output-file requirements/build.txt
