"""Logs schemathesis in, and again before each token ends."""

import json
import os
import urllib.request

import schemathesis


@schemathesis.auth(refresh_interval=240)
class OperatorKey:
    def get(self, case, context):
        body = json.dumps({"operator_key": os.environ["OPERATOR_KEY"]}).encode()
        request = urllib.request.Request(
            os.environ["NEXUSMON_URL"] + "/v1/auth/login", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["access_token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
