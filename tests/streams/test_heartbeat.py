"""A heartbeat goes through every stage, is seen at each, and changes nothing."""

import asyncio

import msgspec
import numpy as np
import pytest

from deploy.api.live import LiveView
from deploy.api.reader import LiveReader
from deploy.metrics import Metrics
from models.engine import Engine
from schemas.events import Tick, decode_event
from schemas.heartbeats import KEY, Heartbeat
from schemas.settings import Settings
from schemas.signals import Cover, SignalBlock, decode_block, encode_block
from schemas.topics import Topic
from streams.app import create_app, wall_clock
from streams.auditor import Auditor
from tests.streams.clients.room import eventually, read, write
from tests.streams.test_worker import ask, click, furnish, worker

STAGES = ("intake", "users", "signals", "learner", "recommendations")


def age(metrics: Metrics, stage: str) -> float | None:
    return metrics.registry.get_sample_value("streamwise_heartbeat_age_seconds", {"stage": stage})


async def test_every_stage_shows_the_age_of_its_heartbeat(deployment, monkeypatch):
    """From intake to whoever reads lists and signals; covers stay gapless, and lists are made as ever."""
    health = msgspec.structs.replace(deployment.health, heartbeat_seconds=0.3)
    settings = msgspec.structs.replace(deployment, health=health)
    metrics, reading = Metrics(), Metrics()
    monkeypatch.setattr(
        "tests.streams.test_worker.create_app",
        lambda settings, engine: create_app(settings, engine, observer=metrics.stream),
    )
    await furnish(settings)
    await write(settings.kafka, Topic.CLICKS, [click(f"u{n % 7}", f"i{n % 12}", n) for n in range(50)])
    async with worker(settings) as app:
        await write(settings.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: all(age(metrics, stage) is not None for stage in STAGES))
        reader = LiveReader(LiveView(reading.api), settings.kafka, wall_clock)
        following = asyncio.create_task(reader.run())
        await eventually(lambda: age(reading, "readers") is not None)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await eventually(lambda: app.runtime.learner.lag == 0)
        assert all(0 <= age(metrics, stage) < 30 for stage in STAGES)
        await eventually(lambda: listed(settings))
    await Auditor(settings, observer=reading.audit).once()
    assert age(reading, "auditor") is not None
    events = [decode_event(r.value) for r in await read(settings.kafka, Topic.EVENTS)]
    beats = [e for e in events if isinstance(e, Tick) and e.beat]
    assert beats
    blocks = [decode_block(r.value) for r in await read(settings.kafka, Topic.SIGNALS)]
    assert {b.beat for b in blocks} - {0} <= {e.beat for e in beats}
    for partition in range(2):
        covers = [b.cover for b in blocks if b.cover.partition == partition]
        assert [c.after for c in covers] == [-1, *(c.to for c in covers[:-1])]
    assert len(await read(settings.kafka, Topic.DEAD_LETTERS)) == 0


async def listed(settings) -> bool:
    """The request's list is there, among records without a value that are heartbeats."""
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    nulls = [r for r in records if r.value is None]
    assert all(r.key == KEY and Heartbeat.of(r.headers) for r in nulls)
    return any(msgspec.json.decode(r.value)["trigger_id"] == "q1" for r in records if r.value is not None)


def test_a_heartbeat_changes_no_state_and_no_model():
    """The same events with and without: the same blocks of people, the same rows, the same snapshot."""
    ticks = [Tick(ts=1_000), Tick(ts=1_000, beat=900)]
    snapshots = set()
    for tick in ticks:
        engine = Engine.of(Settings())
        shard = engine.open_shard(0)
        applied = engine.apply(shard, [tick], np.array([0]), broker_ts=np.array([1_000]))
        block = with_beat(engine.block_of(applied), beat=tick.beat)
        engine.learn(decode_block(encode_block(block)))
        snapshots.add((shard.encode_checkpoint(), engine.snapshot()))
    assert len(snapshots) == 1


def with_beat(block: SignalBlock, *, beat: int) -> SignalBlock:
    return SignalBlock(cover=Cover(0, 0, -1, 0), items=block.items, beat=beat)


def test_a_block_without_a_heartbeat_has_the_bytes_it_always_had():
    """Former readers and writers agree on it."""
    plain = SignalBlock(cover=Cover(0, 0, -1, 5))
    assert decode_block(encode_block(plain)).beat == 0
    assert decode_block(encode_block(SignalBlock(cover=plain.cover, beat=17))).beat == 17
    assert len(encode_block(plain)) < len(encode_block(SignalBlock(cover=plain.cover, beat=1 << 40)))


def test_of_several_partitions_the_oldest_heartbeat_counts():
    """And a partition that went elsewhere counts no more."""
    metrics = Metrics(clock=lambda: 20_000_000_000)
    for partition, ts in ((0, 19_000), (1, 12_000), (0, 18_000)):
        metrics.stream.on_heartbeat("users", "events", partition, ts)
    assert age(metrics, "users") == pytest.approx(8.0)
    metrics.stream.on_progress("events", 1, 0, 0.0)
    metrics.stream.on_partition_gone("events", 1)
    assert age(metrics, "users") == pytest.approx(1.0)
    metrics.stream.on_progress("events", 0, 0, 0.0)
    metrics.stream.on_partition_gone("events", 0)
    assert np.isnan(age(metrics, "users"))
