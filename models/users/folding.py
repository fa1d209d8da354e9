"""The kernel that folds a run of events into the state of people, one event after the other."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from models.jit import inlined_kernel, inner_kernel, kernel
from models.users import attribution, dedup, history, seen
from models.users.attribution import Decisions
from models.users.columns import DECISION, REQUEST
from models.users.dedup import DECIDED, EVENT, Recent
from models.users.history import WEIGHT_UNIT, History
from models.users.people import BOUGHT, CLICKED, REQUESTS, People, Person, age_of, touch
from models.users.pools import WIDTH, Records, wide
from models.users.seen import Seen
from schemas.signals import Float32, Int32, Int64, Kind, UInt8

CONTEXT = 100
"""Events of history that a row carries."""

_CLICK, _PURCHASE, _IMPRESSION = int(Kind.CLICK), int(Kind.PURCHASE), int(Kind.IMPRESSION)
_HOUR = 3_600_000
Record = Any
"""One record of a structured array inside a kernel."""

_NO_POSITION = 255


class Tally(IntEnum):
    """What a run counted; positions in ``Output.tally``."""

    REDELIVERED = 0
    """Dropped: at or below the high-water of its source."""
    REPEATED = 1
    """Dropped: an event id that the person had within the horizon."""
    REPLAYED = 2
    """Skipped: the state was restored from a checkpoint after it."""
    JOINED = 3
    """Rewards that name an open decision."""
    INFERRED = 4
    """Rewards joined to a decision that they do not name."""
    LATE = 5
    """Rewards that name a decision that is not open (any more)."""
    OPENED = 6
    """Decisions opened."""
    SECOND = 7
    """Decisions never opened: their trigger had one, or the person is not known."""
    CROWDED = 8
    """Decisions closed early to keep within the bounds."""
    BARRED = 9
    """Refused: of a person who was erased, and from before that."""


_REPEATED = int(Tally.REPEATED)
_JOINED, _INFERRED, _LATE = int(Tally.JOINED), int(Tally.INFERRED), int(Tally.LATE)
_OPENED, _SECOND, _CROWDED = int(Tally.OPENED), int(Tally.SECOND), int(Tally.CROWDED)


class State(NamedTuple):
    """All that the kernel changes.

    Attributes
    ----------
    dirty
        Per block: 1 if it changed since it was encoded.
    """

    people: People
    history: History
    recent: Recent
    seen: Seen
    decisions: Decisions
    dirty: UInt8


class Rules(NamedTuple):
    """The settings, as the kernel reads them: milliseconds, hours and counts."""

    history: int
    session_gap: int
    window: int
    ids: int
    id_hours: int
    open_each: int
    open_all: int


EVENT_ROW = np.dtype(
    [
        ("name", "u8"),  # hash of the event id
        ("named", "u8"),  # stable_hash of the decision that it names
        ("ts", "i8"),
        ("clock", "i8"),  # the broker's, never falling, ms
        ("offset", "i8"),
        ("user", "i4"),  # slot, -1 for nobody
        ("item", "i4"),  # universe slot
        ("list", "i4"),  # which decision of the run it is
        ("weight", "f4"),
        ("code", "u1"),  # Kind, or a code of columns.py
        ("want_seen", "u1"),  # 1 where the seen set before the event is wanted
    ]
)
"""One event of a run; see ``EventColumns``."""

LIST_ROW = np.dtype([("id", "u8"), ("trigger", "u8"), ("start", "i8"), ("end", "i8"), ("epoch", "i4")])
"""One decision of a run, with the range of its items."""

INTERACTION = np.dtype([("event", "i4"), ("age", "i4"), ("repeat", "u1")])
REWARD = np.dtype(
    [
        ("decision", "u8"),
        ("propensity", "f8"),
        ("event", "i4"),
        ("epoch", "i4"),
        ("lag", "f4"),
        ("position", "u1"),
        ("inferred", "u1"),
        ("first", "u1"),
    ]
)


class Input(NamedTuple):
    """A run: ``EVENT_ROW``, ``LIST_ROW`` and ``SHOWN`` records."""

    event: Records
    list: Records
    shown: Records


class Output(NamedTuple):
    """What a run gives; ``ends`` counts rows of interactions, contexts, rewards and seen items.

    Attributes
    ----------
    accepted, opened
        1 for events applied as new; 1 for decisions that count.
    row, row_start
        ``INTERACTION`` records, and where their contexts begin.
    reward
        ``REWARD`` records.
    seen_start, seen_item
        Seen sets before events, where wanted.
    marks
        Scratch by item slot, all zero.
    """

    accepted: UInt8
    opened: UInt8
    tally: Int64
    ends: Int64
    row: Records
    row_start: Int32
    ctx_item: Int32
    ctx_gap: Float32
    ctx_kind: UInt8
    reward: Records
    seen_start: Int32
    seen_item: Int32
    marks: Int32


@kernel
def fold(state: State, rules: Rules, run: Input, out: Output, begin: int) -> int:
    """Fold events from ``begin`` on; returns where it stopped: at the end, or for want of memory."""
    for i in range(begin, len(run.event)):
        event = run.event[i]
        if event.user >= 0 and not _has_room(state, rules, run, out, event):
            return i
        if event.user < 0:
            out.tally[_SECOND] += 1 if event.code == DECISION else 0
        elif event.code == DECISION:
            _open(state, rules, run, out, event)
        elif _is_new_name(state.recent, state.people[event.user], rules, event, out.tally):
            out.accepted[i] = 1
            _apply(state, rules, out, event, i)
        out.seen_start[i + 1] = out.ends[3]
    return len(run.event)


@inlined_kernel
def _has_room(state: State, rules: Rules, run: Input, out: Output, event: Record) -> bool:
    me, h, r, s, d = state.people[event.user], state.history, state.recent, state.seen, state.decisions
    enough = h.marks[1] + 1 <= len(h.link) and r.marks[1] + 2 <= len(r.link)
    if me.past_n >= rules.history:
        enough = enough and s.top[0] + seen.next_table(me) <= len(s.slot)
    if event.code == DECISION:
        nodes = (run.list[event.list].end - run.list[event.list].start) // WIDTH + 1
        enough = enough and d.records[1] + 1 <= len(d.record) and d.marks[1] + nodes <= len(d.link)
    if event.want_seen != 0:
        enough = enough and out.ends[3] + me.past_n + me.seen_n <= len(out.seen_item)
    return bool(enough)


@inlined_kernel
def _is_new_name(r: Recent, me: Person, rules: Rules, event: Record, tally: Int64) -> bool:
    if rules.ids == 0:
        return True
    hour = event.clock // _HOUR
    at = dedup.find(r, me, event.name, hour, rules.id_hours, rules.ids)
    if at < 0:
        dedup.push(r, me, event.name, hour, rules.id_hours, rules.ids, EVENT)
    elif wide(r.entry[at].stamp) & EVENT:
        tally[_REPEATED] += 1
        return False
    else:
        r.entry[at].stamp |= EVENT
    return True


@inner_kernel
def _open(state: State, rules: Rules, run: Input, out: Output, event: Record) -> None:
    """Open a decision unless its trigger, or its own id, has one."""
    d, r, me, made = state.decisions, state.recent, state.people[event.user], run.list[event.list]
    hour = event.clock // _HOUR
    at = -1
    if rules.ids > 0:
        at = dedup.find(r, me, made.trigger, hour, rules.id_hours, rules.ids)
    second = at >= 0 and wide(r.entry[at].stamp) & DECIDED != 0
    if second or attribution.named(d, me, made.id, event.clock - rules.window) != 0:
        out.tally[_SECOND] += 1
        return
    if at >= 0:
        r.entry[at].stamp |= DECIDED
    elif rules.ids > 0:
        dedup.push(r, me, made.trigger, hour, rules.id_hours, rules.ids, DECIDED)
    _keep_bounds(d, state.people, rules, out.tally, event.user, state.dirty)
    record = attribution.open_decision(
        d, me, event.user, made.id, event.clock, event.ts, event.offset, made.epoch
    )
    for k in range(made.start, made.end):
        attribution.add_item(d, record, run.shown[k].item, run.shown[k].propensity, run.shown[k].position)
    out.tally[_OPENED] += 1
    out.opened[event.list] = 1
    state.dirty[event.user >> 8] = 1


@inner_kernel
def _keep_bounds(d: Decisions, people: People, rules: Rules, tally: Int64, user: int, dirty: UInt8) -> None:
    if people[user].open_n >= rules.open_each:
        attribution.close_oldest_of(d, people[user])
        tally[_CROWDED] += 1
    if d.queue[2] >= rules.open_all:
        owner = d.record[d.queue[0]].owner
        attribution.close_oldest_of(d, people[owner])
        tally[_CROWDED] += 1
        dirty[owner >> 8] = 1


@inlined_kernel
def _apply(state: State, rules: Rules, out: Output, event: Record, i: int) -> None:
    """Count an event; append its rows and extend the history if it is an interaction."""
    me, code = state.people[event.user], event.code
    state.dirty[event.user >> 8] = 1
    touch(me, event.ts, rules.session_gap)
    if code == REQUEST:
        me.counts[REQUESTS] += 1
        return
    if code != _IMPRESSION:
        second = history.seconds(event.ts)
        _write_row(state.history, me, state.seen, out, event, i, second)
        if code in (_CLICK, _PURCHASE):
            _write_reward(state.decisions, me, rules.window, out, event, i)
        weight = wide(np.rint(event.weight * WEIGHT_UNIT))
        weight = min(max(weight, -127), 127)
        history.push(state.history, me, state.seen, event.item, second, code, weight, rules.history)
    me.counts[code] += 1


@inlined_kernel
def _write_row(h: History, me: Person, s: Seen, out: Output, event: Record, i: int, second: int) -> None:
    at = out.ends[0]
    if event.want_seen != 0:
        out.ends[3] = distinct(h, me, s, out.seen_item, out.ends[3], out.marks)
    known = history.contains(h, me, event.item) or seen.has(s, me, event.item)
    row = out.row[at]
    row.event = i
    row.repeat = 1 if known else 0
    row.age = age_of(me)
    end = history.read(h, me, second, CONTEXT, out.ctx_item, out.ctx_gap, out.ctx_kind, out.ends[1])
    out.row_start[at + 1] = end
    out.ends[0] = at + 1
    out.ends[1] = end


@inlined_kernel
def _write_reward(d: Decisions, me: Person, window: int, out: Output, event: Record, i: int) -> None:
    """Join a click or purchase to its decision, or to none."""
    record, place, guessed = 0, 0, 0
    earliest = event.clock - window
    if event.named != 0:
        record = attribution.named(d, me, event.named, earliest)
        if record == 0:
            out.tally[_LATE] += 1
        else:
            place = attribution.place_of(d, record, event.item)
    if place == 0:
        record = attribution.inferred(d, me, event.item, earliest)
        if record != 0:
            guessed = 1
            place = attribution.place_of(d, record, event.item)
    row = out.reward[out.ends[2]]
    row.event = i
    row.inferred = guessed
    row.decision = d.record[record].id if place != 0 else np.uint64(0)
    row.epoch = d.record[record].epoch if place != 0 else -1
    row.lag = max(event.ts - d.record[record].ts, 0) / 1000.0 if place != 0 else 0.0
    row.position = d.entry[place].position if place != 0 else _NO_POSITION
    row.propensity = d.entry[place].propensity if place != 0 else 0.0
    bit = CLICKED if event.code == _CLICK else BOUGHT
    row.first = 1 if wide(me.flags) & bit == 0 else 0
    me.flags |= bit
    out.tally[_INFERRED] += guessed
    out.tally[_JOINED] += 1 if place != 0 and guessed == 0 else 0
    out.ends[2] += 1


@inner_kernel
def distinct(h: History, me: Person, s: Seen, items: Int32, end: int, marks: Int32) -> int:
    """Write every item that a person has, each once, newest first; return the new end.

    ``marks`` is indexed by item slot, all zero before and after.
    """
    begin = end
    node = wide(me.past)
    fill = wide(me.past_fill)
    while node != 0:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            item = h.entry[at].item
            if marks[item] == 0:
                marks[item] = 1
                items[end] = item
                end += 1
        node = wide(h.link[node])
        fill = WIDTH
    if me.seen != 0:
        for at in range(me.seen, me.seen + (seen.SMALLEST << wide(me.seen_class))):
            if s.slot[at] != 0 and marks[s.slot[at]] == 0:
                items[end] = s.slot[at]
                end += 1
    for k in range(begin, end):
        marks[items[k]] = 0
    return end


@kernel
def read_people(
    state: State, users: Int32, now: Int64, limit: int, marks: Int32, past_start: Int32, item: Int32,
    gap: Float32, kind: UInt8, seen_start: Int32, seen_item: Int32, age: Int32,
) -> None:  # fmt: skip
    """Recent history, seen items and age of people; slot -1 is a stranger."""
    h, s = state.history, state.seen
    end, held = wide(0), wide(0)
    for i in range(len(users)):
        if users[i] >= 0:
            me = state.people[users[i]]
            end = history.read(h, me, history.seconds(now[i]), limit, item, gap, kind, end)
            held = distinct(h, me, s, seen_item, held, marks)
            age[i] = age_of(me)
        past_start[i + 1] = end
        seen_start[i + 1] = held
