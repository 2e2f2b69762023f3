"""The base class of plugins, what they return, and the manifest made from them."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Union

from .schema import parameters_schema
from .task import Task

RANKS = ("E", "D", "C", "B", "A", "S")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CAPABILITY = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_EFFECTS = ("reads", "writes", "network", "spends", "irreversible")


class PluginError(Exception):
    """The plugin is not what it should be; the text says which part and why."""


@dataclass
class Result:
    """What an execution gives back. Raise an exception to fail instead."""

    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass
class Capability:
    """One thing a plugin can do, where it differs from the class's own attributes."""

    name: str
    description: str = ""
    risk_level: str | None = None
    requires_approval: bool | None = None
    effects: tuple[str, ...] = ()
    params: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    idempotent: bool | None = None
    dry_run: bool = False
    sandbox: str | None = None


class WorkerPlugin:
    """Subclass this, set the attributes, write ``execute``.

    Parameters of ``execute`` after ``task`` are filled from the task's ``with``; their type hints and defaults become
    the JSON Schema that missions are checked against. Without any, read ``task.params``.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "0.0.0"
    capabilities: ClassVar[list[Union[str, Capability]]] = []  # noqa: UP007 - evaluated on Python 3.9
    #: Rank floor of every capability: E (harmless) to S. The agent only ever raises it.
    risk_level: ClassVar[str] = "E"
    #: Hold every use for a person's consent.
    requires_approval: ClassVar[bool] = False
    #: Which of reads, writes, network, spends, irreversible may happen beyond the workspace.
    effects: ClassVar[tuple[str, ...]] = ()
    #: Whether doing it twice is as good as once.
    idempotent: ClassVar[bool | None] = None
    #: How many executions may be in flight at once.
    concurrency: ClassVar[int] = 1

    async def execute(self, task: Task) -> Result:
        """Do the work of one attempt."""
        raise NotImplementedError

    async def shutdown(self) -> None:
        """Called once before the process ends."""


def manifest(plugin: WorkerPlugin) -> dict[str, Any]:
    """The declaration an agent advertises. Raises :class:`PluginError` naming the attribute that is wrong."""
    if not _NAME.fullmatch(plugin.name or ""):
        raise PluginError(f"name: {plugin.name!r} is not 1 to 64 letters, digits, `_`, `-` or `.`")
    if not plugin.capabilities:
        raise PluginError("capabilities: the list is empty")
    if not inspect.iscoroutinefunction(plugin.execute):
        raise PluginError("execute: must be `async def`")
    if plugin.concurrency < 1:
        raise PluginError("concurrency: must be at least 1")
    if isinstance(plugin.capabilities, str):
        raise PluginError("capabilities: must be a list of names, not one string")
    schema = parameters_schema(plugin.execute)
    return {
        "name": plugin.name,
        "version": plugin.version,
        "concurrency": plugin.concurrency,
        "capabilities": [_capability(plugin, each, schema) for each in plugin.capabilities],
    }


def _capability(
    plugin: WorkerPlugin, each: str | Capability, schema: dict[str, Any] | None
) -> dict[str, Any]:
    one = Capability(each) if isinstance(each, str) else each
    place = f"capabilities: {one.name!r}"
    if not _CAPABILITY.fullmatch(one.name) or len(one.name) > 128:
        raise PluginError(f"{place} is not `plugin.action` in lower case")
    risk = plugin.risk_level if one.risk_level is None else one.risk_level
    if risk not in RANKS:
        raise PluginError(f"risk_level: {risk!r} is not one of {', '.join(RANKS)}")
    effects = set(plugin.effects) | set(one.effects)
    unknown = effects - set(_EFFECTS)
    if unknown:
        raise PluginError(f"effects: {sorted(unknown)} are not among {', '.join(_EFFECTS)}")
    text = one.description or inspect.cleandoc(type(plugin).__doc__ or "").split("\n\n")[0]
    declared: dict[str, Any] = {
        "name": one.name,
        "description": text,
        "risk_level": risk,
        "requires_approval": plugin.requires_approval if one.requires_approval is None else one.requires_approval,
        "effects": {name: name in effects for name in _EFFECTS},
        "dry_run": one.dry_run,
    }
    idempotent = plugin.idempotent if one.idempotent is None else one.idempotent
    optional = {
        "params": one.params if one.params is not None else schema,
        "outputs": one.outputs,
        "idempotent": idempotent,
        "sandbox": one.sandbox,
    }
    declared.update({key: value for key, value in optional.items() if value is not None})
    return declared
