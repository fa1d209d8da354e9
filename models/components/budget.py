"""How much of a stream a gradient fold learns: all while it is calm, a hash-chosen share past the budget."""

from typing import Final

import numpy as np

from models.counter_random import GOLDEN, finalise, unit
from models.jit import kernel
from schemas.signals import Float32, Float64, Int64, InteractionRows, UInt8, UInt64

WINDOW_MS: Final = 60_000.0
"""Memory of the rate, ms of event time: a burst shorter than this is learned whole."""


class GradientBudget:
    """Chooses the rows that a fold learns by gradient, from their bytes alone.

    The stream's rate is a decayed count over the rows' own times.  While it is within the budget every
    row is chosen; past it a row is chosen if the hash of its person and offset falls below
    ``per_second / rate``.  Counts learn everything: only what costs microseconds a row is sampled.

    Parameters
    ----------
    per_second
        Rows of positive weight per second of event time, above 0.

    Examples
    --------
    >>> budget = GradientBudget(10.0)
    >>> budget.share
    1.0
    """

    def __init__(self, per_second: float) -> None:
        if not per_second > 0.0:
            raise ValueError(f"per_second == {per_second}, must be > 0")
        self.per_second = per_second
        self.state = np.zeros(2)

    @property
    def rate(self) -> float:
        """Rows a second of event time, over the last minute or so."""
        return float(self.state[0]) * 1000.0 / WINDOW_MS

    @property
    def share(self) -> float:
        """Probability with which a row is chosen now."""
        return min(1.0, self.per_second / max(self.rate, 1e-9))

    def choose(self, rows: InteractionRows) -> UInt8:
        """1 where a row is to be learned, shape (n,); rows of weight 0 or less are never chosen."""
        out = np.zeros(len(rows), np.uint8)
        _choose(rows.weight, rows.user, rows.offset, rows.ts, self.per_second, self.state, out)
        return out


@kernel
def _choose(
    weight: Float32, user: UInt64, offset: Int64, ts: Int64, per_second: float, state: Float64, out: UInt8
) -> None:
    """``state``: decayed count of rows, newest time seen (ms)."""
    for r in range(len(weight)):
        if not weight[r] > 0.0:
            continue
        passed = max(ts[r] - state[1], 0.0)
        state[0] = state[0] * np.exp(-passed / WINDOW_MS) + 1.0
        state[1] = max(state[1], np.float64(ts[r]))
        share = per_second * WINDOW_MS / (1000.0 * state[0])
        lot = finalise(user[r] ^ (np.uint64(offset[r]) * GOLDEN))
        out[r] = 1 if unit(lot) < share else 0
