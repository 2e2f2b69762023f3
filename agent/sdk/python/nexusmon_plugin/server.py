"""The process side of the plugin protocol: JSON-RPC 2.0, one message per line, on standard input and output."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import threading
import traceback
from typing import Any, TextIO

from .plugin import PluginError, Result, WorkerPlugin, manifest
from .task import Task

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
#: The execution raised; ``message`` is the exception, ``data`` its traceback.
EXECUTION_FAILED = -32000
CANCELLED = -32001


def run(plugin: type[WorkerPlugin] | WorkerPlugin) -> None:
    """Serves the plugin until the agent says ``shutdown`` or closes standard input."""
    served = plugin() if isinstance(plugin, type) else plugin
    # Whatever the plugin prints must not disturb the protocol: standard output becomes the log.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", newline="\n")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        manifest(served)
    except PluginError as error:
        print(f"{type(served).__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    asyncio.run(Server(served, protocol).serve(sys.stdin))


class Server:
    """Answers requests; several executions may be in flight."""

    def __init__(self, plugin: WorkerPlugin, output: TextIO) -> None:
        self._plugin = plugin
        self._output = output
        self._lock = threading.Lock()
        self._running: dict[str, tuple[asyncio.Task[None], Task]] = {}
        self._done = asyncio.Event()

    async def serve(self, lines: TextIO) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1000)

        def read() -> None:
            for line in lines:
                asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

        threading.Thread(target=read, daemon=True, name="nexusmon-requests").start()
        while not self._done.is_set():
            line = await queue.get()
            if line is None:
                break
            if line.strip():
                await self.handle(line)
        for running, _ in list(self._running.values()):
            running.cancel()
        await asyncio.gather(*(running for running, _ in self._running.values()), return_exceptions=True)
        await self._plugin.shutdown()

    async def handle(self, line: str) -> None:
        """Takes one line; whatever it holds, the process goes on."""
        try:
            message = json.loads(line)
        except ValueError as error:
            self._fail(None, PARSE_ERROR, f"not JSON: {error}")
            return
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            self._fail(None, INVALID_REQUEST, "a message is an object with a method")
            return
        request, method, params = message.get("id"), message["method"], message.get("params") or {}
        if not isinstance(params, dict):
            self._fail(request, INVALID_PARAMS, "params must be an object")
        elif method == "initialize":
            self._answer(request, manifest(self._plugin))
        elif method == "execute":
            self._start(request, params)
        elif method == "cancel":
            self._cancel(str(params.get("attempt")))
            self._answer(request, {})
        elif method == "spawned":
            self._spawned(params)
        elif method == "shutdown":
            self._done.set()
            self._answer(request, {})
        else:
            self._fail(request, METHOD_NOT_FOUND, f"no method `{method}`")

    def _start(self, request: Any, params: dict[str, Any]) -> None:
        try:
            task = Task(params, self._notify)
        except (KeyError, TypeError, ValueError) as error:
            self._fail(request, INVALID_PARAMS, f"execute: {error!r} is missing or wrong")
            return
        running = asyncio.get_running_loop().create_task(self._execute(request, task))
        self._running[task.attempt] = (running, task)
        running.add_done_callback(lambda _: self._running.pop(task.attempt, None))

    async def _execute(self, request: Any, task: Task) -> None:
        try:
            result = await self._plugin.execute(task, **self._arguments(task))
            if not isinstance(result, Result):
                raise TypeError(f"execute returned {type(result).__name__}, not Result")
            self._answer(request, {"outputs": result.outputs})
        except asyncio.CancelledError:
            self._fail(request, CANCELLED, "cancelled")
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self._fail(request, EXECUTION_FAILED, text, traceback.format_exc())

    def _arguments(self, task: Task) -> dict[str, Any]:
        parameters = list(inspect.signature(self._plugin.execute).parameters.values())[1:]
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return dict(task.params)
        names = {each.name for each in parameters}
        return {key: value for key, value in task.params.items() if key in names}

    def _spawned(self, params: dict[str, Any]) -> None:
        found = self._running.get(str(params.get("attempt")))
        if found is not None:
            found[1]._spawned(params)

    def _cancel(self, attempt: str) -> None:
        found = self._running.get(attempt)
        if found is not None:
            running, task = found
            task.cancelled.set()
            running.cancel()

    def _notify(self, method: str, params: dict[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _answer(self, request: Any, result: Any) -> None:
        if request is not None:
            self._send({"jsonrpc": "2.0", "id": request, "result": result})

    def _fail(self, request: Any, code: int, message: str, data: str | None = None) -> None:
        error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        self._send({"jsonrpc": "2.0", "id": request, "error": error})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            line = json.dumps(message, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            failure = {"code": EXECUTION_FAILED, "message": f"the result is not JSON: {error}"}
            line = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": failure})
        # `task.log` may be called from threads of the plugin's own.
        with self._lock:
            self._output.write(line + "\n")
            self._output.flush()
