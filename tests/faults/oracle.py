"""An independent reader of all topics: what was lost, doubled, or shown before it was logged.

It knows the wire formats and nothing of the streams code that wrote them; covers are interpreted here
once more, from their definition.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from models.engine import Engine
from models.users.shard import UserShard
from schemas.events import Decision, Event, decode_event
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from schemas.signals import SignalBlock, decode_block
from schemas.topics import Topic
from streams.state_store import restore
from tests.streams.clients.room import read


@dataclass
class Findings:
    """Everything that may be wrong, by name; all empty when nothing is."""

    missing_events: set[str] = field(default_factory=set)
    signals_lost: set[str] = field(default_factory=set)
    signals_doubled: set[str] = field(default_factory=set)
    cover_gaps: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    state_differs: dict[str, tuple[int, int]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    shown_not_logged: set[str] = field(default_factory=set)
    logged_not_shown: set[str] = field(default_factory=set)
    shown_differently: set[str] = field(default_factory=set)
    opened_twice: set[str] = field(default_factory=set)
    fold_differs: str = ""

    def wrong(self) -> dict[str, Any]:
        """What is not empty."""
        return {k: v for k, v in vars(self).items() if v}


@dataclass
class Sent:
    """What the generator wrote: interaction ids with their people in order, and request ids."""

    interactions: dict[str, str] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)


async def judge(settings: Settings, sent: Sent) -> tuple[Findings, dict[str, int]]:
    """Read everything and compare."""
    found = Findings()
    events = [(r, decode_event(r.value)) for r in await read(settings.kafka, Topic.EVENTS)]
    at = {(r.partition, r.offset): e for r, e in events}
    ids = {e.event_id for e in at.values() if hasattr(e, "event_id")}
    found.missing_events = (sent.interactions.keys() | sent.requests) - ids
    blocks = [decode_block(r.value) for r in await read(settings.kafka, Topic.SIGNALS)]
    _judge_signals(found, blocks, at, sent)
    _judge_order(found, events, sent)
    await _judge_state(found, settings, sent)
    counts = await _judge_lists(found, settings, events, sent)
    found.fold_differs = _judge_folds(settings, blocks, sent)
    return found, counts | {"blocks": len(blocks), "events_in_log": len(events)}


def _judge_signals(
    found: Findings, blocks: list[SignalBlock], at: dict[tuple[int, int], Event], sent: Sent
) -> None:
    applied: dict[int, int] = {}
    seen: Counter[str] = Counter()
    opened: Counter[int] = Counter()
    for block in blocks:
        cover = block.cover
        if cover is None:
            continue
        high = applied.get(cover.partition, -1)
        if cover.after > high:
            found.cover_gaps.append(f"{cover.partition}: {cover.after} after {high}")
        for offset in block.interactions.offset.tolist():
            if high < offset <= cover.to:
                seen[at[cover.partition, offset].event_id] += 1
        for offset in set(block.exposures.offset.tolist()):
            if high < offset <= cover.to:
                opened[at[cover.partition, offset].recommendation.trigger_id] += 1
        applied[cover.partition] = max(high, cover.to)
    found.signals_lost = sent.interactions.keys() - seen.keys()
    found.signals_doubled = {i for i, n in seen.items() if n > 1}
    found.opened_twice = {t for t, n in opened.items() if n > 1}


def _judge_order(found: Findings, events: list[Any], sent: Sent) -> None:
    """First appearances of a person's events stand in the order in which they were sent."""
    last: dict[str, int] = {}
    seen: set[str] = set()
    number = {event_id: n for n, event_id in enumerate(sent.interactions)}
    for _, event in events:
        event_id = getattr(event, "event_id", None)
        if event_id not in number or event_id in seen:
            continue
        seen.add(event_id)
        if number[event_id] < last.get(event.user_id, -1):
            found.out_of_order.append(event_id)
        last[event.user_id] = number[event_id]


async def _judge_state(found: Findings, settings: Settings, sent: Sent) -> None:
    engine = Engine.of(settings)
    want = Counter(sent.interactions.values())
    have: Counter[str] = Counter()
    for partition in range(settings.kafka.partitions):
        restored = await restore(settings.kafka, partition)
        shard: UserShard = engine.open_shard(partition, 0)
        if restored.checkpoint is None:
            continue
        shard.load_checkpoint(restored.checkpoint.shard)
        for block in restored.blocks.values():
            shard.load_block(block)
        for user in want:
            counts = shard.counts_of(user)
            have[user] += counts.get("click", 0) + counts.get("purchase", 0)
    found.state_differs = {u: (want[u], have[u]) for u in want if want[u] != have[u]}


async def _judge_lists(found: Findings, settings: Settings, events: list[Any], sent: Sent) -> dict[str, int]:
    logged = {e.recommendation.decision_id: e.recommendation for _, e in events if isinstance(e, Decision)}
    logged_at = {
        e.recommendation.decision_id: r.timestamp for r, e in reversed(events) if isinstance(e, Decision)
    }
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    shown = [(r, msgspec.json.decode(r.value, type=Recommendation)) for r in records if r.value is not None]
    found.unanswered = sent.requests - {s.trigger_id for _, s in shown}
    for record, one in shown:
        if one.decision_id not in logged or logged_at[one.decision_id] > record.timestamp:
            found.shown_not_logged.add(one.decision_id)
        elif logged[one.decision_id] != one:
            found.shown_differently.add(one.decision_id)
    answered = {s.trigger_id for _, s in shown}
    found.logged_not_shown = {d for d, r in logged.items() if r.trigger_id not in answered}
    triggers = Counter(r.trigger_id for r in logged.values())
    return {
        "decisions": len(logged),
        "decided_twice": sum(n > 1 for n in triggers.values()),
        "published": len(shown),
        "published_again": len(shown) - len({s.decision_id for _, s in shown}),
    }


def _judge_folds(settings: Settings, blocks: list[SignalBlock], sent: Sent) -> str:
    """A fresh fold of the log counts every interaction once."""
    engine = Engine.of(settings)
    for block in blocks:
        engine.learn(block)
    learned = engine.log.rows_learned
    return "" if learned == len(sent.interactions) else f"{learned} rows of {len(sent.interactions)}"
