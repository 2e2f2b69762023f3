#!/usr/bin/env bash
# Malformed and stateful requests made from the OpenAPI document, in a virtual environment of their own.
#   NEXUSMON_URL=… OPERATOR_KEY=… tests/schemathesis/run.sh openapi.json report.json SEED SECONDS EXAMPLES
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
document=$1 report=$2 seed=$3 seconds=$4 examples=$5
venv=${NEXUSMON_SCHEMATHESIS_VENV:-$here/../../target/schemathesis}
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==4.32.*"
fi
cd "$(dirname "$report")"
# Streams that never end and the end of the own session are tested elsewhere.
export PYTHONPATH=$here SCHEMATHESIS_HOOKS=hooks
exec "$venv/bin/schemathesis" run "$document" --url "$NEXUSMON_URL" \
    --checks not_a_server_error,status_code_conformance \
    --exclude-path-regex '(events|follow|logout|refresh)$' \
    --generation-with-security-parameters false --generation-database none \
    --seed "$seed" --max-time "$seconds" --max-examples "$examples" \
    --continue-on-failure --no-shrink --suppress-health-check all --warnings off \
    --request-timeout 20 --no-color --report json --report-json-path "$report"
