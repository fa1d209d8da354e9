"""What a former release wrote loads in this one, to the values that it had then.

A dump never changes.  A release that changes a format adds a dump of its own (``tests/golden/make.py``), and
either reads the former one or refuses it by name, which these tests accept for snapshots alone: they are
rebuilt from the log.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.engine import Engine
from models.users.shard import UserShard
from schemas import signals as blocks
from schemas.errors import CorruptBlockError, SnapshotError
from schemas.events import Decision, decode_event
from schemas.recommendations import Recommendation
from schemas.signals import decode_block
from streams.archive import records_in
from streams.learner import Snapshots
from streams.rewrite import Kept
from streams.state_store import CHECKPOINT_KEY, Restored, Sweeps
from tests.golden.make import SETTINGS

RELEASES = sorted(p for p in Path(__file__).parent.iterdir() if (p / "events").is_dir())


@pytest.fixture(params=RELEASES, ids=lambda p: p.name)
def dump(request: pytest.FixtureRequest) -> Path:
    """The dumps of one release."""
    found: Path = request.param
    return found


@pytest.fixture
def pinned(dump: Path) -> dict:
    """What that release said of them."""
    return msgspec.json.decode((dump / "pinned.json").read_bytes())


def records(dump: Path, topic: str) -> list[Kept]:
    return list(records_in(dump / topic / "0.records"))


def restored(dump: Path) -> Restored:
    sweeps = Sweeps()
    for record in records(dump, "state"):
        sweeps.take(record)
    return sweeps.restored()


def shard_in(dump: Path) -> UserShard:
    found = restored(dump)
    shard = Engine.of(SETTINGS).open_shard(0, found.checkpoint.incarnation)
    shard.load_checkpoint(found.checkpoint.shard)
    for _, block in sorted(found.blocks.items()):
        shard.load_block(block)
    return shard


def folded(dump: Path, after: int = 0, engine: Engine | None = None) -> Engine:
    engine = engine or Engine.of(SETTINGS)
    for record in records(dump, "signals")[after:]:
        engine.learn(decode_block(record.value))
    return engine


def facts(engine: Engine) -> dict:
    """What folds know that no platform rounds otherwise."""
    return {
        "rows": engine.log.rows_learned,
        "items": list(engine.log.items.ids),
        "high_water": [[*key, to] for key, to in engine.log.high_water.items()],
    }


def people(shard: UserShard) -> dict:
    names = [f"user {n}" for n in range(40)]
    return {name: shard.counts_of(name) for name in names if shard.counts_of(name)}


def test_there_is_a_dump() -> None:
    """At least the first release's."""
    assert RELEASES


def test_events_are_read(dump: Path, pinned: dict) -> None:
    """Every record of the log, by type; nothing of it is lost when it is written again."""
    events = [decode_event(r.value) for r in records(dump, "events")]
    kinds = [type(e).__name__ for e in events]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == pinned["events"]
    assert [msgspec.json.encode(e) for e in events] == [r.value for r in records(dump, "events")]


def test_state_is_read(dump: Path, pinned: dict) -> None:
    """The checkpoint, everybody's counters, and decisions that are open; and it is the fold of the log."""
    found, shard = restored(dump), shard_in(dump)
    assert [found.checkpoint.applied, list(found.checkpoint.open)] == pinned["checkpoint"]
    assert people(shard) == pinned["people"]
    assert shard.open_decisions == pinned["open_decisions"]
    log = records(dump, "events")
    fold = Engine.of(SETTINGS).open_shard(0)
    offsets, times = np.array([r.offset for r in log]), np.array([r.timestamp for r in log])
    fold.apply([decode_event(r.value) for r in log], offsets, times)
    assert people(fold) == people(shard)


def test_signals_are_learned(dump: Path, pinned: dict) -> None:
    """Rows, items and covers of the whole log."""
    assert facts(folded(dump)) == pinned["learned"]


def test_a_snapshot_goes_on_or_is_refused_by_name(dump: Path, pinned: dict) -> None:
    """The models as they were, and the rest of the log on top of them; else they are rebuilt from the log."""
    engine, snapshots = Engine.of(SETTINGS), Snapshots(dump, "golden")
    (path,) = snapshots.paths()
    try:
        offset = snapshots.read(path, engine)
    except SnapshotError as error:
        assert "rebuild from the log" in str(error)
        return
    assert facts(engine) == pinned["snapshot"]
    assert facts(folded(dump, offset, engine)) == pinned["learned"]


def test_lists_are_read(dump: Path, pinned: dict) -> None:
    """Items with their probabilities, digit by digit; and each is the logged decision."""
    lists = [msgspec.json.decode(r.value, type=Recommendation) for r in records(dump, "recommendations")]
    assert [[made.trigger_id, [i.item_id for i in made.items]] for made in lists] == pinned["lists"]
    assert [i.propensity for made in lists for i in made.items] == pinned["propensities"]
    events = [decode_event(r.value) for r in records(dump, "events")]
    assert lists == [e.recommendation for e in events if isinstance(e, Decision)]


def test_another_version_is_named() -> None:
    """Of a block of signals, a checkpoint row and a block of people: the number that was found."""
    dump = RELEASES[-1]
    data = records(dump, "signals")[0].value
    with pytest.raises(CorruptBlockError, match="SWB1"):
        decode_block(b"SWB9" + data[4:])
    assert data[:4] == blocks.MAGIC
    row = next(r for r in records(dump, "state") if r.key == CHECKPOINT_KEY)
    tree = msgspec.msgpack.decode(row.value) | {"version": 99}
    with pytest.raises(CorruptBlockError, match="this build reads version"):
        Sweeps().take(row._replace(value=msgspec.msgpack.encode(tree)))


def pin(dump: Path) -> None:
    """Write down what this release says of its own dump (once, when it is made)."""
    events = [decode_event(r.value) for r in records(dump, "events")]
    kinds = [type(e).__name__ for e in events]
    engine, snapshots = Engine.of(SETTINGS), Snapshots(dump, "golden")
    snapshots.read(snapshots.paths()[0], engine)
    lists = [e.recommendation for e in events if isinstance(e, Decision)]
    found = restored(dump).checkpoint
    values = {
        "events": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "checkpoint": [found.applied, list(found.open)],
        "people": people(shard_in(dump)),
        "open_decisions": shard_in(dump).open_decisions,
        "learned": facts(folded(dump)),
        "snapshot": facts(engine),
        "lists": [[made.trigger_id, [i.item_id for i in made.items]] for made in lists],
        "propensities": [i.propensity for made in lists for i in made.items],
    }
    (dump / "pinned.json").write_bytes(msgspec.json.encode(values))
