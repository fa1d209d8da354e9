"""What one run of events gave: rows to learn from, triggers that want a list, counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import compress
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from models.contexts import Contexts
from models.interning import Interner
from models.jit import kernel
from models.users.columns import EventColumns
from models.users.folding import Output, Tally
from models.users.people import HOLDOUT, People
from schemas.events import AnyEvent, Click, Feedback, Purchase, Request
from schemas.signals import (
    Columns,
    Cover,
    ExposureRows,
    Int32,
    Int64,
    InteractionRows,
    RewardRows,
    SignalBlock,
    UInt8,
)

C = TypeVar("C", bound=Columns)

NO_ROWS = (InteractionRows.empty(), ExposureRows.empty(), RewardRows.empty())
NO_CONTEXTS = Contexts.strangers(np.zeros(0, np.int64))


class Trigger(NamedTuple):
    """An event that wants a list.

    Attributes
    ----------
    trigger_id
        The ``request_id`` of a request, else the ``event_id``.
    k, candidates, filters
        What a request asks for; None for pushes.
    """

    user_id: str
    trigger_id: str
    offset: int
    event_ts: int
    surface: str
    request: bool = False
    k: int | None = None
    candidates: tuple[str, ...] | None = None
    filters: dict[str, str] | None = None


@dataclass(slots=True)
class Applied:
    """The effects of one run of ``events``.

    Attributes
    ----------
    partition, incarnation
        Whose events.
    after, to
        The cover: offsets ``after < offset <= to`` are accounted for by the rows.
    interactions, exposures, rewards
        Rows; item columns hold *universe slots*: ``to_block`` makes dictionary indices of them.
    events, offsets
        The run.
    accepted
        1 where an event was applied as new, per event.
    contexts_at
        Indices of the events whose ``contexts`` were asked for and given, ascending.
    contexts
        People as they were before these events.
    counts
        By ``Tally``.
    erased
        Ids of people who were erased.
    """

    partition: int
    incarnation: int
    after: int
    to: int
    events: Sequence[AnyEvent]
    offsets: Int64
    accepted: UInt8
    interactions: InteractionRows
    exposures: ExposureRows
    rewards: RewardRows
    contexts_at: Int32
    contexts: Contexts
    counts: Int64 = field(default_factory=lambda: np.zeros(len(Tally), np.int64))
    erased: list[str] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        """Events dropped because they were applied before."""
        return int(self.counts[Tally.REDELIVERED] + self.counts[Tally.REPEATED])

    def __len__(self) -> int:
        return len(self.interactions) + len(self.exposures) + len(self.rewards)

    def triggers(self, *, requests_only: bool = False) -> list[Trigger]:
        """Events that want a list, in log order: clicks, purchases, feedback and requests."""
        wanted = (Request,) if requests_only else (Request, Click, Purchase, Feedback)
        chosen = compress(zip(self.events, self.offsets.tolist(), strict=True), self.accepted.tolist())
        return [_trigger(event, offset) for event, offset in chosen if isinstance(event, wanted)]

    def to_block(self, items: Interner) -> SignalBlock:
        """The rows as a block of the signals log, with a dictionary of their item ids."""
        columns = [self.interactions.item, self.interactions.ctx_item, self.exposures.item, self.rewards.item]
        index = np.full(len(items), -1, np.int32)
        slots = np.empty(min(len(items), sum(map(len, columns))), np.int32)
        mapped = [np.empty_like(column) for column in columns]
        n = 0
        for column, out in zip(columns, mapped, strict=True):
            n = number_slots(column, index, slots, n, out)
        return SignalBlock(
            cover=Cover(self.partition, self.incarnation, self.after, self.to),
            items=tuple(items.ids_of(slots[:n].tolist())),
            interactions=replace(self.interactions, item=mapped[0], ctx_item=mapped[1]),
            exposures=replace(self.exposures, item=mapped[2]),
            rewards=replace(self.rewards, item=mapped[3]),
        )


def _trigger(event: AnyEvent, offset: int) -> Trigger:
    if isinstance(event, Request):
        return Trigger(
            event.user_id, event.request_id, offset, event.ts, event.surface, request=True, k=event.k,
            candidates=event.candidates, filters=event.filters,
        )  # fmt: skip
    if not isinstance(event, Click | Purchase | Feedback):
        raise TypeError(f"no trigger: {type(event).__name__}")
    return Trigger(event.user_id, event.event_id, offset, event.ts, event.surface)


@kernel
def number_slots(column: Int32, index: Int32, slots: Int32, n: int, out: Int32) -> int:
    """Number slots in order of first appearance; returns how many have a number by now."""
    for i in range(len(column)):
        slot = column[i]
        if index[slot] < 0:
            index[slot] = n
            slots[n] = slot
            n += 1
        out[i] = index[slot]
    return n


def _arms(people: People, who: Int32) -> UInt8:
    return (people["flags"][who] & np.uint8(HOLDOUT)) // np.uint8(HOLDOUT)


def rows_of(
    columns: EventColumns, user: Int32, offset: Int64, people: People, out: Output
) -> tuple[InteractionRows, ExposureRows, RewardRows]:
    """Rows of a folded run, with universe slots for items."""
    n, n_ctx, n_rewards, _ = (int(e) for e in out.ends)
    at = out.row["event"][:n]
    who = user[at]
    interactions = InteractionRows(
        item=columns.item[at],
        user=people["hash"][who],
        ts=columns.ts[at],
        kind=columns.code[at],
        weight=columns.weight[at],
        offset=offset[at],
        arm=_arms(people, who),
        repeat=out.row["repeat"][:n].copy(),
        age=out.row["age"][:n].copy(),
        ctx_start=out.row_start[: n + 1].copy(),
        ctx_item=out.ctx_item[:n_ctx].copy(),
        ctx_gap=out.ctx_gap[:n_ctx].copy(),
        ctx_kind=out.ctx_kind[:n_ctx].copy(),
    )
    rewards = _rewards(columns, user, offset, people, out, n_rewards)
    return interactions, _exposures(columns, user, offset, people, out.opened), rewards


def _rewards(
    columns: EventColumns, user: Int32, offset: Int64, people: People, out: Output, n: int
) -> RewardRows:
    reward = out.reward[:n]
    at = reward["event"]
    who = user[at]
    return RewardRows(
        item=columns.item[at],
        user=people["hash"][who],
        ts=columns.ts[at],
        offset=offset[at],
        decision=reward["decision"].copy(),
        position=reward["position"].copy(),
        propensity=reward["propensity"].copy(),
        reward=columns.code[at],
        amount=columns.amount[at],
        lag=reward["lag"].copy(),
        inferred=reward["inferred"].copy(),
        arm=_arms(people, who),
        first=reward["first"].copy(),
        epoch=reward["epoch"].copy(),
    )


def _exposures(
    columns: EventColumns, user: Int32, offset: Int64, people: People, opened: UInt8
) -> ExposureRows:
    lists = columns.lists
    if not opened.any():
        return NO_ROWS[1]
    owner = np.repeat(np.arange(len(lists.event)), np.diff(lists.start))
    keep = opened[owner] == 1
    owner = owner[keep]
    event = lists.event[owner]
    return ExposureRows(
        item=lists.item[keep],
        user=people["hash"][user[event]],
        ts=lists.ts[owner],
        offset=offset[event],
        decision=lists.id[owner],
        position=lists.position[keep],
        propensity=lists.propensity[keep],
        p_control=lists.p_control[keep],
        p_uniform=lists.p_uniform[keep],
        arm=lists.arm[owner],
        epoch=lists.epoch[owner],
        explored=lists.explored[keep],
        pinned=lists.pinned[keep],
    )


def contexts_of(
    columns: EventColumns, rows: InteractionRows, wanted: UInt8, out: Output
) -> tuple[Int32, Contexts]:
    """People as they were before the interactions for which this was asked."""
    at = out.row["event"][: len(rows)]
    chosen = np.flatnonzero(wanted[at])
    if not len(chosen):
        return np.zeros(0, np.int32), NO_CONTEXTS
    length = np.diff(rows.ctx_start)
    inner = np.repeat(wanted[at] == 1, length)
    n_seen = (out.seen_start[1:] - out.seen_start[:-1])[at[chosen]]
    return at[chosen], Contexts(
        user=rows.user[chosen],
        now=columns.ts[at[chosen]],
        age=rows.age[chosen],
        ctx_start=starts(length[chosen]),
        ctx_slot=rows.ctx_item[inner],
        ctx_gap=rows.ctx_gap[inner],
        ctx_kind=rows.ctx_kind[inner],
        seen_start=starts(n_seen),
        seen_slot=out.seen_item[: out.ends[3]].copy(),
    )


def starts(lengths: npt.NDArray[Any]) -> Int32:
    """Offsets of a ragged column from the lengths of its rows."""
    out = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=out[1:])
    return out


def join_runs(parts: Sequence[Applied]) -> Applied:
    """Effects of several runs, one after the other; the cover is the caller's."""
    return replace(
        parts[0],
        accepted=np.concatenate([p.accepted for p in parts]),
        interactions=join([p.interactions for p in parts]),
        exposures=join([p.exposures for p in parts]),
        rewards=join([p.rewards for p in parts]),
        contexts_at=np.concatenate([p.contexts_at for p in parts]),
        contexts=join_contexts([p.contexts for p in parts]),
        counts=np.sum([p.counts for p in parts], axis=0),
        erased=[e for p in parts for e in p.erased],
    )


def joined(runs: Sequence[Applied]) -> Applied:
    """Effects of several runs of one shard that follow each other, as those of one."""
    if len(runs) == 1:
        return runs[0]
    first = np.cumsum([0, *(len(run.events) for run in runs)])
    shifted = [
        replace(run, contexts_at=run.contexts_at + np.int32(at)) for run, at in zip(runs, first, strict=False)
    ]
    whole = join_runs(shifted)
    whole.to = runs[-1].to
    whole.events = [event for run in runs for event in run.events]
    whole.offsets = np.concatenate([run.offsets for run in runs])
    return whole


def join(parts: Sequence[C]) -> C:
    """Rows of several runs, one after the other."""
    if len(parts) == 1:
        return parts[0]
    out: dict[str, npt.NDArray[Any]] = {}
    for f in fields(parts[0]):
        columns = [getattr(part, f.name) for part in parts]
        if f.name.endswith("_start"):
            out[f.name] = starts(np.concatenate([np.diff(c) for c in columns]))
        else:
            out[f.name] = np.concatenate(columns)
    return type(parts[0])(**out)


def join_contexts(parts: Sequence[Contexts]) -> Contexts:
    """Contexts of several runs, one after the other."""
    names = [f.name for f in fields(Contexts)]
    out: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        columns = [getattr(part, name) for part in parts]
        out[name] = (
            starts(np.concatenate([np.diff(c) for c in columns]))
            if name.endswith("_start")
            else np.concatenate(columns)
        )
    return Contexts(**out)
