#!/usr/bin/env bash
# Checks everything below deploy/ and docker-compose.yml with the linters of each trade. `make lint-deploy` calls it.
# They are installed into a venv below target/, once, and again when requirements.txt changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
requirements=deploy/lint/requirements.txt
venv=${CARGO_TARGET_DIR:-target}/lint-venv
stamp=$venv/$(sha256sum $requirements | cut -c1-16)

if [ ! -e "$stamp" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r $requirements
    touch "$stamp"
fi
PATH=$venv/bin:$PATH
export PATH
exec python deploy/lint/check.py
