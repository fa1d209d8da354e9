"""Every item that a person has: the history, plus a hash set of what fell out of it.

Most people never outgrow the history, and then need no set at all.  A set is an open-addressing table
of item slots with linear probing, at most two thirds full; tables have sizes of powers of two.
"""

from typing import NamedTuple

import numpy as np

from models.jit import inlined_kernel, inner_kernel
from models.users.people import Person
from models.users.pools import enlarge, wide
from schemas.signals import Int32, Int64

SMALLEST = 16
CLASSES = 25
"""Tables of 16 … 2^28 entries."""


class Seen(NamedTuple):
    """Tables of all people.

    Attributes
    ----------
    slot
        Item slots of all tables back to back, 0 for empty.
    free
        Head of the chain of free tables, per size class.
    top
        The first entry never used; entry 0 is never given out.
    """

    slot: Int32
    free: Int64
    top: Int64


def new_seen() -> Seen:
    """No tables."""
    return Seen(np.zeros(0, np.int32), np.zeros(CLASSES, np.int64), np.ones(1, np.int64))


def make_room(s: Seen, entries: int) -> None:
    """Room for ``entries`` more."""
    enlarge(s.slot, int(s.top[0]) + entries)


@inner_kernel
def next_table(me: Person) -> int:
    """Entries of the table that a person would need if theirs were full."""
    return SMALLEST << (wide(me.seen_class) + 1)


@inlined_kernel
def has(s: Seen, me: Person, item: int) -> bool:
    """Whether an item is in a person's set."""
    if me.seen_n == 0:
        return False
    mask = (SMALLEST << me.seen_class) - 1
    at = _home(item, mask)
    while s.slot[me.seen + at] != 0:
        if s.slot[me.seen + at] == item:
            return True
        at = (at + 1) & mask
    return False


@inner_kernel
def remember(s: Seen, me: Person, item: int) -> None:
    """Add an item to a person's set; the caller has made sure of room for ``next_table``."""
    size = SMALLEST << me.seen_class
    if me.seen == 0:
        me.seen = _take_table(s, 0)
    elif 3 * (me.seen_n + 1) > 2 * size:
        _grow(s, me)
        size *= 2
    if _insert(s, me.seen, size - 1, item):
        me.seen_n += 1


@inner_kernel
def _home(item: int, mask: int) -> int:
    return wide((np.uint64(item) * np.uint64(11400714819323198485)) >> np.uint64(32)) & mask


@inner_kernel
def _insert(s: Seen, base: int, mask: int, item: int) -> bool:
    at = _home(item, mask)
    while s.slot[base + at] != 0:
        if s.slot[base + at] == item:
            return False
        at = (at + 1) & mask
    s.slot[base + at] = item
    return True


@inner_kernel
def _take_table(s: Seen, size_class: int) -> int:
    base: int = s.free[size_class]
    if base != 0:
        s.free[size_class] = s.slot[base]
        s.slot[base] = 0
        return base
    base = s.top[0]
    s.top[0] += SMALLEST << size_class
    return base


@inner_kernel
def _give_table(s: Seen, base: int, size_class: int) -> None:
    for at in range(base, base + (SMALLEST << size_class)):
        s.slot[at] = 0
    s.slot[base] = s.free[size_class]
    s.free[size_class] = base


@inner_kernel
def _grow(s: Seen, me: Person) -> None:
    old = me.seen
    old_class = wide(me.seen_class)
    new = _take_table(s, old_class + 1)
    mask = (SMALLEST << (old_class + 1)) - 1
    for at in range(old, old + (SMALLEST << old_class)):
        if s.slot[at] != 0:
            _insert(s, new, mask, s.slot[at])
    _give_table(s, old, old_class)
    me.seen = new
    me.seen_class = old_class + 1


@inner_kernel
def release(s: Seen, me: Person) -> None:
    """Give a person's table back, zeroed."""
    if me.seen != 0:
        _give_table(s, me.seen, wide(me.seen_class))
    me.seen = 0
    me.seen_class = 0
    me.seen_n = 0
