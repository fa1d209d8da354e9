"""One light pass over decoded events: structs to columns, a type at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from models.interning import Interner
from models.packed import Packed
from models.users.dedup import HighWater
from schemas.events import (
    AnyEvent,
    Click,
    Decision,
    Erase,
    Feedback,
    Impression,
    LoggedDecision,
    LoggedItem,
    Merge,
    Purchase,
    Request,
    Tick,
)
from schemas.ids import stable_hash
from schemas.recommendations import RecommendedItem
from schemas.signals import Arm, Float32, Float64, Int32, Int64, Kind, UInt8, UInt64

REQUEST, DECISION, TICK, BARRIER = 10, 11, 12, 13
"""Codes of what is no interaction; interactions have their ``Kind``.  A barrier is a merge or an erasure."""

CODES: dict[type, int] = {
    Click: Kind.CLICK,
    Purchase: Kind.PURCHASE,
    Impression: Kind.IMPRESSION,
    Feedback: Kind.LIKE,
    Request: REQUEST,
    Decision: DECISION,
    LoggedDecision: DECISION,
    Tick: TICK,
    Merge: BARRIER,
    Erase: BARRIER,
}

FEEDBACK: dict[str, int] = {
    "rating": Kind.RATING,
    "like": Kind.LIKE,
    "dislike": Kind.DISLIKE,
    "hide": Kind.HIDE,
    "play": Kind.PLAY,
    "cart": Kind.CART,
}

WEIGHTS: Float32 = np.ones(16, np.float32)
"""Learning weight by kind: 1, but -1 for a dislike or a hide, and 0 for an impression."""
WEIGHTS[[Kind.DISLIKE, Kind.HIDE]] = -1.0
WEIGHTS[Kind.IMPRESSION] = 0.0


def rating_weight(value: Float64) -> Float64:
    """Learning weight of a rating on a scale to 5: 5 gives 1, 2 gives 0, less counts against.

    Examples
    --------
    >>> rating_weight(np.array([5.0, 2.0, 0.5, np.nan]))
    array([ 1. , 0. , -0.5, 1. ])
    """
    return np.where(np.isnan(value), 1.0, np.clip((value - 2.0) / 3.0, -1.0, 1.0))


@dataclass(slots=True)
class Lists:
    """What the decisions of a run showed, ragged: decision ``j`` has ``item[start[j]:start[j + 1]]``."""

    event: Int64
    id: UInt64
    trigger: UInt64
    ts: Int64
    epoch: Int32
    arm: UInt8
    start: Int64
    item: Int32
    position: UInt8
    propensity: Float64
    p_control: Float64
    p_uniform: Float64
    explored: UInt8
    pinned: UInt8


@dataclass(slots=True)
class EventColumns:
    """Columns of a run without barriers, in its order, shape (n,) each.

    Attributes
    ----------
    code
        ``Kind`` or one of the codes above.
    item
        Universe slot, 0 for what names no item.
    name
        Hash of the event id, 0 where it has none.
    named
        ``stable_hash`` of the decision id that the event names, 0 for none.
    source, source_offset, source_index
        Source number (-1 for none) and coordinates.
    amount
        Revenue of purchases, 1 for clicks.
    owners, owner_names
        User ids in the order of collection: facts a type at a time, then decisions.
    owner
        Which of the owners event ``i`` has, -1 for ticks.
    """

    code: UInt8
    item: Int32
    ts: Int64
    name: UInt64
    named: UInt64
    weight: Float32
    amount: Float32
    source: Int32
    source_offset: Int64
    source_index: Int64
    owners: Packed
    owner_names: list[str]
    owner: Int64
    lists: Lists


def codes_of(events: Sequence[AnyEvent]) -> UInt8:
    """What each event is."""
    return np.fromiter(map(CODES.__getitem__, map(type, events)), np.uint8, len(events))


def collect(events: Sequence[AnyEvent], codes: UInt8, items: Interner, sources: HighWater) -> EventColumns:
    """Columns of events that hold no merge and no erasure.

    Parameters
    ----------
    items
        New item ids are interned.
    sources
        New source partitions are numbered.
    """
    n = len(events)
    collector = _Collector(n, items, sources)
    for kind in (Click, Purchase, Impression, Feedback, Request):
        index = np.flatnonzero(codes == CODES[kind])
        if len(index):
            group = events if len(index) == n else [events[i] for i in index.tolist()]
            collector.facts(kind, index, group)
    index = np.flatnonzero(codes == DECISION)
    if not len(index):
        return collector.finish(codes, NO_LISTS, ())
    decisions = [cast("Decision | LoggedDecision", events[i]) for i in index.tolist()]
    return collector.finish(codes, _lists(decisions, index, items), decisions)


def slots_of(items: Interner, ids: Sequence[str]) -> Int32:
    """Universe slots of item ids; new ones get slots in order of appearance."""
    slots = items.lookup_many(ids)
    for i in np.flatnonzero(slots == 0).tolist():
        slots[i] = items.intern(ids[i])
    return slots


def _opinion(code: UInt8, value: Float64) -> Float32:
    """Learning weight of feedback, by what it says of how much."""
    weight = np.where(code == Kind.RATING, rating_weight(value), WEIGHTS[code])
    played = np.clip(np.nan_to_num(value, nan=1.0), 0.0, 1.0)
    return np.where(code == Kind.PLAY, played, weight).astype(np.float32)


class _Collector:
    def __init__(self, n: int, items: Interner, sources: HighWater) -> None:
        self.items = items
        self.sources = sources
        self.item: Int32 = np.zeros(n, np.int32)
        self.ts: Int64 = np.zeros(n, np.int64)
        self.name: UInt64 = np.zeros(n, np.uint64)
        self.named: UInt64 = np.zeros(n, np.uint64)
        self.weight: Float32 = np.zeros(n, np.float32)
        self.amount: Float32 = np.ones(n, np.float32)
        self.source: Int32 = np.full(n, -1, np.int32)
        self.source_offset: Int64 = np.zeros(n, np.int64)
        self.source_index: Int64 = np.zeros(n, np.int64)
        self.kind: UInt8 = np.zeros(n, np.uint8)
        self.owners: list[str] = []
        self.where: list[Int64] = []

    def facts(self, kind: type, index: Int64, group: Sequence[AnyEvent]) -> None:
        """Fill in the rows of one type."""
        facts = cast("Sequence[Any]", group)
        self.owners.extend([fact.user_id for fact in facts])
        self.where.append(index)
        self.ts[index] = [fact.ts for fact in facts]
        self.name[index] = Packed([fact.event_id for fact in facts]).hashes()
        self._place(index, [fact.source for fact in facts])
        code = np.full(len(index), CODES[kind], np.uint8)
        if kind is Feedback:
            code = np.fromiter([FEEDBACK[fact.kind] for fact in facts], np.uint8, len(index))
        self.kind[index] = code
        self.weight[index] = WEIGHTS[code]
        if kind is not Request:
            self.item[index] = slots_of(self.items, [fact.item_id for fact in facts])
            self._decide(index, [fact.decision_id for fact in facts])
        if kind is Feedback:
            self.weight[index] = _opinion(code, np.array([fact.value for fact in facts], np.float64))
        if kind is Purchase:
            price = np.array([fact.price for fact in facts], np.float64)
            paid = price * np.array([fact.quantity for fact in facts], np.float64)
            self.amount[index] = np.nan_to_num(paid, nan=0.0, posinf=0.0, neginf=0.0)

    def _decide(self, index: Int64, ids: list[str | None]) -> None:
        if ids.count(None) != len(ids):
            self.named[index] = [0 if d is None else stable_hash(d) for d in ids]

    def _place(self, index: Int64, sources: list[Any]) -> None:
        if None in sources:
            index = index[[source is not None for source in sources]]
            sources = [source for source in sources if source is not None]
        self.source[index] = self.sources.numbers_of([(s.topic, s.partition, s.incarnation) for s in sources])
        self.source_offset[index] = [s.offset for s in sources]
        self.source_index[index] = [s.index for s in sources]

    def finish(
        self, codes: UInt8, lists: Lists, decisions: Sequence[Decision | LoggedDecision]
    ) -> EventColumns:
        """All columns."""
        self.owners.extend(d.recommendation.user_id for d in decisions)
        where = np.concatenate([*self.where, lists.event]) if self.owners else np.zeros(0, np.int64)
        owner = np.full(len(codes), -1, np.int64)
        owner[where] = np.arange(len(where))
        self.ts[lists.event] = lists.ts
        return EventColumns(
            code=np.where(self.kind > 0, self.kind, codes),
            item=self.item,
            ts=self.ts,
            name=self.name,
            named=self.named,
            weight=self.weight,
            amount=self.amount,
            source=self.source,
            source_offset=self.source_offset,
            source_index=self.source_index,
            owners=Packed(self.owners),
            owner_names=self.owners,
            owner=owner,
            lists=lists,
        )


def _lists(decisions: Sequence[Decision | LoggedDecision], index: Int64, items: Interner) -> Lists:
    made = [d.recommendation for d in decisions]
    shown: list[RecommendedItem | LoggedItem] = [item for r in made for item in r.items]
    start = np.zeros(len(made) + 1, np.int64)
    np.cumsum([len(r.items) for r in made], out=start[1:])
    return Lists(
        event=index,
        id=np.array([stable_hash(r.decision_id) for r in made], np.uint64),
        trigger=Packed([r.trigger_id for r in made]).hashes(),
        ts=np.array([r.ts for r in made], np.int64),
        epoch=np.array([r.epoch for r in made], np.int32),
        arm=np.array([Arm.HOLDOUT if r.arm == "holdout" else Arm.TREATMENT for r in made], np.uint8),
        start=start,
        item=slots_of(items, [s.item_id for s in shown]),
        position=np.array([s.position for s in shown], np.uint8),
        propensity=np.array([s.propensity for s in shown], np.float64),
        p_control=np.array([s.p_control for s in shown], np.float64),
        p_uniform=np.array([s.p_uniform for s in shown], np.float64),
        explored=np.array([s.explored for s in shown], np.uint8),
        pinned=np.array([s.pinned for s in shown], np.uint8),
    )


NO_LISTS = _lists((), np.zeros(0, np.int64), Interner())
"""Of a run without decisions."""
