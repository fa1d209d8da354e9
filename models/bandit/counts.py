"""Successes and examined trials per item: what every reward posterior is made of.

An item that was shown in slot ``k`` was *examined* with probability ``θ_k`` only (position-based model,
Lagrée et al. 2016), so that showing it adds ``θ_k`` trials.  A trial that could still bring a reward is
no failure yet: with exponentially distributed delays of mean ``d`` the share ``1 − exp(−age / d)`` of
trials has matured (the recursion needs no timer per trial).  Both are forgotten at a half-life, so that
an item may change (discounted Thompson sampling, Raj and Kalyani 2017).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arena import Arena
from models.fold import Lent, Rows
from models.jit import brief_kernel, kernel
from schemas.signals import Float32, Float64, Int32, Int64, Kind, UInt8, UInt64
from schemas.snapshots import checksum, pack, unpack

POSITIONS: Final = 256
_HITS, _TRIALS, _PENDING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Memory:
    """How a posterior forgets and waits.

    Parameters
    ----------
    half_life
        Event time after which an observation counts half, ms.
    delay
        Mean time from exposure to reward, ms; 0: rewards come at once.
    prior_mean
        Rate that is assumed before anything was seen; the stream's own rate replaces it.
    prior_hits
        Rewards that the prior is worth.  At 1 a new item's rate is as uncertain as it is large,
        whatever the rate; a prior worth a fixed number of trials would hardly try items of rare rewards.
    """

    half_life: float
    delay: float
    prior_mean: float = 0.05
    prior_hits: float = 1.0

    def __post_init__(self) -> None:
        if not (self.half_life > 0.0 and self.delay >= 0.0):
            raise ValueError(f"half_life == {self.half_life}, delay == {self.delay}: must be > 0 and >= 0")
        if not (self.prior_hits > 0.0 and 0.0 < self.prior_mean < 1.0):
            raise ValueError(f"prior {self.prior_mean} worth {self.prior_hits} hits: must be in (0, 1), > 0")


class RewardCounts:
    """A fold of exposures and rewards of one kind.

    Parameters
    ----------
    name
        Of the fold.
    reward
        ``Kind.CLICK`` or ``Kind.PURCHASE``.
    memory
        How it forgets and waits.

    Attributes
    ----------
    arena
        ``counts``: hits, matured and pending trials, shape (slots, 3), as of ``last`` (ms); ``value``:
        number and sum of amounts, shape (slots, 2), not forgotten.
    total
        The stream's hits, matured and pending trials; number and sum of amounts; time, shape (6,).
    places
        Rewards and expected rewards per position, shape (256, 2).
    """

    VERSION = 1

    def __init__(self, name: str, reward: Kind, memory: Memory) -> None:
        self.name = name
        self.reward = reward
        self.memory = memory
        self.arena = Arena()
        self.arena.declare("counts", np.float64, (3,))
        self.arena.declare("value", np.float64, (2,))
        self.arena.declare("last", np.int64)
        self.total = np.zeros(6)
        self.places = prior_places()
        self.rows = 0

    def learn(self, rows: Rows) -> None:
        """Apply exposures and rewards in the order of their events."""
        self.arena.reserve(rows.n_items)
        self.rows = max(self.rows, rows.n_items)
        shown, got = rows.exposures, rows.rewards
        m = self.memory
        _learn(
            (shown.offset, shown.item, shown.position, shown.ts),
            (got.offset, got.item, got.position, got.ts, got.reward, got.amount, got.decision),
            int(self.reward),
            (m.half_life, m.delay, m.prior_hits, m.prior_mean),
            (self.arena["counts"], self.arena["value"], self.arena["last"]),
            self.total,
            self.places,
        )

    def prior(self) -> tuple[float, float]:
        """Alpha and beta of an item that was never shown: the stream's rate, worth ``prior_hits``."""
        m = self.memory
        mean = _rate(self.total, m.prior_hits, m.prior_mean)
        return m.prior_hits, m.prior_hits * (1.0 - mean) / mean

    def posterior(self, slots: Int32) -> Float64:
        """Alpha and beta of each item's rate when examined, shape (n, 2); both above 0."""
        out = np.empty((len(slots), 2))
        alpha, beta = self.prior()
        m = self.memory
        _posterior(
            slots,
            self.arena["counts"][: self.rows],
            self.arena["last"],
            (alpha, beta, m.half_life, m.delay),
            self.total[5],
            out,
        )
        return out

    def examined(self) -> Float64:
        """``θ_k``: the probability that slot ``k`` is looked at, relative to slot 0, shape (256,)."""
        return np.array([_examined(self.places, k) for k in range(POSITIONS)])

    def lend(self, n_items: int) -> Lent:
        """All counts."""
        arrays = {**self.arena.export(n_items), "total": self.total, "places": self.places}
        return Lent(arrays, {"rows": self.rows})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        self.total, self.places = lent.arrays["total"], lent.arrays["places"]
        self.arena.adopt(lent.arrays)
        self.rows = lent.values.get("rows", self.arena.capacity)

    def snapshot(self) -> bytes:
        """The same; how many rows are used shows in their number."""
        return pack(self.name, self.VERSION, self.lend(self.rows).arrays)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


def prior_places() -> Float64:
    """Attention falls like ``1 / log2(k + 2)`` until the stream says otherwise, worth 20 rewards."""
    expected = np.full(POSITIONS, 20.0)
    return np.column_stack([expected / np.log2(np.arange(POSITIONS) + 2.0), expected])


@kernel
def _learn(
    shown: tuple[Int64, Int32, UInt8, Int64],
    got: tuple[Int64, Int32, UInt8, Int64, UInt8, Float32, UInt64],
    reward: int,
    memory: tuple[float, float, float, float],
    state: tuple[Float64, Float64, Int64],
    total: Float64,
    places: Float64,
) -> None:
    offset, item, position, ts = shown
    r_offset, r_item, r_position, r_ts, kind, amount, decision = got
    half_life, delay, hits, mean = memory
    counts, value, last = state
    a = b = 0
    while a < len(offset) or b < len(r_offset):
        if b >= len(r_offset) or (a < len(offset) and offset[a] <= r_offset[b]):
            i, k, now = item[a], position[a], ts[a]
            a += 1
            if i == 0:
                continue
            rate = _rate(total, hits, mean)
            _age(counts[i], last, i, now, half_life, delay)
            _age_total(total, now, half_life, delay)
            theta = _examined(places, k)
            places[k, 1] += (counts[i, _HITS] + hits) / (_all(counts[i]) + hits / rate)
            counts[i, _PENDING] += theta
            total[_PENDING] += theta
        else:
            i, k, now, paid = r_item[b], r_position[b], r_ts[b], np.float64(amount[b])
            wanted = i > 0 and kind[b] == reward and decision[b] != 0
            b += 1
            if not wanted:
                continue
            _age(counts[i], last, i, now, half_life, delay)
            _age_total(total, now, half_life, delay)
            counts[i, _HITS] += 1.0
            total[_HITS] += 1.0
            places[k, 0] += 1.0
            if paid > 0.0 and np.isfinite(paid):
                value[i, 0] += 1.0
                value[i, 1] += paid
                total[3] += 1.0
                total[4] += paid


@kernel
def _all(count: Float64) -> float:
    return float(max(count[_TRIALS] + count[_PENDING], count[_HITS]))


@brief_kernel
def _rate(total: Float64, hits: float, mean: float) -> float:
    """The stream's rate; between 1e-6 and 1 − 1e-6 whatever came."""
    rate = (total[_HITS] + hits) / (max(total[_TRIALS], total[_HITS]) + hits / mean)
    return float(min(max(rate, 1e-6), 1.0 - 1e-6))


@kernel
def _mature(count: Float64, passed: float, half_life: float, delay: float) -> None:
    """Let time pass: trials mature, everything fades."""
    ripe = count[_PENDING] * (1.0 - np.exp(-passed / delay)) if delay > 0.0 else count[_PENDING]
    fade = 0.5 ** (passed / half_life)
    count[_HITS] *= fade
    count[_TRIALS] = (count[_TRIALS] + ripe) * fade
    count[_PENDING] = (count[_PENDING] - ripe) * fade


@kernel
def _age(count: Float64, last: Int64, i: int, now: int, half_life: float, delay: float) -> None:
    if now > last[i]:
        _mature(count, np.float64(now - last[i]), half_life, delay)
        last[i] = now


@kernel
def _age_total(total: Float64, now: int, half_life: float, delay: float) -> None:
    if now > total[5]:
        _mature(total, now - total[5], half_life, delay)
        total[5] = now


@kernel
def _examined(places: Float64, k: int) -> float:
    ratio = (places[k, 0] / places[k, 1]) / (places[0, 0] / places[0, 1])
    return float(min(max(ratio, 0.01), 1.0))


@brief_kernel
def _posterior(
    slots: Int32,
    counts: Float64,
    last: Int64,
    memory: tuple[float, float, float, float],
    now: float,
    out: Float64,
) -> None:
    alpha, beta, half_life, delay = memory
    count = np.empty(3)
    for n in range(len(slots)):
        i = slots[n]
        out[n, 0], out[n, 1] = alpha, beta
        if 0 < i < len(counts):
            count[:] = counts[i]
            _mature(count, max(now - last[i], 0.0), half_life, delay)
            out[n, 0] += count[_HITS]
            out[n, 1] += max(count[_TRIALS] - count[_HITS], 0.0)
