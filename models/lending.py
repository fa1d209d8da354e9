"""Lending a whole fold log: what one process learned, another reads in place.

The lender goes on learning into its own arrays, so what it lends is published as a copy (a file that
others map); a borrower holds views of that copy, and must not learn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from models.arena import Array
from models.fold import Fold, FoldLog, Lender, Lent
from models.interning import Interner
from models.packed import Packed
from schemas.errors import SnapshotError

ITEMS = "items"


def lend(log: FoldLog) -> Lent:
    """Everything that a fold log knows, as it stands.

    Raises
    ------
    TypeError
        One of its folds lends nothing.
    """
    n_items, ids = len(log.items), log.items.packed()
    arrays: dict[str, Array] = {f"{ITEMS}.data": ids.data, f"{ITEMS}.start": ids.start}
    folds: dict[str, Any] = {}
    for fold in _lenders(log.folds):
        lent = fold.lend(n_items)
        arrays |= {f"{fold.name}.{key}": array for key, array in lent.arrays.items()}
        folds[fold.name] = {"version": fold.VERSION, "values": lent.values}
    high_water = sorted((*source, to) for source, to in log.high_water.items())
    return Lent(arrays, {"folds": folds, "high_water": high_water, "rows": log.rows_learned})


def refuse_other(theirs: Mapping[str, Any], features: Sequence[str], factors: int) -> None:
    """Refuse what was learned with other features or factors than ours.

    Raises
    ------
    SnapshotError
        Names what differs.
    """
    if (names := list(theirs.get("features", features))) != list(features):
        differ = sorted(set(names) ^ set(features))
        raise SnapshotError(f"engine: learned with other features, {differ}: rebuild from the log")
    if (width := theirs.get("factors")) != factors:
        ours_is = f"engine.factors = {factors}"
        raise SnapshotError(f"{ours_is}: learned with {width}: set that, or rebuild from the log")


def adopt(log: FoldLog, lent: Lent) -> bool:
    """Read from now on what was lent; whether ids kept their slots.

    Raises
    ------
    SnapshotError
        A fold is missing, or of another version; nothing has changed then.
    """
    found = lent.values["folds"]
    for fold in log.folds:
        version = found.get(fold.name, {}).get("version")
        if version != fold.VERSION:
            raise SnapshotError(f"{fold.name} version {fold.VERSION}: found version {version}: same build?")
    ids = Packed.of_arrays(lent.arrays[f"{ITEMS}.data"], lent.arrays[f"{ITEMS}.start"])
    kept = log.items.follow(ids)
    if not kept:
        log.items = Interner()
        log.items.follow(ids)
    for fold in _lenders(log.folds):
        prefix = f"{fold.name}."
        mine = {k.removeprefix(prefix): a for k, a in lent.arrays.items() if k.startswith(prefix)}
        fold.adopt(Lent(mine, found[fold.name]["values"]))
    log.high_water = {(p, i): to for p, i, to in lent.values["high_water"]}
    log.rows_learned = lent.values["rows"]
    log.borrowed = True
    return kept


def _lenders(folds: Sequence[Fold]) -> list[Lender]:
    lenders = [fold for fold in folds if isinstance(fold, Lender)]
    if len(lenders) < len(folds):
        strange = sorted({f.name for f in folds} - {f.name for f in lenders})
        raise TypeError(f"fold-log: {strange} lend nothing")
    return lenders
