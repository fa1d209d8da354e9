"""What a component is: a fold that proposes and scores items for batches of people."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from models.fold import Fold
from models.jit import kernel
from schemas.signals import Float32, Int32, Int64, UInt8, UInt64

DEAD = np.int32(2**31 - 1)


class Marks:
    """Which fold slots a person must not be shown, as stamps in one array that is never cleared.

    Attributes
    ----------
    stamp
        Shape (capacity,); an item is banned for the person with stamp ``s`` iff ``stamp[item] >= s``;
        delisted items carry ``DEAD``.
    """

    def __init__(self) -> None:
        self.stamp = np.zeros(64, np.int32)
        self.next = 1

    def reserve(self, n_items: int) -> None:
        """Room for all slots below ``n_items``."""
        if n_items > len(self.stamp):
            grown = np.zeros(max(n_items, 2 * len(self.stamp)), np.int32)
            grown[: len(self.stamp)] = self.stamp
            self.stamp = grown

    def take(self, people: int, n_items: int) -> int:
        """Reserve stamps for a batch; the first person's stamp is returned."""
        self.reserve(n_items)
        if self.next + people >= DEAD:
            self.stamp[self.stamp != DEAD] = 0
            self.next = 1
        first = self.next
        self.next += people
        return first


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """``Contexts`` in fold slots, with what must not be shown.

    Attributes
    ----------
    user, now, age
        As in ``Contexts``, shape (n,).
    start, item, gap, kind
        Recent interactions, newest first; item 0 is unknown to the folds.
    ban_start, ban_item
        Fold slots that the person must not be shown.
    marks
        Scratch for bans.
    n_items
        Fold slots in use.
    """

    user: UInt64
    now: Int64
    age: Int32
    start: Int32
    item: Int32
    gap: Float32
    kind: UInt8
    ban_start: Int32
    ban_item: Int32
    marks: Marks
    n_items: int

    def __len__(self) -> int:
        return len(self.user)


@runtime_checkable
class Component(Fold, Protocol):
    """A fold with opinions.

    Attributes
    ----------
    columns
        Names of the scores that it ranks by, one candidate list each; the head sees them as z-scores
        over the component's own top list.
    extras
        Names of further features of a candidate, used as they are (of order one).
    """

    columns: tuple[str, ...]
    extras: tuple[str, ...]

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Best items per person and column.

        Returns
        -------
        tuple of ndarray
            Fold slots and scores, best first, both of shape (n, len(columns), k); slot 0 pads.
        """

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Scores and extras of given items, ragged like ``start``: shape (total, columns + extras)."""


@kernel
def mix(item: int) -> int:
    """Order among equals: a fixed hash, so that ties favour neither old nor popular items."""
    h = (int(item) * 2654435761) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 2246822519) & 0xFFFFFFFF
    return h ^ (h >> 13)


@kernel
def before(value: float, item: int, other_value: float, other: int) -> bool:
    """Whether the first stands above the second: by score, then by hash."""
    if value != other_value:
        return value > other_value
    return mix(item) < mix(other)


@kernel
def ban(stamp: Int32, value: int, items: Int32, begin: int, end: int) -> None:
    """Stamp a person's bans."""
    for p in range(begin, end):
        stamp[items[p]] = max(stamp[items[p]], value)
    stamp[0] = max(stamp[0], value)
