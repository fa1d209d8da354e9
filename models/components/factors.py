"""Sequence factors: an online asymmetric factor model of the next item given the recent ones."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.arena import Arena
from models.components.base import Queries, ban
from models.components.budget import GradientBudget
from models.components.nearest import Cells, InvertedFile, follow
from models.components.selecting import select
from models.components.transitions import ignored
from models.counter_random import GOLDEN, finalise, unit
from models.fold import Lent, Rows
from models.jit import brief_kernel, fast_kernel, kernel
from schemas.signals import Float32, Float64, Int32, Int64, UInt8, UInt64
from schemas.snapshots import checksum, pack, unpack

RECENT: Final = 20
LONG: Final = 50
STEEPEST: Final = 15.0
"""Bound of the logit that the head sees."""
FIRST: Final = 1e-3
"""Adagrad's accumulators start here: with 0 an item's first, random gradient would move it a whole step."""


@dataclass(frozen=True, slots=True)
class Step:
    """How the factors learn.

    Parameters
    ----------
    rate
        Of row-wise Adagrad.
    decay, tau, floor
        Lag weight ``decay^lag * (floor + (1 - floor) exp(-gap / tau))``, normalised.
    negatives
        Uniformly sampled per row.
    """

    rate: float = 0.1
    decay: float = 0.75
    tau: float = 300.0
    floor: float = 0.3
    negatives: int = 400


class Factors:
    """Next item given the recent ones, by factors.

    User vector = lag-weighted mean of the last 20 items (table A) + ``|H|^-1/2`` times the sum of the
    last 50 (table B); score = Q x + b; sampled softmax, row-wise Adagrad.

    Asymmetric (Paterek, 2007; Koren, 2008): there is no table of users, so a person's first click
    already has a vector and nothing is forgotten with a person.
    """

    VERSION = 3
    name = "factors"
    columns: tuple[str, ...] = ("factors",)
    extras: tuple[str, ...] = ("factors_logit",)

    def __init__(
        self,
        dimension: int = 64,
        *,
        seed: int = 0,
        step: Step = Step(),
        budget: GradientBudget | None = None,
        index: InvertedFile | None = None,
    ) -> None:
        self.dimension = dimension
        self.step = step
        self.budget = budget or GradientBudget(np.inf)
        self.seed = 2 * abs(seed) + 1
        self.random = np.array([self.seed * 0x9E3779B97F4A7C15 % 2**64], np.uint64)
        self.known = np.zeros(1, np.int64)
        self.arena = Arena()
        for table in "qab":
            self.arena.declare(table, np.float32, (dimension,))
            self.arena.declare(f"{table}_step", np.float32, fill=FIRST)
        self.arena.declare("bias", np.float32)
        self.arena.declare("bias_step", np.float32, fill=FIRST)
        self.filled = 0
        self.index = index or InvertedFile(dimension)
        self.lag = (np.float64(step.decay) ** np.arange(RECENT)).astype(np.float64)

    def reserve(self, n_items: int) -> None:
        """Rows for all slots; new ones start at small values that depend on the slot alone."""
        self.arena.reserve(n_items)
        self.index.reserve(n_items)
        if n_items > self.filled:
            for salt, table in enumerate("qab"):
                _start(self.arena[table], self.filled, n_items, self.seed + salt)
            self.filled = n_items

    def learn(self, rows: Rows) -> None:
        """One gradient step per row within the budget."""
        self.reserve(rows.n_items)
        x, a = rows.interactions, self.arena
        _learn(
            self.budget.choose(x),
            (x.item, x.weight, x.ctx_start, x.ctx_item, x.ctx_gap, x.ctx_kind),
            (a["q"], a["a"], a["b"], a["bias"]),
            (a["q_step"], a["a_step"], a["b_step"], a["bias_step"]),
            self.lag,
            (self.step.rate, self.step.tau, self.step.floor, self.step.negatives),
            self.random,
            self.known,
            self.index.cells(),
            self.index.sizes,
        )

    def vectors(self, queries: Queries) -> Float32:
        """User vectors, shape (n, dimension)."""
        out = np.zeros((len(queries), self.dimension), np.float32)
        a = self.arena
        _vectors(
            (queries.start, queries.item, queries.gap, queries.kind),
            (a["a"], a["b"]),
            self.lag,
            (self.step.tau, self.step.floor),
            out,
        )
        return out

    def candidates(self, queries: Queries, k: int) -> tuple[Int32, Float32]:
        """Items whose factors agree with the person's vector most: of all, or of the likeliest cells."""
        self.reserve(queries.n_items)
        if self.index.ready:
            q, bias = self.arena["q"], self.arena["bias"]
            return self.index.candidates(self.vectors(queries), q, bias, queries, k)
        n = len(queries)
        items, values = np.zeros((n, 1, k), np.int32), np.zeros((n, 1, k), np.float32)
        stamp = queries.marks.take(n, queries.n_items)
        _top(
            self.vectors(queries),
            self.arena["q"],
            self.arena["bias"],
            int(self.known[0]) + 1,
            (queries.ban_start, queries.ban_item),
            queries.marks.stamp,
            stamp,
            items,
            values,
        )
        return items, values

    def scores(self, queries: Queries, start: Int32, item: Int32) -> Float32:
        """Scores of given items, and the same as they are: log-probabilities up to a constant."""
        self.reserve(queries.n_items)
        out = np.zeros((len(item), 2), np.float32)
        _scores(self.vectors(queries), self.arena["q"], self.arena["bias"], start, item, out)
        return out

    def lend(self, n_items: int) -> Lent:
        """Tables, step sizes, cells, and the state of the sampler and of the budget."""
        self.reserve(n_items)
        return Lent({**self._tables(n_items), **self.index.lend(n_items)}, {})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        self._take(lent.arrays)
        self.index.adopt(lent.arrays)

    def snapshot(self) -> bytes:
        """The same, up to the highest slot that has an event."""
        arrays = self._tables(int(self.known[0]) + 1)
        return pack(self.name, self.VERSION, {**arrays, **self.index.export()})

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, _ = unpack(data, self.name, self.VERSION)
        self._take(arrays)
        self.index.load(arrays)

    def _tables(self, n_items: int) -> dict[str, npt.NDArray[Any]]:
        own = {"random": self.random, "known": self.known, "budget": self.budget.state}
        return {**self.arena.export(n_items), **own}

    def _take(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.random, self.known, self.budget.state = arrays["random"], arrays["known"], arrays["budget"]
        self.arena.adopt(arrays)
        self.filled = self.arena.capacity

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def _start(table: Float32, begin: int, end: int, salt: int) -> None:
    d = table.shape[1]
    for i in range(max(begin, 1), end):
        for j in range(d):
            bits = finalise(np.uint64(salt) * GOLDEN + np.uint64(i * 4096 + j))
            table[i, j] = 0.2 * (unit(bits) - 0.5)


@kernel
def _lags(
    first: int,
    count: int,
    item: Int32,
    gap: Float32,
    kind: UInt8,
    lag: Float64,
    tau: float,
    floor: float,
    out: Float64,
) -> int:
    """Normalised lag weights of a history; returns how many of its entries count at all."""
    total = 0.0
    used = 0
    for j in range(count):
        out[j] = 0.0
        if item[first + j] != 0 and not ignored(kind[first + j]):
            used += 1
            if j < len(lag):
                out[j] = lag[j] * (floor + (1.0 - floor) * np.exp(-gap[first + j] / tau))
                total += out[j]
    for j in range(count):
        out[j] /= max(total, 1e-12)
    return used


@fast_kernel
def _vector(
    first: int,
    count: int,
    item: Int32,
    kind: UInt8,
    a: Float32,
    b: Float32,
    lags: Float64,
    scale: float,
    out: Float32,
) -> None:
    out[:] = 0.0
    for j in range(count):
        i = item[first + j]
        if i == 0 or ignored(kind[first + j]):
            continue
        w, s = np.float32(lags[j]), np.float32(scale)
        for d in range(len(out)):
            out[d] += w * a[i, d] + s * b[i, d]


@fast_kernel
def _dot(x: Float32, y: Float32) -> float:
    total = np.float32(0.0)
    for d in range(len(x)):
        total += x[d] * y[d]
    return float(total)


@fast_kernel
def _learn(
    chosen: UInt8,
    x: tuple[Int32, Float32, Int32, Int32, Float32, UInt8],
    tables: tuple[Float32, Float32, Float32, Float32],
    steps: tuple[Float32, Float32, Float32, Float32],
    lag: Float64,
    step: tuple[float, float, float, int],
    random: UInt64,
    known: Int64,
    cells: Cells,
    sizes: tuple[int, int],
) -> None:
    item, weight, ctx_start, ctx_item, ctx_gap, ctx_kind = x
    q, a, b, bias = tables
    rate, tau, floor, negatives = step
    lags = np.zeros(LONG, np.float64)
    user, pull = np.zeros(q.shape[1], np.float32), np.zeros(q.shape[1], np.float32)
    drawn, slope = np.zeros(negatives + 1, np.int32), np.zeros(negatives + 1, np.float32)
    for r in range(len(item)):
        known[0] = max(known[0], item[r])
        if item[r] == 0 or chosen[r] == 0 or known[0] < 2:
            continue
        first = ctx_start[r]
        count = min(ctx_start[r + 1] - first, LONG)
        used = _lags(first, count, ctx_item, ctx_gap, ctx_kind, lag, tau, floor, lags)
        scale = 1.0 / np.sqrt(max(used, 1))
        _vector(first, count, ctx_item, ctx_kind, a, b, lags, scale, user)
        n = _draw(item[r], known[0], random, drawn)
        _slopes(user, q, bias, drawn, n, weight[r], slope)
        _learn_items(drawn, slope, n, user, (q, bias), (steps[0], steps[3]), rate, pull)
        square = _dot(pull, pull) / len(pull)
        for j in range(count):
            i = ctx_item[first + j]
            if i != 0 and not ignored(ctx_kind[first + j]):
                if lags[j] > 1e-4:
                    _nudge(a, i, lags[j], pull, square, steps[1], rate)
                _nudge(b, i, scale, pull, square, steps[2], rate)
        follow(cells, q, bias, item[r], known[0], sizes)


@kernel
def _draw(target: int, known: int, random: UInt64, drawn: Int32) -> int:
    """The target and uniform others of the known items; returns how many."""
    drawn[0] = target
    n = 1
    for _ in range(min(len(drawn) - 1, 2 * known)):
        random[0] += GOLDEN
        high = finalise(random[0]) >> np.uint64(32)
        other = 1 + np.int64((high * np.uint64(known)) >> np.uint64(32))
        if other != target:
            drawn[n] = other
            n += 1
    return n


@fast_kernel
def _slopes(
    user: Float32, q: Float32, bias: Float32, drawn: Int32, n: int, weight: float, slope: Float32
) -> None:
    """Gradient of the log-loss by each drawn item's score."""
    high = np.float32(-1e30)
    for p in range(n):
        i = drawn[p]
        score = np.float32(0.0)
        for d in range(len(user)):
            score += user[d] * q[i, d]
        slope[p] = score + bias[i]
        high = max(high, slope[p])
    total = np.float32(0.0)
    for p in range(n):
        slope[p] = np.exp(slope[p] - high)
        total += slope[p]
    for p in range(n):
        slope[p] = (slope[p] / total - (1.0 if p == 0 else 0.0)) * weight


@fast_kernel
def _learn_items(
    drawn: Int32,
    slope: Float32,
    n: int,
    user: Float32,
    tables: tuple[Float32, Float32],
    steps: tuple[Float32, Float32],
    rate: float,
    pull: Float32,
) -> None:
    """Step of the drawn items by row-wise Adagrad; ``pull`` becomes the gradient by the user vector.

    A person without a history has a vector of zeros, which moves biases only.
    """
    q, bias = tables
    q_step, bias_step = steps
    square = np.float32(_dot(user, user) / len(user))
    pull[:] = 0.0
    for p in range(n):
        i, g = drawn[p], slope[p]
        q_step[i] += g * g * square
        size = np.float32(rate * g / np.sqrt(q_step[i]))
        for d in range(len(user)):
            pull[d] += g * q[i, d]
            q[i, d] -= size * user[d]
        bias_step[i] += g * g
        bias[i] -= rate * g / np.sqrt(bias_step[i])


@fast_kernel
def _nudge(
    table: Float32, i: int, scale: float, by: Float32, square: float, step: Float32, rate: float
) -> None:
    """Row-wise Adagrad on ``gradient = scale * by``; ``square`` is the mean square of ``by``."""
    step[i] += scale * scale * square
    size = np.float32(rate * scale / np.sqrt(step[i]))
    for d in range(len(by)):
        table[i, d] -= size * by[d]


@brief_kernel
def _vectors(
    x: tuple[Int32, Int32, Float32, UInt8],
    tables: tuple[Float32, Float32],
    lag: Float64,
    step: tuple[float, float],
    out: Float32,
) -> None:
    start, item, gap, kind = x
    lags = np.zeros(LONG, np.float64)
    for u in range(len(start) - 1):
        first = start[u]
        count = min(start[u + 1] - first, LONG)
        used = _lags(first, count, item, gap, kind, lag, step[0], step[1], lags)
        _vector(first, count, item, kind, tables[0], tables[1], lags, 1.0 / np.sqrt(max(used, 1)), out[u])


@fast_kernel
def _top(
    vectors: Float32,
    q: Float32,
    bias: Float32,
    n_items: int,
    bans: tuple[Int32, Int32],
    marks: Int32,
    stamp: int,
    items: Int32,
    values: Float32,
) -> None:
    found, score = np.empty(n_items, np.int32), np.empty(n_items, np.float32)
    histogram, keys = np.empty(1024, np.int32), np.empty((2, n_items), np.uint64)
    for u in range(len(vectors)):
        ban(marks, stamp + u, bans[1], bans[0][u], bans[0][u + 1])
        n = 0
        for i in range(1, n_items):
            found[n] = i
            score[n] = _dot(vectors[u], q[i]) + bias[i]
            n += 1 if marks[i] < stamp + u else 0
        select(score[:n], found[:n], (histogram, keys), items[u, 0], values[u, 0])


@brief_kernel
def _scores(vectors: Float32, q: Float32, bias: Float32, start: Int32, item: Int32, out: Float32) -> None:
    for u in range(len(vectors)):
        for p in range(start[u], start[u + 1]):
            out[p, 0] = _dot(vectors[u], q[item[p]]) + bias[item[p]]
            out[p, 1] = min(max(out[p, 0], -STEEPEST), STEEPEST)
