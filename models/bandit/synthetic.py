"""Worlds whose law is known, for judging bandits: who is chosen, who pays, what is learned."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.bandit.thompson import Thompson
from models.fold import Rows
from schemas.signals import ExposureRows, Float64, Int64, InteractionRows, Kind, ProbeRows, RewardRows

FOREVER = 1e30
"""A half-life in ms that never ends."""

Payment = Callable[[Int64, int], tuple[npt.NDArray[np.bool_], Float64]]
"""Arms that were chosen (0-based) from step ``t`` on -> whether each is clicked, what each earns."""


def exposures(
    item: npt.ArrayLike,
    *,
    position: npt.ArrayLike = 0,
    ts: npt.ArrayLike = 0,
    offset: npt.ArrayLike | None = None,
) -> ExposureRows:
    """One row per shown item of one decision; scalars are repeated, offsets count from 0."""
    item = np.asarray(item, np.int32)
    n = len(item)
    ones, zeros = np.ones(n), np.zeros(n, np.uint8)
    return ExposureRows(
        item=item,
        user=np.zeros(n, np.uint64),
        ts=_filled(ts, n),
        offset=_filled(np.arange(n) if offset is None else offset, n),
        decision=np.ones(n, np.uint64),
        position=_filled(position, n).astype(np.uint8),
        propensity=ones,
        p_control=ones,
        p_uniform=ones,
        arm=zeros,
        epoch=np.zeros(n, np.int32),
        explored=zeros,
        pinned=zeros,
    )


def rewards(
    item: npt.ArrayLike,
    *,
    kind: Kind = Kind.CLICK,
    amount: npt.ArrayLike = 1.0,
    position: npt.ArrayLike = 0,
    ts: npt.ArrayLike = 0,
    offset: npt.ArrayLike = 10**9,
    decision: int = 1,
) -> RewardRows:
    """One row per reward; scalars are repeated."""
    item = np.asarray(item, np.int32)
    n = len(item)
    zeros = np.zeros(n, np.uint8)
    return RewardRows(
        item=item,
        user=np.zeros(n, np.uint64),
        ts=_filled(ts, n),
        offset=_filled(offset, n),
        decision=np.full(n, decision, np.uint64),
        position=_filled(position, n).astype(np.uint8),
        propensity=np.ones(n),
        reward=np.full(n, int(kind), np.uint8),
        amount=np.broadcast_to(np.asarray(amount, np.float32), n).copy(),
        lag=np.zeros(n, np.float32),
        inferred=zeros,
        arm=zeros,
        first=zeros,
        epoch=np.zeros(n, np.int32),
    )


def rows(shown: ExposureRows | None = None, got: RewardRows | None = None, n_items: int = 32) -> Rows:
    """What a fold reads."""
    return Rows(
        interactions=InteractionRows.empty(),
        exposures=ExposureRows.empty() if shown is None else shown,
        rewards=RewardRows.empty() if got is None else got,
        probes=ProbeRows.empty(),
        controls=(),
        feature_names=(),
        component_names=(),
        n_items=n_items,
    )


def play(bandit: Thompson, pay: Payment, arms: int, *, steps: int, batch: int, seed: int) -> Int64:
    """Choose the best of one draw per step; learn after every batch.

    Parameters
    ----------
    bandit
        Its slots 1 to ``arms`` are the arms.

    Returns
    -------
    ndarray
        The choices, 0-based, shape (steps,).
    """
    chosen = np.empty(steps, np.int64)
    slots = np.tile(np.arange(1, arms + 1, dtype=np.int32), batch)
    start = (np.arange(batch + 1) * arms).astype(np.int32)
    for t in range(0, steps, batch):
        seeds = (np.arange(batch) + t).astype(np.uint64) + np.uint64(seed << 32)
        picks = bandit.draw(slots, start, seeds).reshape(batch, arms).argmax(axis=1)
        chosen[t : t + batch] = picks
        clicked, earned = pay(picks, t)
        _learn(bandit, picks + 1, t, (np.flatnonzero(clicked), np.flatnonzero(earned), earned), arms + 1)
    return chosen


def _learn(bandit: Thompson, items: Int64, t: int, paid: tuple[Int64, Int64, Float64], n_items: int) -> None:
    clicks, buys, earned = paid
    shown = exposures(items, ts=t, offset=np.arange(t, t + len(items)) * 4)
    got = rewards(items[clicks], ts=t, offset=(t + clicks) * 4 + 1)
    bandit.click.learn(rows(shown, got, n_items))
    got = rewards(items[buys], kind=Kind.PURCHASE, amount=earned[buys], ts=t, offset=(t + buys) * 4 + 2)
    bandit.purchase.learn(rows(shown, got, n_items))


def lai_robbins(rates: Float64) -> float:
    """Regret per unit of log time that no consistent policy can beat (Lai and Robbins 1985).

    Examples
    --------
    >>> lai_robbins(np.array([0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01]))
    17.45
    """
    best = rates.max()
    worse = rates[rates < best]
    divergence = worse * np.log(worse / best) + (1 - worse) * np.log((1 - worse) / (1 - best))
    return float(((best - worse) / divergence).sum())


def _filled(value: npt.ArrayLike, n: int) -> Int64:
    return np.broadcast_to(np.asarray(value, np.int64), n).copy()
