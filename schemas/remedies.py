"""What a sender should do about a message that does not fit its type, in words.

msgspec says what it met; a person who reads a dead letter wants to know what to send instead.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec.inspect import (
    CollectionType,
    DictType,
    LiteralType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

_MISSING = re.compile(r"Object missing required field `([^`]+)`")


def remedy_of(words: str, kind: Any, path: str) -> str:
    """The remedy for msgspec's words about the field at ``path`` of a message of type ``kind``.

    Examples
    --------
    >>> remedy_of("Input data was truncated", int, "$")
    'send a complete JSON document'
    >>> remedy_of("Object missing required field `ts`", int, "$.ts")
    'add the field `ts`'
    >>> remedy_of("Expected `int`, got `str`", int, "$.ts")
    'Expected `int`, got `str`'
    """
    if words == "Input data was truncated":
        return "send a complete JSON document"
    if words.startswith("JSON is malformed"):
        return f"{words}: send JSON in UTF-8"
    valid = ", ".join(choices(kind, re.sub(r"\[[^]]*\]", "[]", path)))
    if missing := _MISSING.match(words):
        return f"add the field `{missing[1]}`" + (f", one of {valid}" if valid else "")
    if words.startswith("Invalid ") and valid:
        return f"send one of {valid}"
    if "recursion" in words:
        return "send fewer levels of nesting"
    return words


def missing_field(words: str) -> str | None:
    """The name of a field that is not there, from msgspec's words.

    Examples
    --------
    >>> missing_field("Object missing required field `ts`"), missing_field("Expected `int`")
    ('ts', None)
    """
    found = _MISSING.match(words)
    return found[1] if found else None


@lru_cache(maxsize=256)
def choices(kind: Any, path: str) -> tuple[str, ...]:
    """The words that a field takes, a union's tags included; empty for a field that takes anything.

    Parameters
    ----------
    path
        As msgspec writes it, indices left out: ``"$.kind"``, ``"$[].type"``.

    Examples
    --------
    >>> from schemas.events import Event, Feedback
    >>> choices(Feedback, "$.kind")
    ('cart', 'dislike', 'hide', 'like', 'play', 'rating')
    >>> choices(Event, "$.type")[:2], choices(list[Event], "$[].type")[:2]
    (('click', 'purchase'), ('click', 'purchase'))
    >>> choices(Event, "$.user_id")
    ()
    """
    here: list[Type | str] = [type_info(kind)]
    for step in re.findall(r"\[\]|[^.\[\]]+", path.removeprefix("$")):
        here = [inner for outer in here if not isinstance(outer, str) for inner in _inside(outer, step)]
    found: dict[str, None] = {}
    for kind_here in here:
        found.update(dict.fromkeys([kind_here] if isinstance(kind_here, str) else _words(kind_here)))
    return tuple(found)


def _inside(outer: Type, step: str) -> Iterator[Type | str]:
    """Types of the field or element ``step``, or the tag where the step is the tag field."""
    match outer:
        case UnionType():
            for member in outer.types:
                yield from _inside(member, step)
        case StructType() if step == outer.tag_field:
            yield str(outer.tag)
        case StructType():
            yield from (field.type for field in outer.fields if field.encode_name == step)
        case CollectionType() | VarTupleType() if step == "[]":
            yield outer.item_type
        case DictType() if step == "[]":
            yield outer.value_type


def _words(kind: Type) -> Iterator[str]:
    match kind:
        case LiteralType():
            yield from map(str, kind.values)
        case UnionType():
            for member in kind.types:
                yield from _words(member)
