"""Vectors of items by slot, and the nearest of them: all are compared, or the likeliest cells."""

from typing import Final

import numpy as np

from models.arena import Arena
from models.components.base import Queries, ban
from models.components.nearest import InvertedFile
from models.components.selecting import select
from models.jit import fast_kernel
from schemas.signals import Float32, Int32, UInt8

EXACT: Final = 4000
"""Up to so many slots all vectors are compared."""
TILE: Final = 32
"""Items compared with everybody before the next ones are."""
ABSENT: Final = -1000.0
"""Bias of a slot without a vector: below any agreement of two."""


class VectorTable:
    """Unit vectors by slot.

    Past ``exact`` slots a search looks into the cells of an ``InvertedFile``, which depend on the order in
    which vectors came: nothing that must be equal on two hosts is derived from them.

    Parameters
    ----------
    dimension
        Of the vectors.
    exact
        Up to so many slots all vectors are compared.
    """

    def __init__(self, dimension: int, *, exact: int = EXACT) -> None:
        self.arena = Arena()
        self.arena.declare("vector", np.float32, (dimension,))
        self.arena.declare("has", np.uint8)
        self.arena.declare("bias", np.float32, fill=ABSENT)
        self.cells = InvertedFile(dimension, exact=exact)
        self.filled = 0
        self.highest = 0

    @property
    def vectors(self) -> Float32:
        """Of all slots, zeros where there is none, shape (capacity, dimension)."""
        vectors: Float32 = self.arena["vector"]
        return vectors

    def reserve(self, n_items: int) -> None:
        """Room for all slots below ``n_items``."""
        self.arena.reserve(n_items)

    def has(self, slot: int) -> bool:
        """Whether a slot has a vector."""
        return slot < self.arena.capacity and bool(self.arena["has"][slot])

    def put(self, slots: Int32, vectors: Float32) -> None:
        """Set vectors; one of zeros is none.

        Parameters
        ----------
        slots
            Distinct, shape (n,).
        vectors
            Length 1 or 0, shape (n, dimension).
        """
        if not len(slots):
            return
        self.highest = max(self.highest, int(slots.max()))
        self.arena.reserve(self.highest + 1)
        some = (vectors != 0.0).any(axis=1)
        self.filled += int(some.sum()) - int(self.arena["has"][slots].sum())
        self.arena["vector"][slots] = vectors
        self.arena["has"][slots] = some
        self.arena["bias"][slots] = np.where(some, 0.0, ABSENT)
        self.cells.follow(self.vectors, self.arena["bias"], slots, self.highest)

    def candidates(self, people: Float32, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Slots whose vectors agree with each person's most, as a component's ``candidates`` gives them."""
        self.reserve(queries.n_items)
        a, n = self.arena, len(queries)
        if self.cells.ready:
            who = np.asarray((people != 0.0).any(axis=1))
            items, values = self.cells.candidates(people, self.vectors, a["bias"], queries, k, who=who)
            absent = values < ABSENT / 2
            items[absent], values[absent] = 0, 0.0
            return items, values
        items, values = np.zeros((n, 1, k), np.int32), np.zeros((n, 1, k), np.float32)
        stamp = queries.marks.take(n, queries.n_items)
        bans = (queries.ban_start, queries.ban_item)
        table = (people, self.vectors, a["has"])
        _top(table, queries.n_items, bans, queries.marks.stamp, stamp, items, values)
        return items, values


@fast_kernel
def _top(
    x: tuple[Float32, Float32, UInt8],
    n_items: int,
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    people, _, has = x
    scores = np.empty((len(people), n_items), np.float32)
    _agreements(x, n_items, scores)
    found, score = np.empty(n_items, np.int32), np.empty(n_items, np.float32)
    histogram, keys = np.empty(1024, np.int32), np.empty((2, n_items), np.uint64)
    for u in range(len(people)):
        if not people[u].any():
            continue
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        n = 0
        for i in range(1, n_items):
            if has[i] == 0 or marks[i] >= stamp + u:
                continue
            found[n] = i
            score[n] = scores[u, i]
            n += 1
        select(score[:n], found[:n], (histogram, keys), items[u, 0], values[u, 0])


@fast_kernel
def _agreements(x: tuple[Float32, Float32, UInt8], n_items: int, out: Float32) -> None:
    """Everybody's agreement with every item.

    A few items at a time, which stay in the nearest cache, for four people at once: their sums have the
    same order as one person's alone.
    """
    people, vector, has = x
    last = len(people) - 1
    for first in range(1, n_items, TILE):
        for u in range(0, len(people), 4):
            a, b = people[u], people[min(u + 1, last)]
            c, d = people[min(u + 2, last)], people[min(u + 3, last)]
            for i in range(first, min(first + TILE, n_items)):
                if has[i] == 0:
                    continue
                v, w = np.float32(0.0), np.float32(0.0)
                y, z = np.float32(0.0), np.float32(0.0)
                for j in range(people.shape[1]):
                    v += a[j] * vector[i, j]
                    w += b[j] * vector[i, j]
                    y += c[j] * vector[i, j]
                    z += d[j] * vector[i, j]
                out[u, i], out[min(u + 1, last), i] = v, w
                out[min(u + 2, last), i], out[min(u + 3, last), i] = y, z
