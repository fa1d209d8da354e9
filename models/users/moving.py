"""Erasing a person, and folding an anonymous person into a known one."""

import numpy as np

from models.jit import inner_kernel, kernel
from models.users import attribution, dedup, history, seen
from models.users.attribution import Decisions
from models.users.dedup import Recent
from models.users.folding import Rules, State
from models.users.history import ENTRY, History
from models.users.people import BOUGHT, CLICKED, COUNTERS, Person
from models.users.pools import WIDTH, Records, wide
from models.users.seen import Seen
from schemas.signals import Int64, UInt8, UInt64


@kernel
def erase(state: State, user: int) -> None:
    """Zero everything that a person has; the slot and the id are the caller's."""
    me = state.people[user]
    history.release(state.history, me)
    dedup.release(state.recent, me)
    seen.release(state.seen, me)
    attribution.release(state.decisions, me)
    state.dirty[user >> 8] = 1


def make_room(state: State, rules: Rules, a: int, b: int) -> None:
    """Memory for merging ``a`` into ``b``."""
    held = int(state.people["seen_n"][a]) + int(state.people["seen_n"][b])
    history.make_room(state.history, 2 * (rules.history // WIDTH + 2))
    dedup.make_room(state.recent, 2 * (rules.ids // WIDTH + 2))
    seen.make_room(state.seen, 8 * (held + 2 * (rules.history + WIDTH)))


def merge(state: State, rules: Rules, a: int, b: int) -> None:
    """Fold person ``a`` into person ``b``; what is left of ``a`` is to be erased.

    Histories and ids are interleaved by time, counters and sessions add up, first rewards stay first
    rewards, open decisions go over.
    """
    make_room(state, rules, a, b)
    _merge(state, rules, a, b)


@kernel
def _merge(state: State, rules: Rules, a: int, b: int) -> None:
    me, other = state.people[b], state.people[a]
    _merge_history(state.history, me, other, state.seen, rules.history)
    _merge_ids(state.recent, me, other, rules.id_hours, rules.ids)
    _merge_decisions(state.decisions, me, other, b, rules.open_each)
    for k in range(COUNTERS):
        me.counts[k] += other.counts[k]
    me.sessions += other.sessions
    me.last_ts = max(me.last_ts, other.last_ts)
    me.flags |= other.flags & (CLICKED | BOUGHT)
    state.dirty[b >> 8] = 1


@inner_kernel
def dump_history(h: History, me: Person, limit: int, entries: Records, out: int) -> int:
    """Write up to ``limit`` entries, newest first; return the new end."""
    node = wide(me.past)
    fill = wide(me.past_fill)
    end = out + limit
    while node != 0:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            if out == end:
                return out
            entries[out] = h.entry[at]
            out += 1
        node = wide(h.link[node])
        fill = WIDTH
    return out


@inner_kernel
def dump_ids(
    r: Recent,
    me: Person,
    hour: int,
    horizon: int,
    cap: int,
    name: UInt64,
    hours: Int64,
    flags: UInt8,
    out: int,
) -> int:
    """Write the ids that still count, newest first; return the new end."""
    then = wide(me.ids_hour)
    node = wide(me.ids)
    fill = wide(me.ids_fill)
    newer, end = then & 255, out + cap
    while node != 0:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            stamp = wide(r.entry[at].stamp)
            then -= (newer - ((stamp >> 2) & 255)) & 255
            newer = (stamp >> 2) & 255
            if out == end or hour - then > horizon:
                return out
            name[out] = (np.uint64(stamp >> 10) << np.uint64(32)) | np.uint64(r.entry[at].low)
            hours[out] = then
            flags[out] = stamp & 3
            out += 1
        node = wide(r.link[node])
        fill = WIDTH
    return out


@inner_kernel
def _merge_history(h: History, me: Person, other: Person, s: Seen, cap: int) -> None:
    n_a = wide(other.past_n)
    size = n_a + wide(me.past_n)
    entries = np.empty(size, ENTRY)
    dump_history(h, other, n_a, entries, 0)
    dump_history(h, me, size - n_a, entries, n_a)
    history.release(h, other)
    history.release(h, me)
    i, j = n_a - 1, size - 1
    while i >= 0 or j >= n_a:
        if j < n_a or (i >= 0 and entries[i].second <= entries[j].second):
            k = i
            i -= 1
        else:
            k = j
            j -= 1
        e = entries[k]
        history.push(h, me, s, e.item, e.second, e.kind, e.weight, cap)
    if other.seen != 0:
        for at in range(other.seen, other.seen + (seen.SMALLEST << wide(other.seen_class))):
            if s.slot[at] != 0:
                seen.remember(s, me, s.slot[at])


@inner_kernel
def _merge_ids(r: Recent, me: Person, other: Person, horizon: int, cap: int) -> None:
    size = wide(other.ids_n) + wide(me.ids_n) + 1
    name, hours, flags = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.uint8)
    now = max(wide(other.ids_hour), wide(me.ids_hour))
    n_a = dump_ids(r, other, now, horizon, cap, name, hours, flags, 0)
    n = dump_ids(r, me, now, horizon, cap, name, hours, flags, n_a)
    dedup.release(r, other)
    dedup.release(r, me)
    i, j = n_a - 1, n - 1
    while i >= 0 or j >= n_a:
        if j < n_a or (i >= 0 and hours[i] <= hours[j]):
            k = i
            i -= 1
        else:
            k = j
            j -= 1
        dedup.push(r, me, name[k], hours[k], horizon, cap, flags[k])


@inner_kernel
def _merge_decisions(d: Decisions, me: Person, other: Person, owner: int, most: int) -> None:
    x, y, last = wide(other.open), wide(me.open), wide(0)
    while x != 0 or y != 0:
        newer = x != 0
        if x != 0 and y != 0:
            a, b = d.record[x], d.record[y]
            newer = a.opened > b.opened or (a.opened == b.opened and a.offset > b.offset)
        record = x if newer else y
        if newer:
            x = wide(d.record[x].older)
        else:
            y = wide(d.record[y].older)
        d.record[record].owner = owner
        if last == 0:
            me.open = record
        else:
            d.record[last].older = record
        last = record
    if last != 0:
        d.record[last].older = 0
    me.open_n += other.open_n
    other.open = 0
    other.open_n = 0
    while me.open_n > most:
        attribution.close_oldest_of(d, me)
