"""What a person did last: item, second, kind and weight, newest first."""

from typing import NamedTuple

import numpy as np

from models.jit import inlined_kernel, inner_kernel
from models.users.people import Person
from models.users.pools import WIDTH, Records, enlarge_nodes, give, new_marks, take, wide
from models.users.seen import Seen, remember
from schemas.signals import Float32, Int32, Int64, UInt8

WEIGHT_UNIT = 64
"""Weights are kept in 64ths, within ±127/64."""


ENTRY = np.dtype([("item", "i4"), ("second", "u4"), ("kind", "u1"), ("weight", "i1")])
"""Universe slot; whole seconds since the epoch; ``Kind``; learning weight in 64ths."""


class History(NamedTuple):
    """Nodes of all people's histories.

    Attributes
    ----------
    entry
        ``ENTRY`` records; those of node ``j`` are ``[8 j, 8 j + 8)``, oldest first within the node.
    link
        The next older node.
    marks
        The allocator.
    """

    entry: Records
    link: Int32
    marks: Int64


def new_history() -> History:
    """An empty pool."""
    return History(np.zeros(0, ENTRY), np.zeros(0, np.int32), new_marks())


def make_room(h: History, nodes: int) -> None:
    """Room for ``nodes`` more nodes."""
    enlarge_nodes(h.marks, h.link, h.entry, nodes)


@inner_kernel
def seconds(ms: int) -> int:
    """Whole seconds of a time in ms, within 32 bits (to the year 2106)."""
    return min(max(ms // 1000, 0), 4294967295)


@inlined_kernel
def push(h: History, me: Person, s: Seen, item: int, second: int, kind: int, weight: int, cap: int) -> None:
    """Append an entry; when the history is full its oldest node goes to the seen set and is used again."""
    node = me.past
    fill = me.past_fill
    if node == 0 or fill == WIDTH:
        full = me.past_n >= cap + WIDTH - 1
        fresh = _retire_oldest(h, me, s) if full else take(h.marks, h.link)
        h.link[fresh] = me.past
        me.past = fresh
        node = fresh
        fill = 0
    at = node * WIDTH + fill
    h.entry[at].item = item
    h.entry[at].second = second
    h.entry[at].kind = kind
    h.entry[at].weight = weight
    me.past_fill = fill + 1
    me.past_n += 1


@inner_kernel
def _retire_oldest(h: History, me: Person, s: Seen) -> int:
    """Detach the oldest node, remember its items, return it empty."""
    before = me.past
    node: int = h.link[before]
    while h.link[node] != 0:
        before = node
        node = h.link[node]
    h.link[before] = 0
    for at in range(node * WIDTH, node * WIDTH + WIDTH):
        remember(s, me, h.entry[at].item)
    _zero(h, node)
    me.past_n -= WIDTH
    return node


@inner_kernel
def _zero(h: History, node: int) -> None:
    for at in range(node * WIDTH, node * WIDTH + WIDTH):
        h.entry[at].item = 0
        h.entry[at].second = 0
        h.entry[at].kind = 0
        h.entry[at].weight = 0


@inlined_kernel
def contains(h: History, me: Person, item: int) -> bool:
    """Whether an item is among the entries."""
    node = me.past
    fill = me.past_fill
    while node != 0:
        for at in range(node * WIDTH, node * WIDTH + fill):
            if h.entry[at].item == item:
                return True
        node = h.link[node]
        fill = WIDTH
    return False


@inlined_kernel
def read(
    h: History,
    me: Person,
    second: int,
    limit: int,
    item: Int32,
    gap: Float32,
    kind: UInt8,
    out: int,
) -> int:
    """Write up to ``limit`` entries, newest first, with seconds before ``second``; return the new end."""
    node = me.past
    fill = me.past_fill
    end = out + limit
    while node != 0:
        for at in range(node * WIDTH + fill - 1, node * WIDTH - 1, -1):
            if out == end:
                return out
            item[out] = h.entry[at].item
            gap[out] = max(second - wide(h.entry[at].second), 0)
            kind[out] = h.entry[at].kind
            out += 1
        node = h.link[node]
        fill = WIDTH
    return out


@inner_kernel
def release(h: History, me: Person) -> None:
    """Give all nodes back, zeroed."""
    node = me.past
    while node != 0:
        older = h.link[node]
        _zero(h, node)
        give(h.marks, h.link, node)
        node = older
    me.past = 0
    me.past_fill = 0
    me.past_n = 0
