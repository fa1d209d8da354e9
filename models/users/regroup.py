"""People of stored blocks put together in other blocks: how they change their partition.

Nothing is folded again: the columns of a block are cut by person and laid side by side in another, whose
dictionary of items is made anew.  A block made so has the bytes that ``UserShard.encode_block`` gives
for the same people in the same places.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cramjam
import numpy as np
import numpy.typing as npt

from models.interning import Interner
from models.packed import Packed, slices
from models.users.blocks import VERSION, Arrays, Origin, decode, number_items
from models.users.pools import Mask
from schemas.signals import Int64
from schemas.snapshots import pack

_SCALARS = ("hash", "last_ts", "sessions", "counts", "flags")
_LISTS = {
    "past_n": ("past_item", "past_second", "past_kind", "past_weight"),
    "ids_n": ("ids_low", "ids_high", "ids_hour", "ids_flags"),
    "open_n": ("open_id", "open_opened", "open_ts", "open_offset", "open_epoch", "open_size"),
    "seen_n": ("seen_item",),
}
_SHOWN = ("shown_propensity", "shown_item", "shown_position")
_ITEMS = ("past_item", "shown_item", "seen_item")
_ORDER = (
    *_SCALARS, "name_bytes", "name_n", "past_n", *_LISTS["past_n"], "ids_n", *_LISTS["ids_n"],
    "open_n", *_LISTS["open_n"], *_SHOWN,
)  # fmt: skip


@dataclass(frozen=True)
class People:
    """People of one block, or some of them.

    Attributes
    ----------
    arrays
        Columns as they are stored; ``item_bytes`` and ``item_n`` are the whole block's dictionary.
    subjects
        Row of a person → the id that their arm hangs on, where it is not their own.
    experiment
        Whose flags they carry.
    """

    arrays: Arrays
    subjects: dict[int, str]
    experiment: str

    def __len__(self) -> int:
        return len(self.arrays["slot"])

    def names(self) -> list[str]:
        """Their ids."""
        return list(Packed.of_bytes(self.arrays["name_bytes"], self.arrays["name_n"]))

    def open_offsets(self) -> Int64:
        """Offsets in ``events`` of the decisions that are open, shape (n,)."""
        return self.arrays["open_offset"]

    def take(self, keep: Mask) -> "People":
        """Those where the mask is true."""
        a = self.arrays
        out: Arrays = {name: a[name][keep] for name in ("slot", "name_n", *_SCALARS)}
        names = Packed.of_bytes(a["name_bytes"], a["name_n"])
        at = names.start[:-1][keep]
        out["name_bytes"] = slices(names.data, at, a["name_n"][keep]).data
        for length, columns in _LISTS.items():
            inner = np.repeat(keep, a[length])
            out[length] = a[length][keep]
            out |= {name: a[name][inner] for name in columns}
        shown = np.repeat(np.repeat(keep, a["open_n"]), a["open_size"])
        out |= {name: a[name][shown] for name in _SHOWN}
        out |= {"item_bytes": a["item_bytes"], "item_n": a["item_n"]}
        row = np.cumsum(keep) - 1
        subjects = {int(row[r]): name for r, name in self.subjects.items() if keep[r]}
        return People(out, subjects, self.experiment)

    def moved(self, offset_of: Callable[[int], int]) -> "People":
        """The same people with other offsets of their open decisions."""
        offsets = np.array([offset_of(int(o)) for o in self.open_offsets()], np.int64)
        return replace(self, arrays=self.arrays | {"open_offset": offsets})


def people_of(data: bytes, partition: int) -> People:
    """The people of a stored block.

    Raises
    ------
    CorruptBlockError
        Damaged, or another partition's.
    """
    _, arrays, meta = decode(data, Origin(partition, "", 0, {}))
    rows = {int(slot): row for row, slot in enumerate(arrays["slot"].tolist())}
    subjects = {rows[slot]: name for slot, name in meta["subjects"]}
    return People(arrays, subjects, meta["experiment"])


def block_of(parts: Sequence[People], partition: int, block: int) -> bytes:
    """One block of at most 256 people of one experiment, in the order given."""
    items = Interner()
    translated = [_with_slots(part.arrays, items) for part in parts]
    arrays: Arrays = {"slot": np.arange(sum(map(len, parts)))}
    arrays |= {name: np.concatenate([t[name] for t in translated]) for name in _ORDER}
    seen = {name: np.concatenate([t[name] for t in translated]) for name in ("seen_n", "seen_item")}
    packed = items.pack(number_items(arrays, seen, items))
    arrays |= {"item_bytes": packed.data, "item_n": np.diff(packed.start).astype(np.uint16)}
    meta = {
        "partition": partition,
        "block": block,
        "experiment": parts[0].experiment,
        "subjects": list(_subjects(parts)),
    }
    return bytes(cramjam.zstd.compress(pack("users", VERSION, arrays, meta), level=1))


def _subjects(parts: Sequence[People]) -> Iterator[tuple[int, str]]:
    first = 0
    for part in parts:
        yield from ((first + row, name) for row, name in sorted(part.subjects.items()))
        first += len(part)


def _with_slots(arrays: Arrays, items: Interner) -> dict[str, npt.NDArray[Any]]:
    universe = items.intern_packed(Packed.of_bytes(arrays["item_bytes"], arrays["item_n"]))
    return arrays | {name: universe[arrays[name]] for name in _ITEMS}
