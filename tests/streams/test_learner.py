"""The learner: slices change nothing, snapshots restore, damage is noticed, gaps stop it."""

import asyncio
import os
import resource
import threading
import time

import numpy as np
import pytest

import streams.learner
from models.engine import Engine
from schemas.errors import SnapshotError
from schemas.events import Click
from schemas.settings import EngineSettings, LearnerSettings
from schemas.signals import SignalBlock, encode_block
from streams.learner import FIRST_SLICE, KEEP, Learner, Snapshots, Turn, slices
from streams.observer import NullObserver
from streams.signals import Located
from tests.streams.clients.room import eventually


def blocks_of(runs: int, length: int) -> list[SignalBlock]:
    """Blocks of one partition, made by a real engine."""
    engine = Engine(EngineSettings())
    shard = engine.open_shard(0)
    made = []
    for run in range(runs):
        offsets = np.arange(run * length, (run + 1) * length, dtype=np.int64)
        events = [
            Click(event_id=f"e{n}", user_id=f"u{n % 7}", ts=int(n) * 1000, item_id=f"i{n * n % 13}")
            for n in offsets.tolist()
        ]
        made.append(engine.observe(shard, events, offsets, broker_ts=offsets * 1000))
    return made


def learned(blocks) -> Engine:
    engine = Engine(EngineSettings())
    for block in blocks:
        engine.learn(block)
    return engine


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_slices_teach_what_the_block_teaches(rows):
    """However finely a block is cut, the folds end with the same bytes."""
    blocks = blocks_of(3, 40)
    cut = [piece for block in blocks for piece in slices(block, rows)]
    assert len(cut) > len(blocks) or rows == 64
    assert learned(cut).snapshot() == learned(blocks).snapshot()


def test_a_snapshot_restores_where_it_was_taken(tmp_path):
    """The newest snapshot gives the offset to go on from and the same folds."""
    blocks = blocks_of(4, 30)
    engine = learned(blocks[:2])
    Snapshots(tmp_path, "shop").write(2, engine.snapshot())
    again = Engine(EngineSettings())
    assert Snapshots(tmp_path, "shop").newest(again) == (2, [])
    for block in blocks[2:]:
        again.learn(block)
    assert again.snapshot() == learned(blocks).snapshot()


def test_a_damaged_snapshot_is_named_and_the_one_before_it_used(tmp_path):
    """One flipped byte is noticed; the former snapshot serves."""
    snapshots = Snapshots(tmp_path, "shop")
    engine = learned(blocks_of(1, 30))
    snapshots.write(1, engine.snapshot())
    newest = snapshots.write(2, engine.snapshot())
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    offset, refused = Snapshots(tmp_path, "shop").newest(Engine(EngineSettings()))
    assert offset == 1
    assert len(refused) == 1
    assert "wrong checksum" in refused[0]


def test_only_the_newest_snapshots_are_kept(tmp_path):
    """Old ones are removed; a deployment's files do not grow without end."""
    snapshots = Snapshots(tmp_path, "shop")
    data = Engine(EngineSettings()).snapshot()
    for offset in range(KEEP + 3):
        snapshots.write(offset, data)
    assert len(list(tmp_path.iterdir())) == KEEP


def test_drafts_of_writers_that_were_killed_go_and_those_being_written_stay(tmp_path):
    """Each is as large as a snapshot, and nobody else would remove it."""
    old, young = tmp_path / "test.signals-1.77.draft", tmp_path / "test.signals-2.78.draft"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    Snapshots(tmp_path, "test").write(5, b"whole")
    assert (old.exists(), young.exists()) == (False, True)


def test_a_snapshot_that_finds_no_room_leaves_nothing_behind(tmp_path):
    """Half a draft would take the room that the next one needs; the former snapshot stands."""
    snapshots = Snapshots(tmp_path, "shop")
    engine = learned(blocks_of(1, 30))
    snapshots.write(1, engine.snapshot())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            snapshots.write(2, engine.snapshot())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == [f"shop.signals-{1:020d}.snapshot"]
    assert snapshots.newest(Engine(EngineSettings())) == (1, [])


def test_snapshots_of_another_deployment_are_not_taken(tmp_path):
    """The namespace is part of the file's name, and of the envelope: a renamed file is refused."""
    path = Snapshots(tmp_path, "shop").write(5, Engine(EngineSettings()).snapshot())
    other = Snapshots(tmp_path, "other")
    assert other.newest(Engine(EngineSettings())) == (0, [])
    path.rename(path.with_name(path.name.replace("shop", "other")))
    offset, refused = other.newest(Engine(EngineSettings()))
    assert (offset, len(refused)) == (0, 1)


def test_a_snapshot_of_a_build_that_left_the_namespace_out_of_its_name_is_read(tmp_path):
    """The envelope says whose it is; another's is passed over, and nobody removes it."""
    data = Engine(EngineSettings()).snapshot()
    for offset, name in ((5, "shop"), (7, "other")):
        path = Snapshots(tmp_path, name).write(offset, data)
        path.rename(path.with_name(path.name.removeprefix(f"{name}.")))
    shop = Snapshots(tmp_path, "shop")
    assert shop.newest(Engine(EngineSettings())) == (5, [])
    for offset in range(10, 10 + 2 * KEEP):
        shop.write(offset, data)
    assert shop.newest(Engine(EngineSettings())) == (9 + 2 * KEEP, [])
    assert Snapshots(tmp_path, "other").newest(Engine(EngineSettings())) == (7, [])


@pytest.mark.parametrize("name", ["", "shop"])
def test_two_deployments_in_one_directory_leave_each_other_alone(name, tmp_path):
    """The busier one would remove the other's snapshots as the oldest."""
    data = Engine(EngineSettings()).snapshot()
    quiet = Snapshots(tmp_path, "quiet").write(1, data)
    busy = Snapshots(tmp_path, name)
    for offset in range(10, 10 + 2 * KEEP):
        busy.write(offset, data)
    assert quiet.exists()
    assert len(busy.paths()) == KEEP


def test_a_snapshot_that_is_none_is_refused():
    """The engine itself refuses bytes that are no snapshot."""
    with pytest.raises(SnapshotError):
        Engine(EngineSettings()).restore(b"nonsense")


class Log:
    """A log in memory that ends, and is then silent."""

    events = "events"
    reading = True

    def __init__(self, blocks: list[SignalBlock]) -> None:
        self._blocks = blocks
        self.end = 0

    async def blocks(self):
        run = [Located(n, encode_block(block)) for n, block in enumerate(self._blocks)]
        self.end = len(run)
        yield run
        while True:
            await asyncio.sleep(0.01)
            yield []


async def test_a_snapshot_is_written_though_nothing_more_comes(tmp_path):
    """At its interval, of all that was folded, beside the learning; and once more at the end."""
    blocks, passed = blocks_of(4, 30), []
    log, engine, snapshots = Log(blocks[:3]), Engine(EngineSettings()), Snapshots(tmp_path, "shop")
    settings = LearnerSettings(directory=str(tmp_path), snapshot_seconds=0.3)
    learner = Learner(
        engine, Turn(), log, snapshots, settings, NullObserver(), lambda at, end: passed.append((at, end))
    )
    learner.next_offset = 0
    running = asyncio.create_task(learner.run())
    await eventually(lambda: any(path.stem.endswith("3") for path in snapshots.paths()))
    again = Engine(EngineSettings())
    assert snapshots.newest(again) == (3, [])
    assert again.snapshot() == learned(blocks[:3]).snapshot()
    engine.learn(blocks[3])
    learner.next_offset = 4
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert snapshots.newest(again) == (4, [])
    assert again.snapshot() == learned(blocks).snapshot()
    assert {(1, 3), (2, 3), (3, 3)} <= set(passed)


class Endless(Log):
    """A log that has another block whenever one is wanted."""

    def __init__(self, block: SignalBlock) -> None:
        super().__init__([block])
        self.data = encode_block(block)
        self.given = 0

    async def blocks(self):
        while True:
            yield [Located(self.given, self.data)]
            self.given += 1
            await asyncio.sleep(0)


async def test_no_more_is_read_than_may_wait(tmp_path, monkeypatch):
    """The reader waits while the fold stands, and goes on with it."""
    (block,) = blocks_of(1, 30)
    log, may_fold = Endless(block), threading.Event()
    bound = 10 * len(log.data)
    monkeypatch.setattr(streams.learner, "MAX_BACKLOG_BYTES", bound)
    monkeypatch.setattr(Learner, "_fold", standing(may_fold, Learner._fold))
    settings = LearnerSettings(directory=str(tmp_path), snapshot_seconds=600.0)
    snapshots = Snapshots(tmp_path, "shop")
    learner = Learner(Engine(EngineSettings()), Turn(), log, snapshots, settings, NullObserver())
    running = asyncio.create_task(learner.run())
    await eventually(lambda: log.given >= 10)
    await asyncio.sleep(0.2)
    assert log.given == 10  # the eleventh is what is above the bound
    may_fold.set()
    await eventually(lambda: log.given > 40)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def standing(go: threading.Event, fold):
    """A fold that stands until it may go."""
    return lambda self, located: go.wait(600) and fold(self, located)


class Busy(Log):
    """A log that gives one run, and has not been silent for a second since."""

    async def blocks(self):
        self.end = len(self._blocks)
        yield [Located(n, encode_block(block)) for n, block in enumerate(self._blocks)]
        await asyncio.Event().wait()


class Lags(NullObserver):
    """Remembers how far behind the learner says it is."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_learner_lag(self, blocks: int) -> None:
        self.seen.append(blocks)


async def test_the_lag_falls_as_blocks_are_folded(tmp_path):
    """Not only when the log is silent: on a busy one it would never be seen at nothing."""
    lags = Lags()
    settings = LearnerSettings(directory=str(tmp_path), snapshot_seconds=600.0)
    snapshots = Snapshots(tmp_path, "shop")
    learner = Learner(Engine(EngineSettings()), Turn(), Busy(blocks_of(3, 30)), snapshots, settings, lags)
    learner.next_offset = 0
    running = asyncio.create_task(learner.run())
    await eventually(lambda: lags.seen[-1:] == [0])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Delayed:
    """An engine whose every piece takes long, and none of the time is its own."""

    def __init__(self) -> None:
        self.pieces = 0

    def learn(self, block: SignalBlock) -> None:
        time.sleep(0.03)
        self.pieces += 1


async def test_pieces_do_not_shrink_for_what_others_take(tmp_path):
    """A busy machine makes every piece late; smaller ones would come no sooner and cost more together."""
    engine, blocks = Delayed(), blocks_of(6, 60)
    settings = LearnerSettings(directory=str(tmp_path), snapshot_seconds=100.0, slice_ms=20.0)
    snapshots = Snapshots(tmp_path, "shop")
    learner = Learner(engine, Turn(), Log(blocks), snapshots, settings, NullObserver())
    running = asyncio.create_task(learner.run())
    await eventually(lambda: learner.next_offset == len(blocks))
    learner.next_offset = -1  # nothing to write at the end
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    whole = sum(len(list(slices(block, FIRST_SLICE))) for block in blocks)
    assert engine.pieces <= whole
