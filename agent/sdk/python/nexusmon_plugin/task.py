"""What an execution sees of its task."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class SpawnRefusedError(Exception):
    """A task was not added; the message says why."""


class Task:
    """One attempt: its parameters, its folders, and what it can tell the agent while it works."""

    def __init__(self, request: dict[str, Any], notify: Callable[[str, dict[str, Any]], None]) -> None:
        self.attempt: str = str(request["attempt"])
        #: Which of the plugin's capabilities is asked for.
        self.capability: str = str(request["capability"])
        self.params: dict[str, Any] = dict(request.get("params") or {})
        #: Where fetched input artifacts lie, by file name.
        self.inputs: dict[str, Path] = {
            str(name): Path(path) for name, path in (request.get("inputs") or {}).items()
        }
        #: A fresh folder of this attempt's own.
        self.workspace: Path = Path(request["workspace"])
        #: Seconds this attempt may take from when it was asked for; ``None`` when unknown.
        self.deadline: float | None = request.get("deadline")
        #: The same for every attempt of one task: for telling a service that this was asked for before.
        self.idempotency_key: str = str(request.get("idempotency_key") or "")
        self.cancelled: asyncio.Event = asyncio.Event()
        self._notify = notify
        self._spawns: dict[str, asyncio.Future[str]] = {}

    def log(self, text: str) -> None:
        """Adds a line, or several, to the attempt's log."""
        self._notify("log", {"attempt": self.attempt, "text": str(text)})

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Says how far it is, 0 to 1, and what it is at."""
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress: {fraction} is not between 0 and 1")
        self._notify("progress", {"attempt": self.attempt, "fraction": fraction, "text": text[:200]})

    def artifact(self, path: str | os.PathLike[str], media_type: str | None = None) -> None:
        """Keeps a file of the workspace as an artifact."""
        full = (self.workspace / path).resolve()
        if not full.is_relative_to(self.workspace.resolve()):
            raise ValueError(f"artifact: {path} is outside the workspace")
        if not full.is_file():
            raise FileNotFoundError(f"artifact: {path} is not a file in the workspace")
        name = full.relative_to(self.workspace.resolve()).as_posix()
        self._notify("artifact", {"attempt": self.attempt, "name": name, "media_type": media_type})

    async def spawn(self, id: str, uses: str, params: dict[str, Any] | None = None, **fields: Any) -> str:  # noqa: A002
        """Adds a task to the mission; gives its id (``tsk_…``) once the coordinator has it.

        It starts when this one has succeeded. ``fields`` are those of a task in a mission file: ``timeout``,
        ``sandbox``, ``artifacts``, ... Needs ``spawn`` in this task's spec, which says what may be added. Raises
        :class:`SpawnRefusedError` with the reason.
        """
        task = {"id": id, "uses": uses, "with": params or {}, **fields}
        number = str(len(self._spawns))
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._spawns[number] = answer
        self._notify("spawn", {"attempt": self.attempt, "id": number, "task": task})
        return await answer

    def _spawned(self, answer: dict[str, Any]) -> None:
        waiting = self._spawns.get(str(answer.get("id")))
        if waiting is None or waiting.done():
            return
        if answer.get("task_id"):
            waiting.set_result(str(answer["task_id"]))
        else:
            waiting.set_exception(SpawnRefusedError(str(answer.get("refused") or "it was refused")))
