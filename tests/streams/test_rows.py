"""Rows of small runs share a block; nothing is left behind, and covers have no gap."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from models.engine import Engine
from schemas.events import Click
from schemas.settings import EngineSettings
from schemas.signals import decode_block
from streams.learner import Turn
from streams.observer import NullObserver
from streams.pace import Pace
from streams.rows import ENOUGH, Rows
from streams.signals import SignalsWriter


class Log:
    """Keeps what is appended, and acknowledges it at once."""

    def __init__(self):
        self.blocks = []
        self.some = asyncio.Event()

    def put(self, partition, records):
        self.blocks += [decode_block(record.value) for record in records]
        self.some.set()
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Stream:
    """One partition: applies clicks run by run and gives their rows away."""

    def __init__(self):
        self.engine, self.log, self.beats = Engine(EngineSettings()), Log(), []
        self.shard, self.next = self.engine.open_shard(3), 0
        turn, signals = Turn(), SignalsWriter(self.log)
        self.pace = Pace()
        self.rows = Rows(
            3, self.engine, turn, self.pace, signals, NullObserver(), lambda *beat: self.beats.append(beat)
        )

    def run(self, count: int, *, poison: int = 0, beat: int = 0) -> None:
        events = [
            Click(event_id=f"e{n}", user_id=f"u{n % 5}", item_id=f"i{n % 7}", ts=1000 + n)
            for n in range(self.next, self.next + count)
        ]
        offsets = np.arange(self.next, self.next + count)
        applied = self.engine.apply(self.shard, events, offsets, broker_ts=offsets + 1000)
        self.next += count + poison
        self.rows.add(applied, self.next - 1, beat)


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    stream = Stream()
    yield stream
    stream.pace.close()


async def test_runs_become_one_block(stream) -> None:
    """Three runs, one block: every row and probe once, and the cover ends where the last run does."""
    for count in (1, 4, 2):
        stream.run(count, poison=1)
    assert stream.log.blocks == []
    await stream.rows.append()
    await stream.rows.append()
    (block,) = stream.log.blocks
    assert block.interactions.offset.tolist() == [0, 2, 3, 4, 5, 7, 8]
    assert block.probes.offset.tolist() == block.interactions.offset.tolist()
    assert (block.cover.partition, block.cover.after, block.cover.to) == (3, -1, 9)
    assert len(stream.rows.landing) == 1


async def test_covers_follow_each_other(stream) -> None:
    """The next block begins where the last one ended, and names its newest heartbeat."""
    stream.run(2)
    await stream.rows.append()
    stream.run(1, beat=70)
    stream.run(1, beat=90)
    await stream.rows.append()
    first, second = stream.log.blocks
    assert (second.cover.after, second.cover.to, second.beat) == (first.cover.to, 3, 90)
    assert [beat[:2] for beat in stream.beats] == [(90, 3)]


async def test_a_large_run_waits_for_no_other(stream) -> None:
    """Enough events are a block by themselves."""
    stream.run(3)
    assert not stream.rows.enough
    stream.run(ENOUGH)
    assert stream.rows.enough
    await stream.rows.append()
    assert not stream.rows.enough
    assert [len(block.interactions) for block in stream.log.blocks] == [ENOUGH + 3]


async def test_blocks_are_appended_in_order(stream) -> None:
    """While one is made on the thread, another run is gathered and appended too: covers follow each other."""
    stream.run(40)
    first = asyncio.create_task(stream.rows.append())
    await asyncio.sleep(0)
    stream.run(2)
    await asyncio.gather(first, stream.rows.append(), stream.rows.append())
    covers = [(block.cover.after, block.cover.to, len(block.interactions)) for block in stream.log.blocks]
    assert covers == [(-1, 39, 40), (39, 41, 2)]


async def test_what_could_not_be_appended_stays(stream, monkeypatch) -> None:
    """Who cuts a checkpoint after a failure meets the same failure, not a block without these rows."""
    stream.run(3)
    with monkeypatch.context() as patch:
        patch.setattr(stream.engine, "block_of", lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await stream.rows.append()
    stream.run(2)
    await stream.rows.append()
    assert [len(block.interactions) for block in stream.log.blocks] == [5]


@pytest.mark.parametrize("count", [1, 40])
async def test_what_gathers_is_appended_by_itself(stream, count) -> None:
    """A row waits for others for a moment only."""
    task = asyncio.create_task(stream.rows.run(lambda: True))
    stream.run(count)
    await stream.log.some.wait()
    task.cancel()
    assert len(stream.log.blocks[0].interactions) == count
