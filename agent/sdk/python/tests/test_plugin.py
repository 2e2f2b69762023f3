"""The package from both sides: manifests and schemas as functions, the protocol with a real process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Literal, Optional

from nexusmon_plugin import Capability, PluginError, Result, Task, WorkerPlugin
from nexusmon_plugin.command import main
from nexusmon_plugin.plugin import manifest
from nexusmon_plugin.schema import parameters_schema

PACKAGE = Path(__file__).resolve().parents[1]

SCRIPT = """
import asyncio
from nexusmon_plugin import Result, SpawnRefusedError, WorkerPlugin, run

class Sample(WorkerPlugin):
    name = "sample"
    capabilities = ["sample.add", "sample.wait", "sample.break", "sample.nonsense", "sample.spawn"]
    concurrency = 4

    async def execute(self, task):
        print("this must not reach the protocol")
        if task.capability == "sample.wait":
            await asyncio.Event().wait()
        if task.capability == "sample.spawn":
            try:
                added = await task.spawn("more", "shell.run", {"script": "true"}, timeout="5s")
            except SpawnRefusedError as refused:
                added = f"refused: {refused}"
            return Result(outputs={"added": added})
        if task.capability == "sample.break":
            raise RuntimeError("broken on purpose")
        if task.capability == "sample.nonsense":
            return Result(outputs={"x": object()})
        task.progress(0.5, "half")
        (task.workspace / "sum.txt").write_text("5")
        task.artifact("sum.txt", "text/plain")
        task.log("adding")
        return Result(outputs={"sum": task.params["a"] + task.params["b"]})

run(Sample)
"""


class Process:
    """A plugin process spoken to line by line."""

    def __init__(self, folder: Path) -> None:
        (folder / "sample.py").write_text(SCRIPT)
        self._process = subprocess.Popen(
            [sys.executable, "sample.py"],
            cwd=folder,
            env={"PYTHONPATH": str(PACKAGE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def request(self, number: int, method: str, **params: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        message: dict[str, Any] = json.loads(self._process.stdout.readline())
        return message

    def end(self) -> int:
        self.request(99, "shutdown")
        code = self._process.wait(timeout=20)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return code


class Protocol(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.process = Process(self.folder)
        self.addCleanup(lambda: self.assertEqual(self.process.end(), 0))

    def execute(self, number: int, capability: str, **params: Any) -> None:
        self.process.request(
            number, "execute", attempt=f"a{number}", capability=capability, params=params, workspace=str(self.folder)
        )

    def test_an_execution_logs_keeps_and_answers(self) -> None:
        self.execute(1, "sample.add", a=2, b=3)
        messages = [self.process.read() for _ in range(4)]
        self.assertEqual([message.get("method") for message in messages], ["progress", "artifact", "log", None])
        self.assertEqual(messages[1]["params"]["name"], "sum.txt")
        self.assertEqual(messages[3], {"jsonrpc": "2.0", "id": 1, "result": {"outputs": {"sum": 5}}})

    def test_one_failure_does_not_disturb_the_next(self) -> None:
        self.execute(1, "sample.break")
        failed = self.process.read()
        self.assertEqual(failed["error"]["message"], "RuntimeError: broken on purpose")
        self.assertIn("Traceback", failed["error"]["data"])
        self.execute(2, "sample.nonsense")
        self.assertIn("not JSON", self.process.read()["error"]["message"])
        self.process.send("this is not JSON")
        self.assertEqual(self.process.read()["error"]["code"], -32700)
        self.process.request(3, "dance")
        self.assertEqual(self.process.read()["error"]["code"], -32601)

    def test_a_task_that_is_added_is_answered(self) -> None:
        self.execute(1, "sample.spawn")
        asked = self.process.read()
        wanted = {"id": "more", "uses": "shell.run", "with": {"script": "true"}, "timeout": "5s"}
        self.assertEqual((asked["method"], asked["params"]["task"]), ("spawn", wanted))
        self.process.request(2, "spawned", attempt="other", id=asked["params"]["id"], task_id="tsk_0")
        self.process.send(json.dumps({"method": "spawned", "params": {**asked["params"], "task_id": "tsk_1"}}))
        self.assertEqual(self.process.read()["result"], {"outputs": {"added": "tsk_1"}})
        self.execute(3, "sample.spawn")
        asked = self.process.read()
        self.process.send(json.dumps({"method": "spawned", "params": {**asked["params"], "refused": "locked"}}))
        self.assertEqual(self.process.read()["result"], {"outputs": {"added": "refused: locked"}})

    def test_cancel_ends_one_of_several(self) -> None:
        self.execute(1, "sample.wait")
        self.process.request(2, "cancel", attempt="a1")
        answers = {message["id"]: message for message in (self.process.read(), self.process.read())}
        self.assertEqual(answers[2]["result"], {})
        self.assertEqual(answers[1]["error"]["code"], -32001)


class Manifests(unittest.TestCase):
    def test_type_hints_become_the_schema(self) -> None:
        async def execute(
            task: Task, path: str, mode: Literal["a", "b"] = "a", tags: Optional[list[str]] = None  # noqa: UP045
        ) -> Result:
            return Result()

        self.assertEqual(
            parameters_schema(execute),
            {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "mode": {"enum": ["a", "b"], "default": "a"},
                    "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
                },
                "required": ["path"],
                "additionalProperties": False,
            },
        )

    def test_what_is_wrong_is_named(self) -> None:
        class Good(WorkerPlugin):
            name = "good"
            capabilities = [Capability("good.work", effects=("network",), risk_level="C")]

            async def execute(self, task: Task) -> Result:
                return Result()

        declared = manifest(Good())["capabilities"][0]
        self.assertEqual((declared["risk_level"], declared["effects"]["network"]), ("C", True))
        for attribute, value in [
            ("name", "no spaces"),
            ("capabilities", []),
            ("capabilities", ["Loud.Case"]),
            ("concurrency", 0),
            ("effects", ("levitates",)),
        ]:
            broken = type("Broken", (Good,), {attribute: value})()
            with self.assertRaisesRegex(PluginError, attribute):
                manifest(broken)

    def test_a_new_plugin_checks_out(self) -> None:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "greeter"
            self.assertEqual(main(["new", str(folder)]), 0)
            self.assertEqual(main(["new", str(folder)]), 1, "an existing folder is never written into")
            done = subprocess.run(
                [sys.executable, "-m", "nexusmon_plugin.command", "check", str(folder)],
                env={"PYTHONPATH": str(PACKAGE)},
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["capabilities"][0]["name"], "greeter.hello")


if __name__ == "__main__":
    unittest.main()
