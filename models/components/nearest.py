"""Maximum inner product search that follows moving vectors: an inverted file whose cells split."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.components.base import Queries, ban
from models.components.selecting import select, threshold
from models.jit import fast_kernel, kernel
from schemas.signals import Float32, Int32, Int64

EXACT: Final = 20_000
"""Up to so many items all of them are scored: a small shop's lists are exact."""
CELLS: Final = 2048
SMALL: Final = 512
"""A cell holds at most so many items, or a 512th of all if that is more."""
SCAN: Final = (2048, 64)
"""A search scores this many items and a 64th of all, those of the most promising cells."""
STIFF: Final = 100
"""A centroid moves by 1/100 of the way to an item that joins it, by more while its cell is small."""

Bool = npt.NDArray[np.bool_]
Cells = tuple[Float32, Int32, Int32, Int32, Int32, Int64]
"""centroids, used; members; cell, place (per item); clock: cells, items placed, sweep."""


class InvertedFile:
    """Cells of items with similar (vector, bias), kept up one item at a time.

    Every item of a cell is near its centroid; a query scores the items of the cells whose centroids
    score best (Jegou et al., 2011, without quantisation).  Whenever an item is ``follow``-ed it joins
    the nearest centroid's cell, which it draws towards itself if it is new there (MacQueen, 1967), and one
    other item is looked at again, in turn; a full cell splits in two.  No step costs more than one split, and
    the whole is a function of the sequence of calls: it is part of a fold's state.

    Parameters
    ----------
    dimension
        Of the vectors.
    exact
        Up to so many items there are no cells.
    small
        Items that a cell holds at most while they suffice.
    """

    def __init__(self, dimension: int, *, exact: int = EXACT, small: int = SMALL) -> None:
        self.dimension = dimension
        self.sizes = (exact, small)
        self.scan = SCAN
        self._empty()

    def _empty(self) -> None:
        self.centroids = np.zeros((self.dimension + 2, 0), np.float32)
        self.used = np.zeros(0, np.int32)
        self.members = np.zeros((0, 0), np.int32)
        self.cell = np.zeros(0, np.int32)
        self.place = np.zeros(0, np.int32)
        self.clock = np.zeros(3, np.int64)

    @property
    def ready(self) -> bool:
        """Whether there are cells to search."""
        return int(self.clock[0]) > 0

    def reserve(self, n_items: int) -> None:
        """Room for all slots below ``n_items``."""
        if n_items <= self.sizes[0]:
            return
        if not len(self.used):
            self.centroids = np.zeros((self.dimension + 2, CELLS), np.float32)
            self.used = np.zeros(CELLS, np.int32)
        room = limit_for(n_items, self.sizes[1])
        if room > self.members.shape[1]:
            members = np.zeros((CELLS, room), np.int32)
            members[: len(self.members), : self.members.shape[1]] = self.members
            self.members = members
        if n_items > len(self.cell):
            more = max(n_items, len(self.cell) + len(self.cell) // 4) - len(self.cell)
            self.cell = np.concatenate([self.cell, np.full(more, -1, np.int32)])
            self.place = np.concatenate([self.place, np.zeros(more, np.int32)])

    def cells(self) -> Cells:
        """What kernels take."""
        return (self.centroids, self.used, self.members, self.cell, self.place, self.clock)

    def follow(self, vectors: Float32, bias: Float32, items: Int32, known: int) -> None:
        """Look at items again, and place all up to slot ``known`` that have no place yet."""
        self.reserve(known + 1)
        for item in items.tolist():
            follow(self.cells(), vectors, bias, item, known, self.sizes)

    def candidates(
        self,
        people: Float32,
        vectors: Float32,
        bias: Float32,
        queries: Queries,
        k: int,
        *,
        who: Bool | None = None,
    ) -> tuple[Int32, Float32]:
        """Items whose ``vector @ person + bias`` is highest, as a component's ``candidates`` gives them.

        Parameters
        ----------
        people
            Shape (n, dimension).
        vectors, bias
            Of all items, shape (n_items, dimension) and (n_items,).
        who
            People that are searched for, shape (n,); the others get nothing.  None: all.
        """
        n, placed = len(people), int(self.clock[1])
        items, values = np.zeros((n, 1, k), np.int32), np.zeros((n, 1, k), np.float32)
        stamp = queries.marks.take(n, queries.n_items)
        _search(
            np.ones(n, np.bool_) if who is None else who,
            people,
            self.cells(),
            (vectors, bias),
            min(self.scan[0] + placed // self.scan[1], placed),
            (queries.ban_start, queries.ban_item),
            queries.marks.stamp,
            stamp,
            (items, values),
        )
        return items, values

    def nbytes(self) -> int:
        """Bytes held."""
        own = (self.centroids, self.used, self.members, self.cell, self.place)
        return sum(a.nbytes for a in own)

    def lend(self, n_items: int) -> dict[str, npt.NDArray[Any]]:
        """Arrays as they stand, which ``adopt`` takes."""
        self.reserve(n_items)
        return {
            "cells_centroids": self.centroids,
            "cells_used": self.used,
            "cells_members": self.members,
            "cells_cell": self.cell[:n_items],
            "cells_place": self.place[:n_items],
            "cells_clock": self.clock,
        }

    def adopt(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Hold the arrays that ``lend`` gave."""
        self.centroids, self.used = arrays["cells_centroids"], arrays["cells_used"]
        self.members, self.clock = arrays["cells_members"], arrays["cells_clock"]
        self.cell, self.place = arrays["cells_cell"], arrays["cells_place"]

    def export(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays for a snapshot: nothing that follows from the rest."""
        n = int(self.clock[0])
        used = self.used[:n].copy()
        lists = [self.members[c, : used[c]] for c in range(n)]
        return {
            "cells_clock": self.clock.copy(),
            "cells_used": used,
            "cells_centroids": self.centroids[:, :n].copy(),
            "cells_members": np.concatenate([*lists, np.zeros(0, np.int32)]).astype(np.int32),
        }

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take out of ``arrays`` what ``export`` gave, and become it."""
        self._empty()
        self.clock = arrays.pop("cells_clock")
        used, centroids = arrays.pop("cells_used"), arrays.pop("cells_centroids")
        members = arrays.pop("cells_members")
        if self.ready:
            self.reserve(int(self.clock[1]) + 1)
            self.used[: len(used)] = used
            self.centroids[:, : len(used)] = centroids
            ends = np.cumsum(used)
            for c, end in enumerate(ends.tolist()):
                mine = members[end - used[c] : end]
                self.members[c, : used[c]] = mine
                self.cell[mine] = c
                self.place[mine] = np.arange(used[c])


@kernel
def limit_for(known: int, small: int) -> int:
    """Items that a cell may hold when so many are known."""
    limit = small
    while limit * 512 < known:
        limit *= 2
    return limit


@fast_kernel
def follow(
    cells: Cells, vectors: Float32, bias: Float32, item: int, known: int, sizes: tuple[int, int]
) -> None:
    """Place new items, then look at ``item`` and at the next one of the sweep again."""
    clock = cells[5]
    if known <= sizes[0]:
        return
    limit = limit_for(known, sizes[1])
    while clock[1] < known:
        clock[1] += 1
        _settle(cells, vectors, bias, clock[1], limit)
    if item > 0:
        _settle(cells, vectors, bias, item, limit)
    clock[2] = clock[2] % known + 1
    _settle(cells, vectors, bias, clock[2], limit)


@fast_kernel
def _settle(cells: Cells, vectors: Float32, bias: Float32, item: int, limit: int) -> None:
    """Let an item join the nearest centroid's cell."""
    _, used, _, cell, _, clock = cells
    if clock[0] == 0:
        clock[0] = 1
        _draw_near(cells, vectors, bias, item, 0, np.float32(1.0))
    nearest = _nearest(cells, vectors, bias, item)
    if nearest != cell[item]:
        if used[nearest] >= limit:
            _split(cells, vectors, bias, nearest)
            nearest = _nearest(cells, vectors, bias, item)
            while used[nearest] >= limit:
                nearest = (nearest + 1) % clock[0]
        _leave(cells, item)
        _join(cells, item, nearest)
        _draw_near(cells, vectors, bias, item, nearest, np.float32(1.0 / min(used[nearest] + 1, STIFF)))


@fast_kernel
def _nearest(cells: Cells, vectors: Float32, bias: Float32, item: int) -> int:
    """The cell whose centroid is nearest: highest ``x @ c - |c|^2 / 2``, the first of equal ones."""
    centroids, clock = cells[0], cells[5]
    d, n = vectors.shape[1], clock[0]
    score = centroids[d + 1, :n].copy()
    for j in range(d):
        x, row = vectors[item, j], centroids[j, :n]
        for c in range(n):
            score[c] += x * row[c]
    x, row = bias[item], centroids[d, :n]
    for c in range(n):
        score[c] += x * row[c]
    return int(np.argmax(score))


@fast_kernel
def _draw_near(cells: Cells, vectors: Float32, bias: Float32, item: int, c: int, share: np.float32) -> None:
    """Move a centroid by a share of its way to an item."""
    centroids = cells[0]
    d = vectors.shape[1]
    square = np.float32(0.0)
    for j in range(d):
        centroids[j, c] += share * (vectors[item, j] - centroids[j, c])
        square += centroids[j, c] * centroids[j, c]
    centroids[d, c] += share * (bias[item] - centroids[d, c])
    square += centroids[d, c] * centroids[d, c]
    centroids[d + 1, c] = np.float32(-0.5) * square


@kernel
def _leave(cells: Cells, item: int) -> None:
    _, used, members, cell, place, _ = cells
    c = cell[item]
    if c >= 0:
        used[c] -= 1
        last = members[c, used[c]]
        members[c, place[item]] = last
        place[last] = place[item]
        cell[item] = -1


@kernel
def _join(cells: Cells, item: int, c: int) -> None:
    _, used, members, cell, place, _ = cells
    members[c, used[c]] = item
    cell[item] = c
    place[item] = used[c]
    used[c] += 1


@fast_kernel
def _split(cells: Cells, vectors: Float32, bias: Float32, c: int) -> None:
    """Give the far side of a cell to a new one: two means, and a quarter of the items at least on each."""
    centroids, used, members, _, _, clock = cells
    if clock[0] == CELLS:
        return
    new = clock[0]
    clock[0] += 1
    n = used[c]
    mine = members[c, :n].copy()
    _draw_near(cells, vectors, bias, mine[_farthest(cells, vectors, bias, mine, c)], new, np.float32(1.0))
    _draw_near(cells, vectors, bias, mine[_farthest(cells, vectors, bias, mine, new)], c, np.float32(1.0))
    side = np.zeros(n, np.float32)
    order = np.argsort(side)
    cut = n // 2
    for _ in range(4):
        cut = 0
        for p in range(n):
            side[p] = _closer(centroids, vectors, bias, mine[p], new, c)
            cut += 1 if side[p] < 0.0 else 0
        cut = min(max(cut, n // 4), n - n // 4)
        order = np.argsort(side)
        _mean(centroids, vectors, bias, mine, order[:cut], c)
        _mean(centroids, vectors, bias, mine, order[cut:], new)
    used[c] = 0
    for p in range(n):
        _join(cells, mine[order[p]], c if p < cut else new)


@fast_kernel
def _farthest(cells: Cells, vectors: Float32, bias: Float32, mine: Int32, c: int) -> int:
    centroids = cells[0]
    d, best, at = vectors.shape[1], np.float32(-1.0), 0
    for p in range(len(mine)):
        i = mine[p]
        distance = (bias[i] - centroids[d, c]) ** 2
        for j in range(d):
            distance += (vectors[i, j] - centroids[j, c]) ** 2
        if distance > best:
            best, at = distance, p
    return at


@fast_kernel
def _closer(centroids: Float32, vectors: Float32, bias: Float32, i: int, new: int, old: int) -> np.float32:
    """How much nearer an item is to the new centroid than to the old one; negative: farther."""
    d = vectors.shape[1]
    total = centroids[d + 1, new] - centroids[d + 1, old]
    total += bias[i] * (centroids[d, new] - centroids[d, old])
    for j in range(d):
        total += vectors[i, j] * (centroids[j, new] - centroids[j, old])
    return np.float32(total)


@fast_kernel
def _mean(centroids: Float32, vectors: Float32, bias: Float32, mine: Int32, of: Int64, c: int) -> None:
    d = vectors.shape[1]
    total = np.zeros(d + 1, np.float32)
    for p in of:
        for j in range(d):
            total[j] += vectors[mine[p], j]
        total[d] += bias[mine[p]]
    square = np.float32(0.0)
    for j in range(d + 1):
        centroids[j, c] = total[j] / np.float32(max(len(of), 1))
        square += centroids[j, c] * centroids[j, c]
    centroids[d + 1, c] = np.float32(-0.5) * square


@fast_kernel
def _search(
    who: Bool,
    people: Float32,
    cells: Cells,
    table: tuple[Float32, Float32],
    scan: int,
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    out: tuple[Int32, Float32],
) -> None:
    centroids, used, members, _, _, clock = cells
    n, d = clock[0], people.shape[1]
    promise, histogram = np.empty(n, np.float32), np.empty(1024, np.int32)
    found, score = np.empty(0, np.int32), np.empty(0, np.float32)
    keys = np.empty((2, 0), np.uint64)
    for u in range(len(people)):
        if not who[u]:
            continue
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        promise[:] = centroids[d, :n]
        for j in range(d):
            x, row = people[u, j], centroids[j, :n]
            for c in range(n):
                promise[c] += x * row[c]
        enough = threshold(promise, used[:n], scan, histogram)
        most = 0
        for c in range(n):
            most += used[c] if promise[c] >= enough else 0
        if most >= len(found):
            found, score = np.empty(2 * most + 1, np.int32), np.empty(2 * most + 1, np.float32)
            keys = np.empty((2, 2 * most + 1), np.uint64)
        m = 0
        for c in range(n):
            if promise[c] >= enough:
                m = _scan(people[u], table, members[c, : used[c]], marks, stamp + u, (found, score), m)
        select(score[:m], found[:m], (histogram, keys), out[0][u, 0], out[1][u, 0])


@fast_kernel
def _scan(
    person: Float32,
    table: tuple[Float32, Float32],
    mine: Int32,
    marks: Int32,
    banned: int,
    into: tuple[Int32, Float32],
    m: int,
) -> int:
    """Score a cell's items that are not banned; returns how many are scored now."""
    vectors, bias = table
    for i in mine:
        total = np.float32(0.0)
        for j in range(len(person)):
            total += person[j] * vectors[i, j]
        into[0][m] = i
        into[1][m] = total + bias[i]
        m += 1 if marks[i] < banned else 0
    return m
