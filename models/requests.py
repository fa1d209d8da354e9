"""What is asked of the engine, and the contexts of a batch that asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contexts import Contexts
from models.users.applied import join_contexts
from models.users.shard import UserShard
from schemas.signals import Arm, Int64


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One list for one person.

    Parameters
    ----------
    shard, user_id
        Whose state, and who; an unknown person gets what is good for strangers.
    k
        Slots wanted.
    trigger_id, event_ts
        What the list answers, and when that happened, ms.
    candidates
        Rank only these items.
    exclude_seen
        Keep the person's own items off the list; None: as the engine is set.
    filters
        Item attributes that must be equal.
    query
        What the person searches for: it marks the list as special.
    """

    shard: UserShard
    user_id: str
    k: int
    trigger_id: str = ""
    surface: str = "home"
    candidates: tuple[str, ...] | None = None
    exclude_seen: bool | None = None
    filters: Mapping[str, str] | None = None
    event_ts: int = 0
    query: str | None = None

    @property
    def restricted(self) -> bool:
        """Whether only some items may be ranked."""
        return self.candidates is not None or bool(self.filters)

    @property
    def special(self) -> bool:
        """Whether the list answers this request alone, and is nobody's newest list."""
        return self.restricted or bool(self.query)


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests, and all that a list needs of user state: shards may change while it is drawn.

    Attributes
    ----------
    arms
        Everyone's side of the experiment.
    now
        Time of the decisions, ms.
    """

    requests: Sequence[ListRequest]
    arms: Sequence[Arm]
    contexts: Contexts
    now: int

    @classmethod
    def of(cls, requests: Sequence[ListRequest], now: int) -> "Batch":
        """As the shards stand."""
        arms = [r.shard.arm_of(r.user_id) for r in requests]
        return cls(requests, arms, contexts_of(requests, now), now)

    def some(self, rows: Sequence[int]) -> "Batch":
        """Some of the requests, in the given order."""
        if len(rows) == len(self.requests):
            return self
        return Batch(
            [self.requests[n] for n in rows],
            [self.arms[n] for n in rows],
            pick(self.contexts, np.array(rows, np.int64)),
            self.now,
        )


def contexts_of(requests: Sequence[ListRequest], now: int) -> Contexts:
    """Contexts of a batch, in its order; people of one shard are fetched together."""
    groups: dict[int, list[int]] = {}
    for n, request in enumerate(requests):
        groups.setdefault(id(request.shard), []).append(n)
    if not groups:
        return Contexts.strangers(np.zeros(0, np.int64))
    if len(groups) == 1:
        return _fetch(requests, now)
    joined = join_contexts([_fetch([requests[n] for n in group], now) for group in groups.values()])
    order = np.concatenate([np.array(g) for g in groups.values()])
    return pick(joined, np.argsort(order, kind="stable"))


def _fetch(requests: Sequence[ListRequest], now: int) -> Contexts:
    shard = requests[0].shard
    slots = shard.slots_of([r.user_id for r in requests])
    return shard.contexts(slots, np.full(len(requests), now, np.int64))


def pick(contexts: Contexts, rows: Int64 | npt.NDArray[np.intp]) -> Contexts:
    """The given people, in the given order.

    Examples
    --------
    >>> len(pick(Contexts.strangers(np.zeros(3, np.int64)), np.array([2, 0])))
    2
    """
    out: dict[str, npt.NDArray[Any]] = {}
    for prefix in ("ctx", "seen"):
        start = getattr(contexts, f"{prefix}_start")
        length = np.diff(start)[rows]
        new = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
        inner = np.repeat(start[:-1][rows] - new[:-1], length) + np.arange(new[-1])
        for f in fields(contexts):
            if f.name.startswith(f"{prefix}_"):
                out[f.name] = new if f.name.endswith("_start") else getattr(contexts, f.name)[inner]
    return Contexts(user=contexts.user[rows], now=contexts.now[rows], age=contexts.age[rows], **out)
