"""``nexusmon-plugin new`` and ``nexusmon-plugin check``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

_CODE = '''\
from nexusmon_plugin import Result, Task, WorkerPlugin, run


class {title}(WorkerPlugin):
    """Says hello."""

    name = "{name}"
    version = "0.1.0"
    capabilities = ["{name}.hello"]
    risk_level = "E"
    requires_approval = False

    async def execute(self, task: Task, who: str = "world") -> Result:
        task.log(f"greeting {{who}}")
        return Result(outputs={{"greeting": f"hello {{who}}"}})


run({title})
'''

_TOML = """\
# How the agent starts this plugin. `strict` is the default profile; more than that needs consent.
command = ["python3", "plugin.py"]
profile = "strict"
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nexusmon-plugin", description="Make and check NEXUSMON plugins.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="write a plugin to start from")
    new.add_argument("folder", type=Path, help="a folder that does not exist yet; its name becomes the plugin's")
    check = commands.add_parser("check", help="start a plugin, read its manifest, say what is wrong")
    check.add_argument("folder", type=Path)
    chosen = parser.parse_args(arguments)
    return _new(chosen.folder) if chosen.command == "new" else _check(chosen.folder)


def _new(folder: Path) -> int:
    name = folder.name.lower().replace(" ", "-")
    if folder.exists():
        print(f"{folder} exists already", file=sys.stderr)
        return 1
    title = "".join(part.capitalize() for part in name.replace("-", "_").split("_")) or "Plugin"
    folder.mkdir(parents=True)
    (folder / "plugin.py").write_text(_CODE.format(title=title, name=name), encoding="utf-8")
    (folder / "plugin.toml").write_text(_TOML, encoding="utf-8")
    print(f"{folder} is ready. Check it: nexusmon-plugin check {folder}")
    return 0


def _check(folder: Path) -> int:
    script = folder / "plugin.py"
    if not script.is_file():
        scripts = sorted(folder.glob("*.py"))
        if len(scripts) != 1:
            print(f"{folder} has no plugin.py", file=sys.stderr)
            return 1
        script = scripts[0]
    requests = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "shutdown"},
    ]
    text = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, input=text, capture_output=True, text=True, timeout=30, check=False
    )
    first = done.stdout.splitlines()[:1]
    answer = json.loads(first[0]) if first else {}
    if "result" not in answer:
        print(done.stderr.strip() or answer or "the plugin said nothing", file=sys.stderr)
        return 1
    print(json.dumps(answer["result"], indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
