"""A run of events as the kernel takes it, and room for what it gives."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.users.attribution import SHOWN
from models.users.columns import BARRIER, EventColumns
from models.users.folding import (
    CONTEXT,
    EVENT_ROW,
    INTERACTION,
    LIST_ROW,
    REWARD,
    Input,
    Output,
    State,
    Tally,
)
from schemas.signals import Int32, Int64, UInt8


def cuts(codes: UInt8) -> Iterator[tuple[int, int]]:
    """Runs without barriers, and each barrier alone, in order.

    Examples
    --------
    >>> list(cuts(np.array([1, 2, BARRIER, 1], np.uint8)))
    [(0, 2), (2, 3), (3, 4)]
    """
    begin = 0
    for at in np.flatnonzero(codes == BARRIER).tolist():
        if begin < at:
            yield begin, at
        yield at, at + 1
        begin = at + 1
    if begin < len(codes):
        yield begin, len(codes)


def input_of(columns: EventColumns, user: Int32, offsets: Int64, clock: Int64, wanted: UInt8) -> Input:
    """Columns as records, in the kernel's layout."""
    lists = columns.lists
    event = np.empty(len(user), EVENT_ROW)
    for name in ("code", "item", "ts", "name", "named", "weight"):
        event[name] = getattr(columns, name)
    event["user"], event["offset"], event["clock"], event["want_seen"] = user, offsets, clock, wanted
    event["list"] = 0
    event["list"][lists.event] = np.arange(len(lists.event))
    made = np.empty(len(lists.event), LIST_ROW)
    made["id"], made["trigger"], made["epoch"] = lists.id, lists.trigger, lists.epoch
    made["start"], made["end"] = lists.start[:-1], lists.start[1:]
    shown = np.empty(len(lists.item), SHOWN)
    shown["item"], shown["propensity"], shown["position"] = lists.item, lists.propensity, lists.position
    return Input(event, made, shown)


def new_output(columns: EventColumns, marks: Int32, wanted: UInt8) -> Output:
    """Room for the rows of a run; room for seen items is made on demand."""
    n = len(columns.code)
    return Output(
        accepted=np.zeros(n, np.uint8),
        opened=np.zeros(len(columns.lists.event), np.uint8),
        tally=np.zeros(len(Tally), np.int64),
        ends=np.zeros(4, np.int64),
        row=np.empty(n, INTERACTION),
        row_start=np.zeros(n + 1, np.int32),
        ctx_item=np.empty(n * CONTEXT, np.int32),
        ctx_gap=np.empty(n * CONTEXT, np.float32),
        ctx_kind=np.empty(n * CONTEXT, np.uint8),
        reward=np.empty(n, REWARD),
        seen_start=np.zeros(n + 1, np.int32),
        seen_item=np.empty(20 * int(wanted.sum()), np.int32),
        marks=marks,
    )


def arrays_of(state: State) -> Iterator[npt.NDArray[np.generic]]:
    """All arrays of a state."""
    for part in state:
        yield from part if isinstance(part, tuple) else (part,)
