"""What was applied before: source coordinates without limit, producers' event ids within a horizon.

A person's recent ids are kept as 38 bits of a hash, the hour (modulo 256) and two flags: 6 bytes an id.
Two different ids of one person are taken for one with probability ``64 / 2**38`` per event, one in four
thousand million.  The same entry remembers whether the event was answered by a decision: of two decisions
for one trigger only the first is opened.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np

from models.jit import inlined_kernel, inner_kernel, kernel
from models.users.people import Person
from models.users.pools import WIDTH, Mask, Records, enlarge_nodes, give, new_marks, take, wide
from schemas.signals import Int32, Int64

EVENT, DECIDED = 1, 2
"""Flags: an event with this id was applied; a decision for it was opened."""

MAX_HOURS = 240
"""Hours are kept modulo 256: a horizon must be shorter."""


RECENT_ID = np.dtype([("low", "u4"), ("stamp", "u2")])
"""32 bits of the id's hash; 6 more bits of it, the hour (8 bits) and the flags."""


class Recent(NamedTuple):
    """Nodes of all people's recent ids.

    Attributes
    ----------
    entry
        ``RECENT_ID`` records; those of node ``j`` are ``[8 j, 8 j + 8)``, oldest first within the node.
    link
        The next older node.
    marks
        The allocator.
    """

    entry: Records
    link: Int32
    marks: Int64


def new_recent() -> Recent:
    """An empty pool."""
    return Recent(np.zeros(0, RECENT_ID), np.zeros(0, np.int32), new_marks())


def make_room(r: Recent, nodes: int) -> None:
    """Room for ``nodes`` more nodes."""
    enlarge_nodes(r.marks, r.link, r.entry, nodes)


@inlined_kernel
def find(r: Recent, me: Person, name: int, hour: int, horizon: int, cap: int) -> int:
    """Where an id is among the last ``cap`` within ``horizon`` hours; -1 if it is not."""
    age = hour - wide(me.ids_hour)
    node = me.ids
    if node == 0 or age > horizon:
        return -1
    low = np.uint32(name)
    high = wide((np.uint64(name) >> np.uint64(32)) & np.uint64(63))
    fill = wide(me.ids_fill)
    newer = wide(me.ids_hour) & 255
    checked = 0
    while node != 0:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            stamp = wide(r.entry[at].stamp)
            then = (stamp >> 2) & 255
            age += (newer - then) & 255
            newer = then
            if age > horizon or checked == cap:
                return -1
            checked += 1
            if r.entry[at].low == low and (stamp >> 10) == high:
                return at
        node = r.link[node]
        fill = WIDTH
    return -1


@inlined_kernel
def push(r: Recent, me: Person, name: int, hour: int, horizon: int, cap: int, flags: int) -> None:
    """Remember an id; the oldest node is used again when the ids are full."""
    if hour - wide(me.ids_hour) > horizon:
        release(r, me)
    fill = wide(me.ids_fill)
    node = wide(me.ids)
    if node == 0 or fill == WIDTH:
        full = me.ids_n >= cap + WIDTH - 1
        node = _detach_oldest(r, me) if full else take(r.marks, r.link)
        r.link[node] = me.ids
        me.ids = node
        fill = 0
    at = node * WIDTH + fill
    high = wide((np.uint64(name) >> np.uint64(32)) & np.uint64(63))
    r.entry[at].low = np.uint32(name)
    r.entry[at].stamp = (high << 10) | ((hour & 255) << 2) | flags
    me.ids_fill = fill + 1
    me.ids_n += 1
    me.ids_hour = hour


@inner_kernel
def _detach_oldest(r: Recent, me: Person) -> int:
    before = me.ids
    node = r.link[before]
    while r.link[node] != 0:
        before = node
        node = r.link[node]
    r.link[before] = 0
    me.ids_n -= WIDTH
    return wide(node)


@inner_kernel
def release(r: Recent, me: Person) -> None:
    """Give all nodes back, zeroed."""
    node = me.ids
    while node != 0:
        older = r.link[node]
        for at in range(node * WIDTH, node * WIDTH + WIDTH):
            r.entry[at].low = 0
            r.entry[at].stamp = 0
        give(r.marks, r.link, node)
        node = older
    me.ids = 0
    me.ids_fill = 0
    me.ids_n = 0
    me.ids_hour = 0


class HighWater:
    """How far each partition of each source topic was applied: (offset, index) in log order.

    Attributes
    ----------
    mark
        Offset and index of the last event applied, per source number, shape (n, 2).
    """

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, int, int], int] = {}
        self.mark: Int64 = np.zeros((0, 2), np.int64)

    def number(self, source: tuple[str, int, int]) -> int:
        """The number of (topic, partition, incarnation), a new one if need be."""
        number = self.numbers.get(source)
        if number is None:
            number = self.numbers[source] = len(self.mark)
            self.mark = np.vstack([self.mark, np.full((1, 2), -1)])
        return number

    def numbers_of(self, sources: Sequence[tuple[str, int, int]]) -> Int32:
        """Numbers of many sources, shape (n,)."""
        found = np.fromiter(map(self.numbers.get, sources, repeat(-1)), np.int32, len(sources))
        for i in np.flatnonzero(found < 0).tolist():
            found[i] = self.number(sources[i])
        return found

    def is_new(self, number: Int32, offset: Int64, index: Int64) -> Mask:
        """Where events are above the high-water of their sources, which rises; number -1 always is."""
        new = np.ones(len(number), np.bool_)
        _raise_water(self.mark, number, offset, index, new)
        return new

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """(topic, partition, incarnation, offset, index) of all sources, sorted."""
        found = ((*source, *self.mark[n].tolist()) for source, n in self.numbers.items())
        return sorted(row for row in found if row[3] >= 0)

    def load(self, rows: list[tuple[str, int, int, int, int]]) -> None:
        """Become what ``rows`` gave."""
        self.numbers = {}
        self.mark = np.zeros((0, 2), np.int64)
        for topic, partition, incarnation, offset, index in rows:
            number = self.number((topic, partition, incarnation))
            self.mark[number] = offset, index


@kernel
def _raise_water(mark: Int64, number: Int32, offset: Int64, index: Int64, new: Mask) -> None:
    for i in range(len(number)):
        n = number[i]
        if n >= 0:
            if offset[i] < mark[n, 0] or (offset[i] == mark[n, 0] and index[i] <= mark[n, 1]):
                new[i] = False
            else:
                mark[n, 0] = offset[i]
                mark[n, 1] = index[i]
