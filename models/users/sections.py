"""The kernels behind the bytes of a block: people's lists out of the pools, and back into them."""

import numpy as np

from models.jit import inner_kernel, kernel
from models.users import attribution, dedup, history, seen
from models.users.attribution import Decisions
from models.users.dedup import Recent
from models.users.history import History
from models.users.moving import dump_history, dump_ids
from models.users.people import People, Person
from models.users.pools import WIDTH, Records, UInt16, take, wide
from models.users.seen import Seen
from schemas.signals import Int32, Int64, UInt8, UInt64


@kernel
def dump_pasts(h: History, people: People, slots: Int64, cap: int, entries: Records) -> None:
    """Histories, newest entry first, up to ``cap`` of a person."""
    end = 0
    for user in slots:
        end = dump_history(h, people[user], cap, entries, end)


@kernel
def load_pasts(
    h: History, people: People, s: Seen, slots: Int64, cap: int, n: UInt16, entries: Records
) -> None:
    """Histories of people who have none."""
    begin = 0
    for u in range(len(slots)):
        end = begin + wide(n[u])
        if n[u] <= cap:
            _fill_past(h, people[slots[u]], entries, begin, end)
        else:
            for k in range(end - 1, begin - 1, -1):
                e = entries[k]
                history.push(h, people[slots[u]], s, e.item, e.second, e.kind, e.weight, cap)
        begin = end


@inner_kernel
def _fill_past(h: History, me: Person, entries: Records, begin: int, end: int) -> None:
    """A history that is within its cap: whole nodes at a time, oldest first."""
    entry, k = h.entry, end
    while k > begin:
        node = take(h.marks, h.link)
        h.link[node] = me.past
        me.past = node
        fill = min(WIDTH, k - begin)
        for at in range(fill):
            k -= 1
            entry[node * WIDTH + at] = entries[k]
        me.past_fill = fill
    me.past_n = end - begin


@kernel
def dump_recent(
    r: Recent, people: People, slots: Int64, hour: int, horizon: int, cap: int, name: UInt64, hours: Int64,
    flags: UInt8, n: UInt16,
) -> int:  # fmt: skip
    """Recent ids, newest first; returns how many."""
    end = 0
    for u in range(len(slots)):
        begin = end
        end = dump_ids(r, people[slots[u]], hour, horizon, cap, name, hours, flags, end)
        n[u] = end - begin
    return end


@kernel
def load_recent(
    r: Recent, people: People, slots: Int64, horizon: int, cap: int, n: UInt16, name: UInt64, hours: Int64,
    flags: UInt8,
) -> None:  # fmt: skip
    """Recent ids of people who have none."""
    begin = 0
    for u in range(len(slots)):
        end = begin + wide(n[u])
        for k in range(end - 1, begin - 1, -1):
            dedup.push(r, people[slots[u]], name[k], hours[k], horizon, cap, flags[k])
        begin = end


@kernel
def dump_left(
    h: History, people: People, s: Seen, slots: Int64, cap: int, items: Int32, n: Int32, marks: Int32
) -> int:
    """Items of people that are not among their newest ``cap`` entries; returns how many.

    ``marks`` is scratch by item slot, all zero before and after.
    """
    end = 0
    for u in range(len(slots)):
        me = people[slots[u]]
        begin = end
        _mark_newest(h, me, cap, marks, 1)
        node, fill, k = wide(me.past), wide(me.past_fill), 0
        while node != 0:
            for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
                end = _add_once(h.entry[at].item, items, end, marks) if k >= cap else end
                k += 1
            node, fill = wide(h.link[node]), WIDTH
        if me.seen != 0:
            for at in range(me.seen, me.seen + (seen.SMALLEST << wide(me.seen_class))):
                end = _add_once(s.slot[at], items, end, marks) if s.slot[at] != 0 else end
        for k in range(begin, end):
            marks[items[k]] = 0
        _mark_newest(h, me, cap, marks, 0)
        n[u] = end - begin
    return end


@inner_kernel
def _add_once(item: int, items: Int32, end: int, marks: Int32) -> int:
    if marks[item] == 0:
        marks[item] = 1
        items[end] = item
        end += 1
    return end


@inner_kernel
def _mark_newest(h: History, me: Person, cap: int, marks: Int32, mark: int) -> None:
    node, fill, k = wide(me.past), wide(me.past_fill), 0
    while node != 0 and k < cap:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            if k < cap:
                marks[h.entry[at].item] = mark
            k += 1
        node, fill = wide(h.link[node]), WIDTH


@kernel
def load_left(people: People, s: Seen, slots: Int64, n: Int32, item: Int32) -> None:
    """Seen sets of people who have none."""
    k = 0
    for u in range(len(slots)):
        for _ in range(n[u]):
            seen.remember(s, people[slots[u]], item[k])
            k += 1


@kernel
def list_open(d: Decisions, people: People, slots: Int64, earliest: int, records: Int64, n: UInt16) -> int:
    """Records of decisions opened since ``earliest``, newest first; returns how many."""
    end = 0
    for u in range(len(slots)):
        record = wide(people[slots[u]].open)
        while record != 0 and d.record[record].opened >= earliest:
            records[end] = record
            n[u] += 1
            end += 1
            record = wide(d.record[record].older)
    return end


@kernel
def dump_shown(d: Decisions, records: Int64, shown: Records) -> None:
    """Items of decisions, last item first."""
    end = 0
    for record in records:
        node = wide(d.record[record].first)
        fill = (wide(d.record[record].size) - 1) % WIDTH + 1
        while node != 0:
            for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
                shown[end] = d.entry[at]
                end += 1
            node, fill = wide(d.link[node]), WIDTH


@kernel
def load_open(d: Decisions, people: People, slots: Int64, n: UInt16, made: Records, shown: Records) -> None:
    """Open decisions; ``relink`` puts them in order afterwards."""
    j, end = 0, 0
    for u in range(len(slots)):
        for _ in range(n[u]):
            m = made[j]
            record = attribution.open_decision(
                d, people[slots[u]], slots[u], m.id, m.opened, m.ts, m.offset, m.epoch
            )
            begin = end
            end = begin + wide(m.size)
            for k in range(end - 1, begin - 1, -1):
                attribution.add_item(d, record, shown[k].item, shown[k].propensity, shown[k].position)
            j += 1


def order_open(d: Decisions, people: People) -> None:
    """Put all open decisions in order after blocks were loaded."""
    records = np.empty(int(d.queue[2]), np.int64)
    attribution.list_all(d, records)
    made = d.record[records]
    attribution.relink(d, people, records[np.lexsort((made["offset"], made["opened"]))])
