"""Which decision brought a click or purchase: the pool of open decisions, and the join.

A decision opens when its record is read back from ``events`` and closes when the broker's clock passes its
window.  A reward belongs to the decision that it names, if that is open and lists the item; otherwise to the
person's most recent open decision that lists it, and is then marked as inferred (and stays out of
off-policy evaluation).  Only active people have open decisions, so they live in a pool of their own, which
is bounded: past the bound the oldest decisions close early.
"""

from typing import NamedTuple

import numpy as np

from models.jit import inlined_kernel, inner_kernel, kernel
from models.users.people import People, Person
from models.users.pools import WIDTH, Records, enlarge, enlarge_nodes, give, new_marks, take, wide
from schemas.signals import Int32, Int64

DECISION = np.dtype(
    [
        ("id", "u8"),  # stable_hash of the decision id
        ("opened", "i8"),  # broker's clock when the record was read, ms
        ("ts", "i8"),  # when it was decided, ms
        ("offset", "i8"),  # of its record: the order of decisions
        ("owner", "i4"),  # the person's slot
        ("epoch", "i4"),  # policy epoch
        ("first", "i4"),  # newest item node
        ("older", "i4"),  # the person's next older open decision
        ("sooner", "i4"),  # the next older decision of anybody
        ("size", "u1"),  # items
    ]
)

SHOWN = np.dtype([("propensity", "f8"), ("item", "i4"), ("position", "u1")])
"""Probability, universe slot and place in the list of an item."""


class Decisions(NamedTuple):
    """Open decisions, each in the list of its person and in one queue by age; record 0 is never used.

    Attributes
    ----------
    record
        ``DECISION`` records.
    later
        The next younger decision of anybody; of free records, the next free one.
    queue
        Oldest record, youngest record, how many are open.
    records
        The allocator of records.
    entry, link, marks
        ``SHOWN`` items in nodes of 8, the chain of nodes and their allocator.
    """

    record: Records
    later: Int32
    queue: Int64
    records: Int64
    entry: Records
    link: Int32
    marks: Int64


def new_decisions() -> Decisions:
    """An empty pool."""
    z = np.zeros
    return Decisions(
        record=z(0, DECISION), later=z(0, np.int32), queue=z(3, np.int64), records=new_marks(),
        entry=z(0, SHOWN), link=z(0, np.int32), marks=new_marks(),
    )  # fmt: skip


def make_room(d: Decisions, records: int, items: int) -> None:
    """Room for ``records`` more decisions with ``items`` items altogether."""
    enlarge(d.record, int(d.records[1]) + records)
    enlarge(d.later, len(d.record))
    enlarge_nodes(d.marks, d.link, d.entry, items // WIDTH + records)


@inner_kernel
def open_decision(
    d: Decisions, me: Person, owner: int, name: int, opened: int, ts: int, offset: int, epoch: int
) -> int:
    """Open a decision without items as the youngest; the caller has made room."""
    record = take(d.records, d.later)
    new = d.record[record]
    new.id = name
    new.owner = owner
    new.opened = opened
    new.ts = ts
    new.offset = offset
    new.epoch = epoch
    new.older = me.open
    me.open = record
    me.open_n += 1
    youngest = d.queue[1]
    new.sooner = youngest
    if youngest == 0:
        d.queue[0] = record
    else:
        d.later[youngest] = record
    d.queue[1] = record
    d.queue[2] += 1
    return record


@inner_kernel
def add_item(d: Decisions, record: int, item: int, propensity: float, position: int) -> None:
    """Append an item to a decision."""
    fill = wide(d.record[record].size) % WIDTH
    if fill == 0:
        node = take(d.marks, d.link)
        d.link[node] = d.record[record].first
        d.record[record].first = node
    at = wide(d.record[record].first) * WIDTH + fill
    d.entry[at].item = item
    d.entry[at].propensity = propensity
    d.entry[at].position = position
    d.record[record].size += 1


@inner_kernel
def place_of(d: Decisions, record: int, item: int) -> int:
    """Where an item is among a decision's items, 0 if it was not listed."""
    node = wide(d.record[record].first)
    fill = (wide(d.record[record].size) - 1) % WIDTH + 1
    while node != 0:
        for at in range(node * WIDTH, node * WIDTH + fill):
            if d.entry[at].item == item:
                return at
        node = wide(d.link[node])
        fill = WIDTH
    return 0


@inner_kernel
def named(d: Decisions, me: Person, name: int, earliest: int) -> int:
    """The person's open decision of that id, 0 if there is none since ``earliest``."""
    record = wide(me.open)
    while record != 0 and d.record[record].opened >= earliest:
        if d.record[record].id == name:
            return record
        record = wide(d.record[record].older)
    return 0


@inlined_kernel
def inferred(d: Decisions, me: Person, item: int, earliest: int) -> int:
    """The person's most recent open decision that lists an item, 0 if there is none."""
    record = wide(me.open)
    while record != 0 and d.record[record].opened >= earliest:
        if place_of(d, record, item) != 0:
            return record
        record = wide(d.record[record].older)
    return 0


@inner_kernel
def close_oldest_of(d: Decisions, me: Person) -> None:
    """Close the oldest open decision of a person."""
    after = 0
    record = wide(me.open)
    while d.record[record].older != 0:
        after = record
        record = wide(d.record[record].older)
    if after == 0:
        me.open = 0
    else:
        d.record[after].older = 0
    _close(d, me, record)


@inner_kernel
def _close(d: Decisions, me: Person, record: int) -> None:
    """Take a decision that its person's list no longer has out of the queue, and zero it."""
    me.open_n -= 1
    node = wide(d.record[record].first)
    while node != 0:
        older = wide(d.link[node])
        for at in range(node * WIDTH, node * WIDTH + WIDTH):
            d.entry[at].item = 0
            d.entry[at].propensity = 0.0
            d.entry[at].position = 0
        give(d.marks, d.link, node)
        node = older
    gone = d.record[record]
    sooner, later = gone.sooner, d.later[record]
    if sooner == 0:
        d.queue[0] = later
    else:
        d.later[sooner] = later
    if later == 0:
        d.queue[1] = sooner
    else:
        d.record[later].sooner = sooner
    d.queue[2] -= 1
    gone.id = 0
    gone.owner = 0
    gone.opened = 0
    gone.ts = 0
    gone.offset = 0
    gone.epoch = 0
    gone.size = 0
    gone.first = 0
    gone.older = 0
    gone.sooner = 0
    give(d.records, d.later, record)


@kernel
def expire(d: Decisions, people: People, earliest: int, most: int) -> None:
    """Close what was opened before ``earliest``, and the oldest above ``most``."""
    while d.queue[2] > 0 and (d.record[d.queue[0]].opened < earliest or d.queue[2] > most):
        close_oldest_of(d, people[d.record[d.queue[0]].owner])


@inner_kernel
def release(d: Decisions, me: Person) -> None:
    """Close all decisions of a person."""
    while me.open != 0:
        close_oldest_of(d, me)


@kernel
def list_all(d: Decisions, records: Int64) -> None:
    """Write all open decisions in the order of the queue."""
    record = d.queue[0]
    for k in range(d.queue[2]):
        records[k] = record
        record = wide(d.later[record])


@kernel
def relink(d: Decisions, people: People, order: Int64) -> None:
    """Build queue and lists anew for decisions ``order``, oldest first (after blocks were loaded)."""
    for record in order:
        me = people[d.record[record].owner]
        me.open = 0
        me.open_n = 0
    youngest = 0
    d.queue[0] = order[0] if len(order) > 0 else 0
    for record in order:
        d.record[record].sooner = youngest
        d.later[record] = 0
        if youngest != 0:
            d.later[youngest] = record
        me = people[d.record[record].owner]
        d.record[record].older = me.open
        me.open = record
        me.open_n += 1
        youngest = record
    d.queue[1] = youngest
    d.queue[2] = len(order)
