"""The contract of every fold in ``models``, found by reflection: a new one is tested by existing."""

import importlib
import inspect
import pkgutil
from dataclasses import replace

import numpy as np
import pytest

import models
from models import lending
from models.causal.ledger import Ledger
from models.components.base import Component
from models.fold import Fold, FoldLog, Lender, Rows
from schemas.errors import CoverGapError, SnapshotError
from schemas.signals import Arm
from schemas.snapshots import unpack
from tests.contracts.factories import FACTORIES
from tests.contracts.logs import cut, make_log

METHODS = ("learn", "snapshot", "restore", "checksum")
KEEPS_TO_ITSELF = {Ledger}
"""The auditor's: no event process reads it."""
LOG = make_log()
CUTS = [[0], [9, 10, 11, 200], list(range(7, 399, 13))]


def fold_classes() -> list[type]:
    """Classes of ``models`` that have all of a fold's members, protocols and bases of folds aside."""
    found = []
    for module in pkgutil.walk_packages(models.__path__, "models."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = kind.__module__ == module.name and kind not in (Fold, Lender, Component)
            if own and all(hasattr(kind, m) for m in METHODS) and _learns_rows(kind):
                found.append(kind)
    return sorted(set(found), key=lambda k: k.__name__)


def _learns_rows(kind: type) -> bool:
    return [p.annotation for p in inspect.signature(kind.learn).parameters.values()][1:] == [Rows]


FOLDS = fold_classes()


def run(make, blocks):
    log = FoldLog([make()])
    for block in blocks:
        log.learn(block)
    return log


def test_folds_are_found():
    """The search finds the folds that are known to exist, and each can be made."""
    names = {kind.__name__ for kind in FOLDS}
    assert names >= {"Popularity", "Transitions", "Factors", "Repeats", "Head", "Scoreboard"}
    assert {k.__name__ for k in FOLDS if k not in FACTORIES} == set()


@pytest.mark.parametrize("kind", FOLDS)
class TestEveryFold:
    def test_is_deterministic(self, kind):
        """The same log gives the same bytes."""
        make = FACTORIES[kind]
        assert run(make, [LOG]).snapshot() == run(make, [LOG]).snapshot()

    @pytest.mark.parametrize("ends", CUTS, ids=["one row first", "a few", "many"])
    def test_does_not_see_packing(self, kind, ends):
        """Any cut of the log into blocks, with any dictionary, gives the same bytes."""
        make = FACTORIES[kind]
        assert run(make, cut(LOG, ends)).snapshot() == run(make, [LOG]).snapshot()

    def test_restores_byte_for_byte_in_mid_stream(self, kind):
        """A snapshot restores to the same bytes, and learning goes on from it as if nothing had happened."""
        make = FACTORIES[kind]
        first, second = cut(LOG, [211])
        log = run(make, [first])
        data = log.snapshot()
        other = FoldLog([make()])
        other.restore(data)
        assert other.snapshot() == data
        log.learn(second)
        other.learn(second)
        assert other.snapshot() == log.snapshot()

    def test_is_lent_and_adopted_without_a_copy(self, kind):
        """Who adopts what was lent has the same state, in the very same memory; a restored one does too."""
        if kind in KEEPS_TO_ITSELF:
            assert not isinstance(FACTORIES[kind](), Lender)
            return
        log = run(FACTORIES[kind], [LOG])
        restored = FoldLog([FACTORIES[kind]()])
        restored.restore(log.snapshot())
        for owner in (log, restored):
            lent = lending.lend(owner)
            other = FoldLog([FACTORIES[kind]()])
            assert lending.adopt(other, lent)
            assert other.snapshot() == log.snapshot()
            again = lending.lend(other).arrays
            assert again.keys() == lent.arrays.keys()
            for name, array in lent.arrays.items():
                ours = name.startswith("items.") or np.shares_memory(again[name], array) or not array.size
                assert ours, name

    def test_replay_changes_nothing(self, kind):
        """Blocks that were applied, whole or in part, are applied once."""
        make = FACTORIES[kind]
        pieces = cut(LOG, [100, 250])
        again = run(make, [pieces[0], pieces[0], cut(LOG, [250])[0], pieces[1], pieces[2], LOG])
        assert again.snapshot() == run(make, [LOG]).snapshot()

    def test_checksum_follows_the_state(self, kind):
        """Equal states have equal checksums; a fold that learned has another than one that did not."""
        make = FACTORIES[kind]
        full = run(make, [LOG]).folds[0]
        assert full.checksum() == run(make, cut(LOG, [50])).folds[0].checksum()
        if full.name != "policy":  # a fold of control rows alone; the log has none
            assert full.checksum() != make().checksum()

    def test_refuses_damage_and_strangers(self, kind):
        """A damaged snapshot and another fold's are refused, and the state stays."""
        make = FACTORIES[kind]
        fold = run(make, [LOG]).folds[0]
        data = fold.snapshot()
        damaged = data[:-1] + bytes([data[-1] ^ 1])
        for bad in (damaged, b"", data[:10], data.replace(fold.name.encode(), b"x" * len(fold.name), 1)):
            with pytest.raises(SnapshotError):
                fold.restore(bad)
        assert fold.snapshot() == data

    def test_holds_no_nan(self, kind):
        """Nothing in a snapshot is NaN."""
        fold = run(FACTORIES[kind], [LOG]).folds[0]
        arrays, _ = unpack(fold.snapshot(), fold.name, fold.VERSION)
        for name, array in arrays.items():
            assert array.dtype.kind != "f" or not np.isnan(array).any(), name


def test_a_gap_stops_the_log():
    """A block that starts above the high-water raises and applies nothing."""
    log = run(FACTORIES[FOLDS[0]], [cut(LOG, [100, 200])[0]])
    before = log.snapshot()
    with pytest.raises(CoverGapError, match="only 100 is applied"):
        log.learn(cut(LOG, [100, 200])[2])
    assert log.snapshot() == before


def test_who_borrows_does_not_learn():
    """A log that reads another's arrays refuses rows, whatever they are, until it is restored."""
    log = run(FACTORIES[FOLDS[0]], cut(LOG, [100])[:1])
    other = FoldLog([FACTORIES[FOLDS[0]]()])
    lending.adopt(other, lending.lend(log))
    with pytest.raises(RuntimeError, match="learn there"):
        other.learn(LOG)
    assert other.snapshot() == log.snapshot()
    other.restore(log.snapshot())
    assert other.learn(LOG) is not None


def test_what_another_build_lent_is_refused():
    """Another version of a fold, or none of it: the borrower keeps what it has."""
    kinds = [kind for kind in FOLDS if kind not in KEEPS_TO_ITSELF][:2]
    lent = lending.lend(run(FACTORIES[kinds[0]], [LOG]))
    other = FoldLog([FACTORIES[kinds[1]]()])
    before = other.snapshot()
    with pytest.raises(SnapshotError, match="found version None"):
        lending.adopt(other, lent)
    assert other.snapshot() == before
    assert not other.borrowed


def test_holdout_rows_train_nothing():
    """Changing what the holdout did changes no fold."""
    rows = LOG.interactions
    assert (rows.arm == Arm.HOLDOUT).any()
    changed = replace(rows, weight=np.where(rows.arm == Arm.HOLDOUT, 50, rows.weight).astype(np.float32))
    for make in FACTORIES.values():
        assert run(make, [replace(LOG, interactions=changed)]).snapshot() == run(make, [LOG]).snapshot()
