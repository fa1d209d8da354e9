"""What the engine must know of people to rank for them: a struct of arrays, one row per person."""

from dataclasses import dataclass

import numpy as np

from schemas.signals import Float32, Int32, Int64, UInt8, UInt64


@dataclass(frozen=True, slots=True)
class Contexts:
    """The state of ``n`` people just before a list is made or a probed event is applied.

    Item slots are *universe* slots (``Engine.items``).  Ragged columns: person ``i`` owns
    ``ctx_slot[ctx_start[i]:ctx_start[i + 1]]``, and so on.

    Attributes
    ----------
    user
        ``stable_hash`` of the user id, shape (n,).
    now
        The time of the list or of the event, ms, shape (n,).
    age
        Interactions that the person ever had, shape (n,).
    ctx_start, ctx_slot, ctx_gap, ctx_kind
        Recent interactions, newest first, at most the history cap: slot, seconds before ``now``
        (never below 0), ``Kind``.
    seen_start, seen_slot
        Every item that the person has, in any order, no item twice.
    """

    user: UInt64
    now: Int64
    age: Int32
    ctx_start: Int32
    ctx_slot: Int32
    ctx_gap: Float32
    ctx_kind: UInt8
    seen_start: Int32
    seen_slot: Int32

    def __post_init__(self) -> None:
        n = len(self.user)
        if not len(self.now) == len(self.age) == n == len(self.ctx_start) - 1 == len(self.seen_start) - 1:
            raise ValueError("Contexts: columns of different lengths")

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def strangers(cls, now: Int64) -> "Contexts":
        """People of whom nothing is known.

        Examples
        --------
        >>> len(Contexts.strangers(np.zeros(3, np.int64)))
        3
        """
        n = len(now)
        start = np.zeros(n + 1, np.int32)
        return cls(
            user=np.zeros(n, np.uint64),
            now=now,
            age=np.zeros(n, np.int32),
            ctx_start=start,
            ctx_slot=np.zeros(0, np.int32),
            ctx_gap=np.zeros(0, np.float32),
            ctx_kind=np.zeros(0, np.uint8),
            seen_start=start,
            seen_slot=np.zeros(0, np.int32),
        )
