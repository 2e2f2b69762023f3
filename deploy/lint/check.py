"""Checks images, compose file, units, scripts, chart, dashboard and alert rules; prints one line for each, fails on any."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import compose_spec
import helm_python
import kubernetes_validate
import promql_parser
import yaml

KUBERNETES = ("1.31", "1.35")
# Of `systemd-analyze security`: ten is wide open. What each unit has now, rounded up; it may only become less.
EXPOSURE = {"nexusmon.service": 1.3, "nexusmon-agent.service": 3.0}
CHART = Path("deploy/helm/nexusmon")
GIVEN = {"objects": {"url": "s3://nexusmon/blobs"}}
VALUES = {
    "least": GIVEN,
    "one coordinator, no agents": {**GIVEN, "coordinator": {"replicas": 1}, "agent": {"enabled": False}},
    "everything": {
        "objects": {"url": "s3://b/p", "endpoint": "http://objects:7070", "allowHttp": True},
        "imagePullSecrets": [{"name": "pull"}],
        "coordinator": {
            "replicas": 3,
            "publicUrl": "https://nexus.example",
            "trustedProxies": ["10.0.0.0/8"],
            "agentAddress": "nexus.example:7301",
            "environment": {"NEXUSMON_LOG": "info"},
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "service": {"agents": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
        },
        "ingress": {"enabled": True, "host": "nexus.example", "tlsSecret": "tls", "className": "nginx"},
        "agent": {"labels": {"region": "home"}, "environment": {"NEXUSMON_AGENT_SLOTS": 4}},
        "networkPolicy": {
            "httpFrom": [{"namespaceSelector": {}}],
            "agentsFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
            "agentTo": [{"ports": [{"port": 443}]}],
        },
    },
}


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise AssertionError(said or f"{command[0]} ended with {done.returncode}")
    return said


def shell_scripts() -> str:
    scripts = run("git", "ls-files", "*.sh").split() + [".ci/run"]
    run("shellcheck", *scripts)
    return f"{len(scripts)} scripts"


def dockerfile() -> str:
    run("hadolint", "--failure-threshold", "info", "deploy/Dockerfile")
    text = Path("deploy/Dockerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[2:]
    for stage in stages:
        for needed in ("USER ", "HEALTHCHECK ", "ENTRYPOINT [", "/app/data"):
            assert needed in stage, f"a stage has no {needed}"
        assert "USER root" not in stage and "VOLUME" not in stage
    return f"{len(stages)} images"


def compose() -> str:
    document = yaml.safe_load(Path("docker-compose.yml").read_text())
    services = document["services"]
    plain = {key: value for key, value in document.items() if not key.startswith("x-")}
    with_defaults = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", json.dumps(plain))
    compose_spec.PyCompose.from_json(with_defaults).validate()
    run("compose-lint", "check", "--fail-on", "high", "docker-compose.yml")
    for name, service in services.items():
        for port in service.get("ports", []):
            assert "127.0.0.1" in port, f"{name} publishes {port} beyond loopback by default"
        for key, value in (service.get("environment") or {}).items():
            secret = re.search(r"KEY|SECRET|PASSWORD|DATABASE_URL", key) and not key.endswith("_FILE")
            assert not (secret and value), f"{name} holds a secret in {key}"
        for path in re.findall(r"\./(\S+?):", " ".join(service.get("volumes", []))):
            assert Path(path).exists(), f"{name} mounts {path}, which is not there"
    volumes = {v.split(":")[0] for s in services.values() for v in s.get("volumes", []) if re.match(r"\w+:", v)}
    assert volumes == set(document["volumes"]), "volumes that are named and used differ"
    return f"{len(services)} services"


def units() -> str:
    if not shutil.which("systemd-analyze"):
        return "skipped: this machine has no systemd-analyze"
    scores = []
    for unit, most in EXPOSURE.items():
        path = f"deploy/systemd/{unit}"
        said = run("systemd-analyze", "security", "--offline=true", "--no-pager", path)
        score = float(re.findall(r"exposure level for \S+: ([\d.]+)", said)[0])
        assert score <= most, f"{unit}: exposure {score}, {most} is the most"
        scores.append(f"{unit} {score}")
        # What the programs are is for the machine it is installed on; everything else is to be understood.
        done = subprocess.run(
            ["systemd-analyze", "verify", "--recursive-errors=no", path], capture_output=True, text=True, check=False
        )
        wrong = [line for line in done.stderr.splitlines() if unit in line and "is not executable" not in line]
        assert not wrong, "\n".join(wrong)
    return "exposure: " + ", ".join(scores)


def yaml_files() -> str:
    files = [f for f in run("git", "ls-files", "*.yml", "*.yaml").split() if "/templates/" not in f]
    rules = "{extends: default, rules: {line-length: {max: 130}, document-start: disable, comments: disable, \
        braces: {max-spaces-inside: 1}, truthy: {check-keys: false}}}"
    run("yamllint", "--strict", "-d", rules, *files)
    return f"{len(files)} files"


def chart() -> str:
    objects = 0
    for name, values in VALUES.items():
        report = helm_python.lint(CHART, values=values, strict=True)
        problems = [m for m in report["messages"] if m["severity"] > 1] + report["errors"]
        assert not problems, f"{name}: {problems}"
        rendered = helm_python.Chart.load(CHART).render(values=values, name="demo")
        for path, text in rendered.items():
            if path.endswith(".txt"):
                continue
            for found in filter(None, yaml.safe_load_all(text)):
                for version in KUBERNETES:
                    kubernetes_validate.validate(found, version, strict=True)
                confined(found)
                objects += 1
    for refused in ({}, {"objects": {"url": "file:///data"}}, {**GIVEN, "coordinator": {"replicas": 0}}):
        try:
            helm_python.Chart.load(CHART).render(values=refused, name="demo")
        except helm_python.HelmError:
            continue
        raise AssertionError(f"the chart takes {refused}")
    return f"{objects} objects for Kubernetes {' and '.join(KUBERNETES)}"


def confined(found: dict) -> None:
    """No container as root, none that can become it, no token of the cluster's API."""
    pod = found.get("spec", {}).get("template", {}).get("spec")
    if not pod:
        return
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    for container in pod["containers"] + pod.get("initContainers", []):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["capabilities"]["drop"] == ["ALL"]
        assert not context["allowPrivilegeEscalation"] and container["resources"]
    runs_tasks = found["kind"] == "StatefulSet"
    for container in pod["containers"]:
        secrets = [e["name"] for e in container.get("env", []) if "secretKeyRef" in e.get("valueFrom", {})]
        assert not (runs_tasks and secrets), f"tasks would see {secrets}"


def expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load(Path("deploy/prometheus/nexusmon.rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
            if "alert" in rule:
                assert rule["annotations"]["summary"] and rule["annotations"]["action"], rule["alert"]
                assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
    board = json.loads(Path("deploy/grafana/nexusmon.json").read_text())
    seen = [panel["id"] for panel in board["panels"]]
    assert len(seen) == len(set(seen)), "two panels have one id"
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            yield panel["title"], expression


def monitoring() -> str:
    count = 0
    for name, expression in expressions():
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            raise AssertionError(f"{name}: {error}") from error
        count += 1
    return f"{count} expressions"


def main() -> int:
    failed = 0
    for check in (shell_scripts, dockerfile, compose, units, yaml_files, chart, monitoring):
        try:
            print(f"ok    {check.__name__.replace('_', ' ')}: {check()}")
        except (AssertionError, KeyError, ValueError, FileNotFoundError, helm_python.HelmError) as error:
            failed += 1
            print(f"FAIL  {check.__name__.replace('_', ' ')}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
