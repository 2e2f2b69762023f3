"""JSON Schema from type hints."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list: {"type": "array"},
    dict: {"type": "object"},
    type(None): {"type": "null"},
    Any: {},
    inspect.Parameter.empty: {},
}


def parameters_schema(execute: Callable[..., Any]) -> dict[str, Any] | None:
    """The schema of what ``execute`` takes after ``task``; ``None`` when it takes nothing more."""
    parameters = list(inspect.signature(execute).parameters.values())[1:]
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if not named:
        return None
    hints = typing.get_type_hints(execute)
    properties: dict[str, Any] = {}
    required = []
    for each in named:
        schema = of_type(hints.get(each.name, each.annotation))
        if each.default is each.empty:
            required.append(each.name)
        elif each.default is not None:
            schema = {**schema, "default": each.default}
        properties[each.name] = schema
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": open_ended,
    }


def of_type(hint: Any) -> dict[str, Any]:
    """The schema of one type hint; unknown ones accept anything."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (list, tuple, set) and arguments:
        return {"type": "array", "items": of_type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": of_type(arguments[1]) if arguments else {}}
    unions = (Union, getattr(types, "UnionType", Union))
    if origin in unions:
        return {"anyOf": [of_type(each) for each in arguments]}
    return {}
