"""The fixed part of a person's state: one record per person, and where their lists begin."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.jit import inner_kernel

BLOCK = 256
"""People of one block: the unit of checkpoints."""

ALIVE, HOLDOUT, CLICKED, BOUGHT = 1, 2, 4, 8
"""Bits of ``flags``: the record is in use; the person's arm; first rewards in the experiment seen."""

REQUESTS = 0
"""Place of requests in ``counts``; the other places are ``Kind``."""

COUNTERS = 10

PERSON = np.dtype(
    [
        ("hash", "u8"),  # stable_hash of the id
        ("last_ts", "i8"),  # newest event time, ms
        ("name_at", "i8"),  # where the id's bytes are
        ("counts", "u4", (COUNTERS,)),  # events by Kind, requests in place 0
        ("sessions", "u4"),  # an event after a gap begins one
        ("past", "i4"),  # newest node of the history
        ("ids", "i4"),  # newest node of recent event ids
        ("ids_hour", "u4"),  # hour of the newest id
        ("seen", "i4"),  # hash table of the items that left the history
        ("seen_n", "i4"),
        ("open", "i4"),  # newest open decision
        ("past_n", "u2"),  # entries of the history
        ("ids_n", "u2"),
        ("open_n", "u2"),
        ("name_n", "u2"),  # bytes of the id
        ("past_fill", "u1"),  # entries of the newest node
        ("ids_fill", "u1"),
        ("seen_class", "u1"),  # size class of the hash table
        ("flags", "u1"),  # see the bits above
    ]
)
"""What is known of a person at a fixed place: 104 bytes."""

People = npt.NDArray[np.void]
"""``PERSON`` records by the person's slot; slots are dense, the lowest free one is used first."""

Person = Any
"""One ``PERSON`` record inside a kernel."""


def new_people() -> People:
    """Nobody yet."""
    return np.zeros(0, PERSON)


@inner_kernel
def age_of(me: Person) -> int:
    """Interactions that a person ever had: everything but requests and impressions."""
    age = 0
    for k in range(1, 9):
        age += me.counts[k]
    return age


@inner_kernel
def touch(me: Person, ts: int, session_gap: int) -> None:
    """An event happened: begin a session after a gap, and remember when."""
    if me.last_ts == 0 or ts - me.last_ts > session_gap:
        me.sessions += 1
    me.last_ts = max(ts, me.last_ts)
