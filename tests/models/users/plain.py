"""The same fold in plain Python, without bounds on memory: what ``UserShard`` must agree with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.events import Click, Decision, Erase, Event, Feedback, Impression, Merge, Purchase, Request, Tick
from schemas.ids import stable_hash

KINDS = {"rating": 7, "like": 3, "dislike": 4, "hide": 5, "play": 8, "cart": 6}


HOUR = 3_600_000


@dataclass
class Person:
    past: list[tuple[str, int, int]] = field(default_factory=list)  # oldest first: item, second, kind
    ids: list[list] = field(default_factory=list)  # oldest first: id, hour, event?, decided?
    counts: dict[str, int] = field(default_factory=dict)
    open: list[tuple[str, int, int, dict[str, tuple[int, float]]]] = field(default_factory=list)
    first: set[int] = field(default_factory=set)


class PlainShard:
    """Rows as tuples: interactions, exposures, rewards."""

    def __init__(self, window: float = 3600.0) -> None:
        self.people: dict[str, Person] = {}
        self.water: dict[tuple, tuple[int, int]] = {}
        self.applied = -1
        self.clock = 0
        self.window = round(window * 1000)
        self.erased: dict[str, int] = {}
        self.interactions: list[tuple] = []
        self.exposures: list[tuple] = []
        self.rewards: list[tuple] = []

    def apply(self, event: Event, offset: int, broker_ts: int) -> None:
        if offset <= self.applied:
            return
        self.applied = offset
        self.clock = max(self.clock, broker_ts)
        if isinstance(event, Tick):
            return
        if isinstance(event, Erase):
            self.people.pop(event.user_id, None)
            self.erased[event.user_id] = event.ts
        elif isinstance(event, Merge):
            self._merge(event)
        elif isinstance(event, Decision):
            self._open(event, offset)
        else:
            self._fact(event, offset)

    def _merge(self, event: Merge) -> None:
        if event.user_id == event.into or event.user_id not in self.people:
            return
        a = self.people.pop(event.user_id)
        b = self.people.setdefault(event.into, Person())
        b.past = interleaved(a.past, b.past)
        b.ids = sorted(a.ids + b.ids, key=lambda e: e[1])
        b.first |= a.first
        b.open = sorted(a.open + b.open, key=lambda d: d[4])
        for kind, n in a.counts.items():
            b.counts[kind] = b.counts.get(kind, 0) + n

    def _open(self, event: Decision, offset: int) -> None:
        made = event.recommendation
        me = self.people.get(made.user_id)
        entry = None if me is None else self._recent(me, made.trigger_id)
        if me is None or (entry is not None and entry[3]):
            return
        if any(d[0] == made.decision_id and d[1] >= self.clock - self.window for d in me.open):
            return
        if entry is None:
            me.ids.append([made.trigger_id, self.clock // HOUR, False, True])
        else:
            entry[3] = True
        shown = {}
        for i in made.items:
            shown.setdefault(i.item_id, (i.position, i.propensity))
            self.exposures.append(
                (made.user_id, offset, i.item_id, i.position, i.propensity, stable_hash(made.decision_id))
            )
        me.open.append((made.decision_id, self.clock, made.ts, shown, offset))

    def _recent(self, me: Person, name: str) -> list | None:
        young = [e for e in me.ids[-64:] if self.clock // HOUR - e[1] <= 24]
        return next((e for e in reversed(young) if e[0] == name), None)

    def _fact(self, event: Event, offset: int) -> None:
        if event.source is not None:
            key = (event.source.topic, event.source.partition, event.source.incarnation)
            place = (event.source.offset, event.source.index)
            if place <= self.water.get(key, (-1, -1)):
                return
            self.water[key] = place
        if event.ts <= self.erased.get(event.user_id, -1):
            return
        me = self.people.setdefault(event.user_id, Person())
        entry = self._recent(me, event.event_id)
        if entry is None:
            me.ids.append([event.event_id, self.clock // HOUR, True, False])
        elif entry[2]:
            return
        else:
            entry[2] = True
        if isinstance(event, Request):
            me.counts["requests"] = me.counts.get("requests", 0) + 1
            return
        if isinstance(event, Impression):
            me.counts["impression"] = me.counts.get("impression", 0) + 1
            return
        kind = KINDS[event.kind] if isinstance(event, Feedback) else 1 if isinstance(event, Click) else 2
        second = event.ts // 1000
        ctx = tuple((i, max(second - s, 0), k) for i, s, k in reversed(me.past[-100:]))
        repeat = any(i == event.item_id for i, _, _ in me.past)
        self.interactions.append((event.user_id, offset, event.item_id, kind, repeat, len(me.past), ctx))
        if kind < 3:
            self._reward(event, kind, offset, me)
        me.past.append((event.item_id, second, kind))

    def _reward(self, event: Click | Purchase, kind: int, offset: int, me: Person) -> None:
        alive = [d for d in reversed(me.open) if d[1] >= self.clock - self.window]
        named = [d for d in alive if d[0] == event.decision_id and event.item_id in d[3]][:1]
        guessed = [] if named else [d for d in alive if event.item_id in d[3]][:1]
        row = (0, 255, 0.0, 0)
        for d in named or guessed:
            row = (stable_hash(d[0]), *d[3][event.item_id], int(bool(guessed)))
        self.rewards.append((event.user_id, offset, event.item_id, kind, *row, int(kind not in me.first)))
        me.first.add(kind)


def interleaved(a: list, b: list) -> list:
    """Two histories by time, each in its own order."""
    out, a, b = [], list(a), list(b)
    while a or b:
        out.append(a.pop(0) if not b or (a and a[0][1] <= b[0][1]) else b.pop(0))
    return out


def rows_of(applied, shard) -> tuple[list[tuple], list[tuple], list[tuple]]:
    """Rows of ``UserShard`` in the same form, users as hashes."""
    return columns_as_rows(applied, shard.items.id_of)


def columns_as_rows(applied: Any, name: Callable[[int], str]) -> tuple[list[tuple], list[tuple], list[tuple]]:
    """Columns of a run, or of a signals block, as tuples; ``name`` gives the id of an item number."""
    a, e, r = applied.interactions, applied.exposures, applied.rewards
    interactions = [
        (
            int(a.user[i]), int(a.offset[i]), name(a.item[i]), int(a.kind[i]), bool(a.repeat[i]),
            int(a.age[i]),
            tuple(
                (name(a.ctx_item[j]), int(a.ctx_gap[j]), int(a.ctx_kind[j]))
                for j in range(a.ctx_start[i], a.ctx_start[i + 1])
            ),
        )
        for i in range(len(a))
    ]  # fmt: skip
    exposures = [
        (
            int(e.user[i]),
            int(e.offset[i]),
            name(e.item[i]),
            int(e.position[i]),
            float(e.propensity[i]),
            int(e.decision[i]),
        )
        for i in range(len(e))
    ]
    rewards = [
        (
            int(r.user[i]), int(r.offset[i]), name(r.item[i]), int(r.reward[i]), int(r.decision[i]),
            int(r.position[i]), float(r.propensity[i]), int(r.inferred[i]), int(r.first[i]),
        )
        for i in range(len(r))
    ]  # fmt: skip
    return interactions, exposures, rewards


def hashed(rows: list[tuple]) -> list[tuple]:
    """Rows of ``PlainShard`` with users as hashes."""
    return [(stable_hash(row[0]), *row[1:]) for row in rows]
