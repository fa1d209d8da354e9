"""An independent reader of all topics: what was lost, doubled, or shown before it was logged.

It knows the wire formats and nothing of the streams code that wrote them: covers are interpreted here
once more, from their definition, ``events`` are folded by the plain model of ``tests/models/users``, blocks
of state are read by their layout (``stored.py``), and probabilities are computed by their formula
(``propensities.py``).  What is written must agree with these.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from models.engine import Engine
from schemas.deadletters import DeadLetter
from schemas.events import Decision, Event, decode_event
from schemas.ids import stable_hash
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from schemas.signals import SignalBlock, decode_block
from schemas.topics import Topic
from tests.faults.propensities import differ
from tests.faults.report import note
from tests.faults.stored import HISTORY, State, kept_of, stored
from tests.models.users.plain import PlainShard, columns_as_rows, hashed
from tests.streams.clients.room import read
from tests.verdict import accuse

ROWS = ("interactions", "exposures", "rewards")
OFFSET = 1
"""Place of the offset in a row."""

Place = tuple[str, int, int]
"""Topic with its namespace, partition, offset."""
Bytes = tuple[bytes | None, bytes | None]
"""Key and value of a record."""


@dataclass
class Findings:
    """Everything that may be wrong, by name; all empty when nothing is.

    Attributes
    ----------
    state_lags
        Interactions that are in the log and not yet in the state of a worker that has drained.
    state_differs
        People whose state is not the plain fold of their events.
    rows_differ
        Rows of signals that are not those of the plain fold, the join of rewards among them.
    letters_unmeant
        Dead letters of records that nobody wrote to be refused, by place: the sentence that says why.
    letters_missing
        Places of records that were written to be refused, and have no letter.
    letters_differ
        Places whose letter has another key or other bytes, or is told in two ways.
    """

    missing_events: set[str] = field(default_factory=set)
    signals_lost: set[str] = field(default_factory=set)
    signals_doubled: set[str] = field(default_factory=set)
    cover_gaps: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    state_lags: dict[str, tuple[int, int]] = field(default_factory=dict)
    state_differs: dict[str, Any] = field(default_factory=dict)
    rows_differ: list[Any] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    shown_not_logged: set[str] = field(default_factory=set)
    logged_not_shown: set[str] = field(default_factory=set)
    shown_differently: set[str] = field(default_factory=set)
    opened_twice: set[str] = field(default_factory=set)
    propensity_differs: set[str] = field(default_factory=set)
    letters_unmeant: dict[Place, str] = field(default_factory=dict)
    letters_missing: set[Place] = field(default_factory=set)
    letters_differ: set[Place] = field(default_factory=set)
    fold_differs: str = ""

    def wrong(self) -> dict[str, Any]:
        """What is not empty."""
        return {k: v for k, v in vars(self).items() if v}


@dataclass
class Sent:
    """What the generator wrote: interaction ids with their people in order, and request ids.

    Attributes
    ----------
    acknowledged
        Records that the broker acknowledged, repeats included.
    refused
        Records that it did not: the producer gave up.
    poison
        Key and value of records that are to be refused, by the place where they stand.
    """

    interactions: dict[str, str] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)
    poison: dict[Place, Bytes] = field(default_factory=dict)
    seed: int = 0


class Logged(NamedTuple):
    """A record of ``events``."""

    partition: int
    offset: int
    ts: int
    event: Event


async def judge(settings: Settings, sent: Sent) -> tuple[Findings, dict[str, int]]:
    """Read everything and compare."""
    found = Findings()
    records = await read(settings.kafka, Topic.EVENTS)
    events = [Logged(r.partition, r.offset, r.timestamp, decode_event(r.value)) for r in records]
    at = {(e.partition, e.offset): e.event for e in events}
    ids = {e.event_id for e in at.values() if hasattr(e, "event_id")}
    found.missing_events = (sent.interactions.keys() | sent.requests) - ids
    blocks = [decode_block(r.value) for r in await read(settings.kafka, Topic.SIGNALS)]
    _judge_signals(found, blocks, at, sent)
    _judge_order(found, events, sent)
    counts = _judge_folds(found, settings, events, blocks, await stored(settings.kafka))
    counts |= await _judge_lists(found, settings, events, sent)
    counts["propensities"] = _judge_propensities(found, events)
    counts |= judge_letters(found, await read(settings.kafka, Topic.DEAD_LETTERS), sent.poison)
    found.fold_differs = _judge_learning(settings, blocks, sent)
    counts |= {"blocks": len(blocks), "events_in_log": len(events), "acknowledged": sent.acknowledged}
    _tell(found, sent, counts)
    return found, counts


def _tell(found: Findings, sent: Sent, counts: dict[str, int]) -> None:
    accuse(found.wrong())
    note(
        "verdict",
        seed=sent.seed,
        sent=len(sent.interactions) + len(sent.requests),
        lost=len(found.missing_events | found.signals_lost | found.unanswered) + len(found.letters_missing),
        doubled=len(found.signals_doubled | found.opened_twice),
        wrong={kind: str(what)[:300] for kind, what in found.wrong().items()},
        counts=counts,
    )


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


def _judge_order(found: Findings, events: list[Logged], sent: Sent) -> None:
    """First appearances of a person's events stand in the order in which they were sent."""
    last: dict[str, int] = {}
    seen: set[str] = set()
    number = {event_id: n for n, event_id in enumerate(sent.interactions)}
    for *_, event in events:
        event_id = getattr(event, "event_id", None)
        if event_id not in number or event_id in seen:
            continue
        seen.add(event_id)
        if number[event_id] < last.get(event.user_id, -1):
            found.out_of_order.append(event_id)
        last[event.user_id] = number[event_id]


def _judge_folds(
    found: Findings,
    settings: Settings,
    events: list[Logged],
    blocks: list[SignalBlock],
    states: dict[int, State],
) -> dict[str, int]:
    """Fold every partition of ``events`` in plain Python; state and signals must be what comes out."""
    rewards: list[tuple] = []
    for partition in range(settings.kafka.partitions):
        plain, state = PlainShard(settings.users.attribution_seconds), states.get(partition, State(-1, {}))
        mine = [e for e in events if e.partition == partition]
        for logged in mine:
            if logged.offset > state.applied:
                break
            plain.apply(logged.event, logged.offset, logged.ts)
        _judge_state(found, state, plain, mine)
        for logged in mine:  # those above: others are skipped
            plain.apply(logged.event, logged.offset, logged.ts)
        judge_rows(
            found, [b for b in blocks if b.cover is not None and b.cover.partition == partition], plain
        )
        rewards += plain.rewards
    named = [row for row in rewards if row[4] and not row[7]]
    inferred = [row for row in rewards if row[7]]
    return {"rewards": len(rewards), "rewards_named": len(named), "rewards_inferred": len(inferred)}


def _judge_state(found: Findings, state: State, plain: PlainShard, events: list[Logged]) -> None:
    decided = [e.event.recommendation.decision_id for e in events if isinstance(e.event, Decision)]
    hashes = {decision: stable_hash(decision) for decision in decided}
    for name in plain.people.keys() | state.people.keys():
        me, have = plain.people.get(name), state.people.get(name)
        want = None if me is None else kept_of(me, plain.clock, plain.window, hashes)
        if want != have:
            found.state_differs[name] = want, have
    logged = defaultdict(set)
    for *_, event in events:
        if hasattr(event, "item_id"):
            logged[event.user_id].add(event.event_id)
    for name, ids in logged.items():
        applied = len(state.people[name].past) if name in state.people else 0
        if applied != min(len(ids), HISTORY):
            found.state_lags[name] = applied, len(ids)


def judge_rows(found: Findings, blocks: list[SignalBlock], plain: PlainShard) -> None:
    """What a reader of the blocks takes, each cover once, against the rows of the plain fold."""
    taken: defaultdict[str, list[tuple]] = defaultdict(list)
    high = -1
    for block in blocks:
        for kind, rows in zip(ROWS, columns_as_rows(block, block.items.__getitem__), strict=True):
            taken[kind] += [row for row in rows if high < row[OFFSET] <= block.cover.to]
        high = max(high, block.cover.to)
    for kind in ROWS:
        want = [row for row in hashed(getattr(plain, kind)) if row[OFFSET] <= high]
        if taken[kind] != want:
            pairs = zip(taken[kind], want, strict=False)
            first = next(((a, b) for a, b in pairs if a != b), None)
            found.rows_differ.append((kind, len(taken[kind]), len(want), first))


async def _judge_lists(
    found: Findings, settings: Settings, events: list[Logged], sent: Sent
) -> dict[str, int]:
    decisions = [(e.ts, e.event.recommendation) for e in events if isinstance(e.event, Decision)]
    logged = {r.decision_id: r for _, r in decisions}
    logged_at = {r.decision_id: ts for ts, r in reversed(decisions)}
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


def _judge_propensities(found: Findings, events: list[Logged]) -> int:
    """Compute every probability again; every decision has its context here.  Returns how many."""
    checked = 0
    for *_, event in events:
        if isinstance(event, Decision) and event.recommendation.items:
            made = event.recommendation
            if event.context is None or differ(event.context, made.items):
                found.propensity_differs.add(made.decision_id)
            checked += len(made.items)
    return checked


def judge_letters(found: Findings, records: Iterable[Any], poison: Mapping[Place, Bytes]) -> dict[str, int]:
    """A letter for each record that was to be refused, and none else; of a place all letters are the same.

    What was delivered again after a kill has its letter once more: places count, and not letters.
    """
    letters: defaultdict[Place, list[tuple[Bytes, DeadLetter]]] = defaultdict(list)
    for record in records:
        why = DeadLetter.from_headers(record.headers)
        letters[why.topic, why.partition, why.offset].append(((record.key, record.value), why))
    for place, (first, *others) in letters.items():
        if place not in poison:
            found.letters_unmeant[place] = first[1].message
        elif first[0] != poison[place] or any(other != first for other in others):
            found.letters_differ.add(place)
    found.letters_missing = poison.keys() - letters.keys()
    return {"letters": len(letters), "letters_again": sum(map(len, letters.values())) - len(letters)}


def _judge_learning(settings: Settings, blocks: list[SignalBlock], sent: Sent) -> str:
    """The engine, which learns from the log's bytes alone, counts every interaction once."""
    engine = Engine.of(settings)
    for block in blocks:
        engine.learn(block)
    learned = engine.log.rows_learned
    return "" if learned == len(sent.interactions) else f"{learned} rows of {len(sent.interactions)}"
