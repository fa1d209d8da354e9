"""Exposure and reward rows for bandit tests, and a world that pays by known laws."""

from collections.abc import Callable

import numpy as np

from models.bandit.thompson import Thompson
from models.fold import Rows
from schemas.signals import ExposureRows, InteractionRows, Kind, ProbeRows, RewardRows

FOREVER = 1e30
"""A half-life or a time in ms that never ends."""


def exposures(item, *, position=0, ts=0, offset=None) -> ExposureRows:
    """One row per shown item; scalars are repeated."""
    n = len(item)
    empty = ExposureRows.empty()
    columns = {f: np.zeros(n, getattr(empty, f).dtype) for f in ExposureRows.__dataclass_fields__}
    columns["item"] = np.asarray(item, np.int32)
    columns["position"] = np.broadcast_to(np.uint8(position), n).copy()
    columns["ts"] = np.broadcast_to(np.int64(ts), n).copy()
    columns["offset"] = np.arange(n) if offset is None else np.broadcast_to(np.int64(offset), n).copy()
    columns["decision"] = np.ones(n, np.uint64)
    columns["propensity"] = columns["p_control"] = columns["p_uniform"] = np.ones(n)
    return ExposureRows(**columns)


def rewards(item, *, kind=Kind.CLICK, amount=1.0, position=0, ts=0, offset=None, decision=1) -> RewardRows:
    """One row per reward; scalars are repeated."""
    n = len(item)
    empty = RewardRows.empty()
    columns = {f: np.zeros(n, getattr(empty, f).dtype) for f in RewardRows.__dataclass_fields__}
    columns["item"] = np.asarray(item, np.int32)
    columns["reward"] = np.full(n, int(kind), np.uint8)
    columns["amount"] = np.broadcast_to(np.float32(amount), n).copy()
    columns["position"] = np.broadcast_to(np.uint8(position), n).copy()
    columns["ts"] = np.broadcast_to(np.int64(ts), n).copy()
    columns["offset"] = np.full(n, 10**9) if offset is None else np.broadcast_to(np.int64(offset), n).copy()
    columns["decision"] = np.full(n, decision, np.uint64)
    return RewardRows(**columns)


def rows(shown=None, got=None, n_items: int = 32) -> Rows:
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


def play(
    bandit: Thompson,
    pay: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]],
    arms: int,
    *,
    steps: int,
    batch: int,
    seed: int,
) -> np.ndarray:
    """Choose the best draw ``steps`` times, learning after every batch; the choices (0-based arms).

    ``pay(choices, t)`` gives a click (0 or 1) and an amount (0: no purchase) for each.
    """
    chosen = np.empty(steps, np.int64)
    slots = np.tile(np.arange(1, arms + 1, dtype=np.int32), batch)
    start = (np.arange(batch + 1) * arms).astype(np.int32)
    for t in range(0, steps, batch):
        seeds = (np.arange(batch) + t).astype(np.uint64) + np.uint64(seed << 32)
        picks = bandit.draw(slots, start, seeds).reshape(batch, arms).argmax(axis=1)
        chosen[t : t + batch] = picks
        click, amount = pay(picks, t)
        shown = exposures(picks + 1, ts=t, offset=np.arange(t, t + batch) * 4)
        at = np.flatnonzero(click)
        clicks = rewards(picks[at] + 1, ts=t, offset=(t + at) * 4 + 1)
        at = np.flatnonzero(amount)
        buys = rewards(picks[at] + 1, kind=Kind.PURCHASE, amount=amount[at], ts=t, offset=(t + at) * 4 + 2)
        for fold in (bandit.click, bandit.purchase):
            fold.learn(rows(shown, clicks if fold is bandit.click else buys, arms + 1))
    return chosen
