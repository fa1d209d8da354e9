"""What all models hold: bytes of an engine's folds, ids and maps."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from models.engine import Engine


def item_state(engine: Engine, items: int) -> dict[str, float]:
    """Bytes per item of every fold, and of ids and maps."""
    known: set[int] = set()
    parts = {fold.name: size_of(fold, known) / items for fold in engine.log.folds}
    return {**parts, "ids": size_of((engine.items, engine.log.items, engine.scorer.maps), known) / items}


def size_of(thing: Any, known: set[int]) -> int:
    """Bytes of an object and of all that it refers to, each thing once; whole arrays behind views.

    Examples
    --------
    >>> size_of({"a": np.zeros(1000)}, set()) > 8000
    True
    """
    total, waiting = 0, [thing]
    while waiting:
        one = waiting.pop()
        if isinstance(one, np.ndarray) and isinstance(one.base, np.ndarray):
            one = one.base
        if id(one) in known or isinstance(one, type) or callable(one):
            continue
        known.add(id(one))
        total += one.nbytes if isinstance(one, np.ndarray) else sys.getsizeof(one)
        waiting.extend(_parts(one))
    return total


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif type(thing).__module__.startswith(("models.", "schemas.")):
        yield from getattr(thing, "__dict__", {}).values()
        for kind in type(thing).__mro__:
            yield from (
                getattr(thing, name) for name in getattr(kind, "__slots__", ()) if hasattr(thing, name)
            )
