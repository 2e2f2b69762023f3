#!/usr/bin/env bash
# Tests and lints of the Python package, in a virtual environment of their own.
set -euo pipefail
cd "$(dirname "$0")"
venv=${NEXUSMON_PYTHON_VENV:-../../../target/python}
if [ ! -x "$venv/bin/mypy" ] || [ ! -x "$venv/bin/ruff" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "ruff==0.14.*" "mypy==1.18.*"
fi
"$venv/bin/ruff" check .
"$venv/bin/mypy" nexusmon_plugin tests
"$venv/bin/python" -m unittest discover -s tests -v
