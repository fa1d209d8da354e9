"""Probes: test, then learn, in production."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.fold import take
from models.interning import Interner
from models.scoring import Bool, ProbeScores
from schemas.events import Click, Event, Feedback, Purchase
from schemas.ids import stable_hash
from schemas.signals import Int64, ProbeRows, SignalBlock, UInt8

_SHARE = 2.0**64


class ProbeBudget:
    """Which events are probed: a hash-chosen share of them, at most so many per second of event time.

    Parameters
    ----------
    share
        Between 0 and 1.
    per_second
        Size and refill of the token bucket, by the broker's clock.
    """

    def __init__(self, share: float, per_second: float) -> None:
        self.share = share
        self.per_second = per_second
        self.tokens = per_second
        self.last = 0

    def choose(self, events: Sequence[Event], broker_ts: Int64) -> UInt8:
        """1 where an event should be probed, shape (n,)."""
        out = np.zeros(len(events), np.uint8)
        for n, event in enumerate(events):
            if not isinstance(event, Click | Purchase | Feedback):
                continue
            if self.share < 1.0 and stable_hash(event.event_id, "probe") >= self.share * _SHARE:
                continue
            self._refill(int(broker_ts[n]))
            if self.tokens >= 1.0:
                self.tokens -= 1.0
                out[n] = 1
        return out

    def _refill(self, now: int) -> None:
        if now > self.last:
            self.tokens = min(self.tokens + (now - self.last) * self.per_second / 1000.0, self.per_second)
            self.last = now


def with_probes(
    block: SignalBlock,
    items: Interner,
    probe: ProbeScores,
    *,
    keep: Bool,
    identity: tuple[npt.NDArray[Any], ...],
    names: tuple[tuple[str, ...], tuple[str, ...]],
) -> SignalBlock:
    """A block with probe rows added; ids of their candidates join its dictionary.

    Parameters
    ----------
    keep
        Which of the probes become rows.
    identity
        Universe slot of the item, user hash, ts, offset, weight and arm, each of shape (n,).
    names
        Of features and of components.
    """
    item, user, ts, offset, weight, arm = identity
    opinions = probe.opinions
    rows = ProbeRows(
        item=item,
        user=user,
        ts=ts,
        offset=offset,
        weight=weight,
        arm=arm,
        target=probe.target,
        cand_start=opinions.union.start,
        cand_item=opinions.union.item,
        features=opinions.features,
        ranks=probe.ranks,
        maturity=opinions.maturity,
        gap=opinions.gap,
    )
    if not keep.all():
        rows = take(rows, keep)
    return _joined(block, items, rows, names)


def _joined(
    block: SignalBlock, items: Interner, rows: ProbeRows, names: tuple[tuple[str, ...], tuple[str, ...]]
) -> SignalBlock:
    if not len(rows):
        return block
    index = {name: n for n, name in enumerate(block.items)}
    slots, inverse = np.unique(np.concatenate([rows.item, rows.cand_item]), return_inverse=True)
    of_slot = np.array([index.setdefault(items.id_of(s), len(index)) for s in slots.tolist()], np.int32)
    mapped = of_slot[inverse.reshape(-1)]
    n = len(rows.item)
    return replace(
        block,
        items=tuple(index),
        probes=replace(rows, item=mapped[:n], cand_item=mapped[n:]),
        feature_names=names[0],
        component_names=names[1],
    )
