"""One engine learns, another reads its arrays: the same lists, no copy, and no strange state."""

import msgspec
import numpy as np
import pytest

from deploy.benchmarks._stream import START, clicks, new_engine, observe
from models.engine import Engine, ListRequest
from models.fold import Lent
from schemas.catalogue import Item
from schemas.errors import SnapshotError
from schemas.settings import ExperimentSettings

ITEMS, EVENTS, PEOPLE = 60, 900, 30
NOW = START + 10_000_000
EXPERIMENT = ExperimentSettings(name="bench", holdout=0.0)


@pytest.fixture(scope="module")
def lived():
    """An engine that has learned, the blocks that it learned from, and the events behind them."""
    engine, shard = new_engine()
    log = clicks(ITEMS, EVENTS, PEOPLE)
    return engine, observe(engine, shard, log), log


def borrower(engine: Engine, log) -> tuple[Engine, object]:
    """An engine with user state and catalogue of its own, reading the models of another."""
    mine = Engine(engine.settings, experiment=EXPERIMENT)
    describe(mine)
    shard = mine.open_shard(0)
    offsets = np.arange(len(log), dtype=np.int64)
    mine.apply(shard, log, offsets, broker_ts=np.array([e.ts for e in log]))
    return mine, shard


def describe(engine: Engine) -> None:
    engine.describe([Item(item_id=f"item-{n}", title=f"thing {n}") for n in reversed(range(ITEMS))])
    engine.delist(["item-3"])


def lists(engine: Engine, shard) -> list:
    asked = [ListRequest(shard, f"u{n}", 8, f"t{n}") for n in range(PEOPLE)]
    return engine.recommend(asked, now=NOW, seed=7)


def test_lists_of_lent_models_are_those_of_ones_own(lived):
    """Items, propensities and parts are the same whoever learned, though the engines met items otherwise."""
    engine, blocks, log = lived
    reading, shard = borrower(engine, log)
    reading.adopt(engine.lend())
    learning, other = borrower(engine, log)
    for block in blocks:
        learning.learn(block)
    assert lists(reading, shard) == lists(learning, other)
    assert reading.model == engine.model
    assert reading.snapshot() == engine.snapshot() == learning.snapshot()


def test_making_lists_copies_no_array_and_changes_none(lived):
    """After lists, neighbours and trends the borrower still holds the lent memory, bit by bit as it was."""
    engine, _, log = lived
    lent = engine.lend().copied()
    before = lent.copied()
    reading, shard = borrower(engine, log)
    reading.adopt(lent)
    lists(reading, shard)
    reading.similar("item-1")
    reading.trending()
    held = reading.log.folds
    for fold in held:
        for name, array in fold.lend(len(reading.log.items)).arrays.items():
            theirs = lent.arrays[f"{fold.name}.{name}"]
            assert np.shares_memory(array, theirs) or not theirs.size, (fold.name, name)
    for name, array in before.arrays.items():
        assert np.array_equal(array, lent.arrays[name], equal_nan=True), name


def test_later_versions_bring_new_items_and_older_ones_are_another_line(lived):
    """Ids keep their slots while a version continues the one before; else everything is mapped anew."""
    engine, blocks, log = lived
    reading, shard = borrower(engine, log)
    young = Engine(engine.settings, experiment=EXPERIMENT)
    for n, block in enumerate(blocks):
        young.learn(block)
        reading.adopt(young.lend().copied())
        if n == 0:
            lists(reading, shard)
    fresh, other = borrower(engine, log)
    fresh.adopt(engine.lend())
    assert lists(reading, shard) == lists(fresh, other)
    backwards = Engine(engine.settings, experiment=EXPERIMENT)
    for block in blocks[:1]:
        backwards.learn(block)
    reading.adopt(backwards.lend().copied())
    assert reading.snapshot() == backwards.snapshot()
    again, third = borrower(engine, log)
    again.adopt(backwards.lend().copied())
    assert lists(reading, shard) == lists(again, third)


def test_a_snapshot_of_what_was_lent_is_the_snapshot_of_then(lived):
    """It can be encoded while the lender learns on."""
    engine, blocks, _ = lived
    young = Engine(engine.settings, experiment=EXPERIMENT)
    young.learn(blocks[0])
    then, lent = young.snapshot(), young.lend().copied()
    young.learn(blocks[1])
    assert young.snapshot_of(lent) == then != young.snapshot()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"factors": 32}, "engine.factors = 64: learned with 32"),
        ({"features": ["popular"]}, "other features"),
        ({"experiment": "next"}, "experiment.name = 'bench': the learner's is 'next'"),
    ],
)
def test_models_for_other_settings_are_refused_by_name(lived, change, named):
    """What does not fit changes nothing."""
    engine, _, log = lived
    reading, _ = borrower(engine, log)
    before = reading.snapshot()
    lent = engine.lend()
    with pytest.raises(SnapshotError, match=named):
        reading.adopt(Lent(lent.arrays, lent.values | change))
    assert reading.snapshot() == before


def test_values_that_are_lent_survive_msgpack(lived):
    """What travels in a header comes back as it was."""
    values = lived[0].lend().values
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(values))
    reading = Engine(lived[0].settings, experiment=EXPERIMENT)
    reading.adopt(Lent(lived[0].lend().arrays, back))
    assert reading.snapshot() == lived[0].snapshot()
