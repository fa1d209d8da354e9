"""User state as it stands on the ``state`` topic, read from the bytes of its records.

Written from their layout; nothing of the engine or of ``streams.state_store`` reads here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cramjam
import msgspec
import numpy as np

from schemas.settings import KafkaSettings
from schemas.snapshots import unpack
from schemas.topics import Topic
from tests.models.users.plain import HOUR, Person
from tests.streams.clients.room import read

REQUESTS, CLICKS, PURCHASES = 0, 1, 2
CLICKED, BOUGHT = 4, 8
HISTORY, IDS, ID_HOURS = 100, 64, 24


class Open(NamedTuple):
    """A decision that waits for rewards: hash of its id, offset, and place and probability by item."""

    decision: int
    offset: int
    shown: dict[str, tuple[int, float]]


@dataclass
class Kept:
    """What is kept of a person, oldest first: (item, second, kind); (applied, decided) of recent ids."""

    past: list[tuple[str, int, int]] = field(default_factory=list)
    ids: list[tuple[bool, bool]] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)
    counts: tuple[int, int, int] = (0, 0, 0)
    first: set[int] = field(default_factory=set)


class State(NamedTuple):
    """A partition: offset of the last event in it, and its people by name."""

    applied: int
    people: dict[str, Kept]


async def stored(kafka: KafkaSettings) -> dict[int, State]:
    """Every partition's state; a sweep counts when its checkpoint row stands in the log."""
    states: dict[int, State] = {}
    blocks: dict[tuple[int, bytes], bytes] = {}
    waiting: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
    applied: dict[int, int] = {}
    for record in await read(kafka, Topic.STATE, committed=True):
        at = record.partition, record.key
        if record.key.startswith(b"block/"):
            waiting.setdefault(at, []).append((int(dict(record.headers)["sweep"]), record.value))
        if record.key != b"checkpoint":
            continue
        applied[record.partition] = end = msgspec.msgpack.decode(record.value)["applied"]
        for place, versions in waiting.items():
            if place[0] == record.partition:
                if done := [data for sweep, data in versions if sweep <= end]:
                    blocks[place] = done[-1]
                versions[:] = [v for v in versions if v[0] > end]
    for partition, end in applied.items():
        mine = [data for (p, _), data in blocks.items() if p == partition]
        states[partition] = State(end, {name: kept for data in mine for name, kept in people_of(data)})
    return states


def people_of(data: bytes) -> Iterator[tuple[str, Kept]]:
    """Names and people of one block; its lists stand newest first."""
    columns, _ = unpack(bytes(cramjam.zstd.decompress(data)), "users", 1)
    items = _strings(columns["item_bytes"], columns["item_n"])
    past = [(items[i], second, kind) for i, second, kind in _rows(columns, "past", "item", "second", "kind")]
    ids = [(bool(f & 1), bool(f & 2)) for (f,) in _rows(columns, "ids", "flags")]
    places = _rows(columns, "shown", "item", "position", "propensity")
    shown = [(items[i], (place, p)) for i, place, p in places]
    made = zip(_rows(columns, "open", "id", "offset"), _cut(columns["open_size"]), strict=True)
    waiting = [Open(name, offset, dict(shown[cut])) for (name, offset), cut in made]
    cuts = zip(*(_cut(columns[f"{name}_n"]) for name in ("past", "ids", "open")), strict=True)
    for i, (name, (a, b, c)) in enumerate(
        zip(_strings(columns["name_bytes"], columns["name_n"]), cuts, strict=True)
    ):
        counts, flags = columns["counts"][i].tolist(), int(columns["flags"][i])
        yield (
            name,
            Kept(
                past=past[a][::-1],
                ids=ids[b][::-1],
                open=waiting[c][::-1],
                counts=(counts[REQUESTS], counts[CLICKS], counts[PURCHASES]),
                first={kind for kind, bit in ((CLICKS, CLICKED), (PURCHASES, BOUGHT)) if flags & bit},
            ),
        )


def _rows(columns: dict[str, Any], prefix: str, *names: str) -> list[tuple[Any, ...]]:
    return [*zip(*(columns[f"{prefix}_{name}"].tolist() for name in names), strict=True)]


def _cut(lengths: Any) -> list[slice]:
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    return [slice(end - int(n), end) for end, n in zip(ends, lengths, strict=True)]


def _strings(data: Any, lengths: Any) -> list[str]:
    raw = data.tobytes()
    return [raw[cut].decode() for cut in _cut(lengths)]


def kept_of(person: Person, clock: int, window: int, hashed: dict[str, int]) -> Kept:
    """The same of a person of the plain fold, within the bounds that the state keeps to.

    Parameters
    ----------
    clock, window
        The broker's newest time, and how long decisions wait, ms.
    hashed
        Stable hashes of decision ids.
    """
    kinds = [kind for _, _, kind in person.past]
    young = [e for e in person.ids[-IDS:] if clock // HOUR - e[1] <= ID_HOURS]
    return Kept(
        past=person.past[-HISTORY:],
        ids=[(bool(e[2]), bool(e[3])) for e in young],
        open=[Open(hashed[d[0]], d[4], d[3]) for d in person.open if d[1] >= clock - window],
        counts=(person.counts.get("requests", 0), kinds.count(CLICKS), kinds.count(PURCHASES)),
        first=set(person.first),
    )
