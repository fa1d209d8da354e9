"""CPU-seconds to put a million people back into memory from their blocks, and to write them.

With ``--bootstrap`` the blocks also go through a real ``state`` topic: one partition is written by fenced
checkpoints, and taken over as a worker does.
"""

import asyncio
import time
from uuid import uuid4

import msgspec

from deploy.benchmarks._broker import broker
from deploy.benchmarks._crowd import new_shard, settle
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from models.users.shard import UserShard
from schemas.settings import Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from streams.provision import provision
from streams.state_store import Checkpoint, restore, take_over
from streams.writer import LogWriter

OPTIONS = {"people": 20_000, "seed": 0, "bootstrap": ""}
MILLION = 1_000_000


def run(args: BenchArgs) -> BenchResult:
    """Measure encoding and loading of all blocks of a shard."""
    people = 2000 if args.short else args.whole("people")
    shard = settle(people, 30.0, args.whole("seed"))
    numbers = shard.dirty_blocks()
    new_shard().load_block(shard.encode_block(0))  # compiles
    per_million = MILLION / people

    def measure() -> dict[str, float]:
        begin = time.process_time()
        blocks = {n: shard.encode_block(n) for n in numbers}
        written = time.process_time()
        _load(shard.encode_checkpoint(), blocks)
        loaded = time.process_time()
        figures = {
            "seconds_per_million_users": (loaded - written) * per_million,
            "seconds_to_write_a_million": (written - begin) * per_million,
        }
        if args.text("bootstrap"):
            spent = asyncio.run(_through_kafka(args.text("bootstrap"), shard.encode_checkpoint(), blocks))
            figures["kafka_seconds_per_million_users"] = spent * per_million
        return figures

    return BenchResult(bench="restore", figures=repeat(measure, args.runs))


def _load(checkpoint: bytes, blocks: dict[int, bytes]) -> UserShard:
    fresh = new_shard()
    fresh.load_checkpoint(checkpoint)
    for _, block in sorted(blocks.items()):
        fresh.load_block(block)
    fresh.slot_of("nobody")
    return fresh


async def _through_kafka(bootstrap: str, checkpoint: bytes, blocks: dict[int, bytes]) -> float:
    """CPU-seconds from fencing the former owner to state in memory."""
    with broker(bootstrap) as kafka:
        name = f"bench{uuid4().hex[:8]}"
        own = msgspec.structs.replace(kafka, namespace=name, group=name, partitions=1)
        settings = Settings(kafka=own)
        await provision(settings)
        async with idempotent_producer(settings.kafka) as producer:
            writer = LogWriter(producer, settings.kafka.topic(Topic.STATE))
            store = await take_over(settings.kafka, 0, writer)
            await store.write(
                blocks, Checkpoint(applied=1, mark="", incarnation=0, cover=1, shard=checkpoint)
            )
            await store.stop()
            begin = time.process_time()
            store = await take_over(settings.kafka, 0, writer)
            restored = await restore(settings.kafka, 0)
            _load(checkpoint, restored.blocks)
            spent = time.process_time() - begin
            await store.stop()
            await writer.stop()
            return spent
