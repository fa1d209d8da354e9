"""Memory of people's short lists: chains of nodes in flat arrays, newest entry first.

A node holds ``WIDTH`` entries.  Nodes are all alike, so that none is lost to fragmentation however
people's lists grow.  Node 0 is never given out: 0 means "none".  Freed nodes are zeroed by their pool,
because an erased person leaves no bytes, and chained through ``link``.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.jit import inlined_kernel, inner_kernel
from schemas.signals import Int32, Int64

UInt16 = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]
UInt32 = npt.NDArray[np.uint32]
Records = npt.NDArray[np.void]
"""Structured arrays: the fields of one record share a cache line."""

WIDTH = 8
"""Entries of a node: half a cache line of slots."""

GROWTH = 32
"""Arrays grow by one part in 32: what is reserved and unused stays near 1.6 % of a pool.

Large arrays are extended where they lie (the system moves their pages), so that growing often costs little.
"""


def enlarge(array: npt.NDArray[Any], length: int) -> None:
    """Make an array at least ``length`` long, in place; new entries are zero.

    The memory is extended where it lies if the system can; no view of the array may be in use.

    Examples
    --------
    >>> a = np.arange(3)
    >>> enlarge(a, 5)
    >>> a
    array([0, 1, 2, 0, 0])
    """
    if len(array) < length:
        longer = max(length, len(array) + len(array) // GROWTH)
        array.resize((longer, *array.shape[1:]), refcheck=False)


def enlarge_nodes(marks: Int64, link: Int32, entry: Records, more: int) -> None:
    """Room for ``more`` nodes in a pool: its chain, and always as many entries as that promises."""
    enlarge(link, int(marks[1]) + more)
    if len(entry) < len(link) * WIDTH:
        entry.resize(len(link) * WIDTH, refcheck=False)


def new_marks() -> Int64:
    """The allocator of a pool: head of the free chain, and the first node never used."""
    return np.array([0, 1], np.int64)


@inner_kernel
def wide(number: int | np.integer[Any]) -> int:
    """A number of any integer type as 64 bits: kernels must not mix signed and unsigned ones."""
    return np.int64(number)  # type: ignore[return-value]


@inlined_kernel
def take(marks: Int64, link: Int32) -> int:
    """A zeroed node; the caller has made sure that one is left."""
    node: int = marks[0]
    if node != 0:
        marks[0] = link[node]
        link[node] = 0
    else:
        node = marks[1]
        marks[1] += 1
    return node


@inner_kernel
def give(marks: Int64, link: Int32, node: int) -> None:
    """Return a node whose entries are zeroed."""
    link[node] = marks[0]
    marks[0] = node
