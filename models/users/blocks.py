"""Bytes of a block of 256 people: what the ``state`` topic keeps of them.

A block is self-contained: item ids stand in its own dictionary, because slots belong to a process.  The
same state gives the same bytes, whichever process held it, and however often it was restored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import cramjam
import numpy as np
import numpy.typing as npt

from models.interning import Interner
from models.packed import Packed, slices
from models.users import attribution, dedup, history, sections, seen
from models.users.applied import number_slots
from models.users.attribution import DECISION as OPEN
from models.users.attribution import SHOWN
from models.users.folding import Rules, State
from models.users.history import ENTRY
from models.users.names import Names
from models.users.people import ALIVE, BLOCK, BOUGHT, CLICKED, HOLDOUT, People
from models.users.pools import WIDTH, Records
from schemas.errors import CorruptBlockError, SnapshotError
from schemas.signals import Int32, Int64
from schemas.snapshots import pack, unpack

VERSION = 1
Arrays = dict[str, npt.NDArray[Any]]
_HOUR = 3_600_000
_SCALARS = ("hash", "last_ts", "sessions", "counts", "flags")
_MADE = ("id", "opened", "ts", "offset", "epoch", "size")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose block it is.

    Parameters
    ----------
    partition
        Of ``events``.
    experiment
        The running experiment: flags of another one are worth nothing.
    clock
        The broker's time, ms.
    subjects
        By slot: the id that a person's arm hangs on, where it is not the person's own.
    """

    partition: int
    experiment: str
    clock: int
    subjects: Mapping[int, str]


def block_key(partition: int, block: int) -> bytes:
    """The key of a block.

    Examples
    --------
    >>> block_key(3, 12)
    b'3/12'
    """
    return b"%d/%d" % (partition, block)


class Captured(NamedTuple):
    """One block as it was: copies, whatever happens to the state meanwhile."""

    arrays: Arrays
    meta: dict[str, Any]

    def encode(self) -> bytes:
        """Bytes of the block: zstd of a checksummed envelope of columns."""
        return bytes(cramjam.zstd.compress(pack("users", VERSION, self.arrays, self.meta), level=1))


def capture(
    state: State, rules: Rules, names: Names, items: Interner, origin: Origin, block: int
) -> Captured:
    """Copy one block out of the state.

    Ids and decisions whose time is over by ``origin.clock`` are left out.
    """
    people = state.people
    rows = np.arange(block * BLOCK, min((block + 1) * BLOCK, names.used))
    slots = rows[people["flags"][rows] & ALIVE != 0]
    arrays: Arrays = {"slot": slots - block * BLOCK}
    arrays |= {name: people[name][slots] for name in _SCALARS}
    arrays |= _names(names, people, slots)
    arrays |= _past(state, rules, slots)
    arrays |= _ids(state, rules, slots, origin.clock // _HOUR)
    arrays |= _open(state, slots, origin.clock - rules.window)
    packed = items.pack(number_items(arrays, _left(state, rules, slots, len(items)), items))
    arrays |= {"item_bytes": packed.data, "item_n": np.diff(packed.start).astype(np.uint16)}
    meta = {
        "partition": origin.partition,
        "block": block,
        "experiment": origin.experiment,
        "subjects": [(s % BLOCK, name) for s, name in sorted(origin.subjects.items()) if s // BLOCK == block],
    }
    return Captured(arrays, meta)


def _names(names: Names, people: People, slots: Int64) -> Arrays:
    at, n = people["name_at"][slots], people["name_n"][slots]
    return {"name_bytes": slices(names.data, at, n).data, "name_n": n}


def _past(state: State, rules: Rules, slots: Int64) -> Arrays:
    n = np.minimum(state.people["past_n"][slots], rules.history).astype(np.uint16)
    entries = np.empty(int(n.sum()), ENTRY)
    sections.dump_pasts(state.history, state.people, slots, rules.history, entries)
    return {"past_n": n} | _columns("past", entries, ENTRY.names or ())


def _ids(state: State, rules: Rules, slots: Int64, hour: int) -> Arrays:
    most = int(np.minimum(state.people["ids_n"][slots], rules.ids).sum())
    name, hours = np.empty(most, np.uint64), np.empty(most, np.int64)
    flags, n = np.empty(most, np.uint8), np.zeros(len(slots), np.uint16)
    end = sections.dump_recent(
        state.recent, state.people, slots, hour, rules.id_hours, rules.ids, name, hours, flags, n
    )
    return {
        "ids_n": n,
        "ids_low": name[:end].astype(np.uint32),
        "ids_high": (name[:end] >> np.uint64(32)).astype(np.uint8),
        "ids_hour": hours[:end].astype(np.uint32),
        "ids_flags": flags[:end],
    }


def _open(state: State, slots: Int64, earliest: int) -> Arrays:
    d, n = state.decisions, np.zeros(len(slots), np.uint16)
    records = np.empty(int(state.people["open_n"][slots].sum()), np.int64)
    records = records[: sections.list_open(d, state.people, slots, earliest, records, n)]
    made = d.record[records]
    shown = np.empty(int(made["size"].sum()), SHOWN)
    sections.dump_shown(d, records, shown)
    return {"open_n": n} | _columns("open", made, _MADE) | _columns("shown", shown, SHOWN.names or ())


def _left(state: State, rules: Rules, slots: Int64, n_items: int) -> Arrays:
    """Items of people that are in no history any more: slots, and how many each person has."""
    people = state.people
    beyond = np.maximum(people["past_n"][slots].astype(np.int64) - rules.history, 0)
    most = int((people["seen_n"][slots] + beyond).sum())
    item, n = np.empty(most, np.int32), np.zeros(len(slots), np.int32)
    if most:
        marks = np.zeros(n_items, np.int32)
        end = sections.dump_left(state.history, people, state.seen, slots, rules.history, item, n, marks)
        item = item[:end]
    return {"seen_n": n, "seen_item": item}


def _columns(prefix: str, records: Records, names: tuple[str, ...]) -> Arrays:
    return {f"{prefix}_{name}": records[name] for name in names}


def _records(prefix: str, arrays: Arrays, names: tuple[str, ...], dtype: np.dtype[np.void]) -> Records:
    records = np.zeros(len(arrays[f"{prefix}_{names[0]}"]), dtype)
    for name in names:
        records[name] = arrays[f"{prefix}_{name}"]
    return records


def number_items(arrays: Arrays, left: Arrays, items: Interner) -> Int32:
    """Replace slots by dictionary indices in ``arrays``; returns the dictionary's slots."""
    index = np.full(len(items), -1, np.int32)
    slots = np.empty(len(items), np.int32)
    n = 0
    for name in ("past_item", "shown_item"):
        column = arrays[name]
        arrays[name] = np.empty_like(column)
        n = number_slots(column, index, slots, n, arrays[name])
    column = left["seen_item"]
    alone = np.unique(column[index[column] < 0])
    named = sorted(zip(items.ids_of(alone.tolist()), alone.tolist(), strict=True))
    slots[n : n + len(named)] = [slot for _, slot in named]
    index[slots[n : n + len(named)]] = np.arange(n, n + len(named))
    numbers = index[column]
    owner = np.repeat(np.arange(len(left["seen_n"])), left["seen_n"])
    arrays["seen_n"] = left["seen_n"]
    arrays["seen_item"] = numbers[np.lexsort((numbers, owner))]
    return slots[: n + len(named)]


def decode(data: bytes, origin: Origin) -> tuple[int, Arrays, dict[str, Any]]:
    """Number, columns and header of a block.

    Raises
    ------
    CorruptBlockError
        Damaged, of another version or partition; nothing else is raised, whatever the bytes.
    """
    try:
        arrays, meta = unpack(bytes(cramjam.zstd.decompress(data)), "users", VERSION)
    except (cramjam.DecompressionError, SnapshotError, OverflowError, MemoryError) as error:
        raise _corrupt(origin, "?", str(error)) from error
    if meta["partition"] != origin.partition:
        raise _corrupt(origin, meta["block"], f"it belongs to partition {meta['partition']}")
    return meta["block"], arrays, meta


def _corrupt(origin: Origin, block: object, reason: str) -> CorruptBlockError:
    remedy = "restore the state topic from a backup, or delete it and replay events"
    return CorruptBlockError(f"block {origin.partition}/{block}", reason, remedy)


def load(state: State, rules: Rules, names: Names, items: Interner, block: int, arrays: Arrays) -> Int64:
    """Put the people of a decoded block into a state that has none of them; returns their slots.

    The state has room for their records.  Decisions are not yet in order: see ``order_open``.
    """
    slots = arrays["slot"] + block * BLOCK
    for name in _SCALARS:
        state.people[name][slots] = arrays[name]
    names.place(state.people, slots, Packed.of_bytes(arrays["name_bytes"], arrays["name_n"]))
    universe = items.intern_packed(Packed.of_bytes(arrays["item_bytes"], arrays["item_n"]))
    for name in ("past_item", "shown_item", "seen_item"):
        arrays[name] = universe[arrays[name]]
    if len(slots):
        _load_lists(state, rules, slots, arrays)
    return slots


def _load_lists(state: State, rules: Rules, slots: Int64, a: Arrays) -> None:
    people = state.people
    history.make_room(state.history, len(a["past_item"]) // WIDTH + len(slots) + 1)
    dedup.make_room(state.recent, len(a["ids_low"]) // WIDTH + len(slots) + 1)
    n_sets = int((a["seen_n"] > 0).sum())
    seen.make_room(state.seen, 6 * len(a["seen_item"]) + 2 * seen.SMALLEST * n_sets)
    attribution.make_room(state.decisions, len(a["open_id"]), len(a["shown_item"]))
    entries = _records("past", a, ENTRY.names or (), ENTRY)
    sections.load_pasts(state.history, people, state.seen, slots, rules.history, a["past_n"], entries)
    name = (a["ids_high"].astype(np.uint64) << np.uint64(32)) | a["ids_low"].astype(np.uint64)
    hours = a["ids_hour"].astype(np.int64)
    sections.load_recent(
        state.recent, people, slots, rules.id_hours, rules.ids, a["ids_n"], name, hours, a["ids_flags"]
    )
    sections.load_left(people, state.seen, slots, a["seen_n"], a["seen_item"])
    made, shown = _records("open", a, _MADE, OPEN), _records("shown", a, SHOWN.names or (), SHOWN)
    sections.load_open(state.decisions, people, slots, a["open_n"], made, shown)


def forget_experiment(people: People, slots: Int64) -> None:
    """Another experiment runs now: nobody had a first reward in it, and arms are drawn anew."""
    people["flags"][slots] &= np.uint8(255 - CLICKED - BOUGHT - HOLDOUT)
