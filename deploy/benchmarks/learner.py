"""The learner's process on a fast log, and what it costs to share its models.

``lag_p50_ms``, ``lag_p99_ms``, ``lag_max_ms``: from the append of a block of ``signals`` to its being folded,
while ``rate`` rows a second are appended; ``cores``: CPU of such a row, tailing, folding and publishing
included, times the rate; ``ratio_to_folding``: to the CPU of the folds alone **of the same seconds**, as a
core that shares its caches with a broker folds at half the speed of one that does not;
``publishing_share``: of the time.  The loop beside it decodes and folds the same blocks one after the
other, afterwards.
``publish_ms``, ``adopt_ms``: CPU to publish all models of ``known`` items and to take such a version over;
``adopt_first_ms``: at the start, so with every id.
"""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, process_time, thread_time

import msgspec
import numpy as np
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import deployment, refuse_ended
from deploy.benchmarks._stream import START, clicks, new_engine, observe
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from deploy.benchmarks.learn import hurried, rehearse
from deploy.benchmarks.snapshot import learned, teach
from models.engine import Engine
from models.fold import Rows
from schemas.settings import Settings
from schemas.signals import Cover, SignalBlock, decode_block, encode_block
from schemas.topics import Topic, topic_name
from streams.app import wall_clock
from streams.arena import SHARED_MEMORY, ArenaReader, ArenaWriter
from streams.kafka import idempotent_producer
from streams.learning import Learning
from streams.observer import NullObserver
from streams.provision import provision
from streams.writer import LogWriter, Outgoing

OPTIONS = _broker.OPTIONS | {
    "rate": 20_000.0, "seconds": 20, "warm": 5, "people": 400, "recorded": 20_000, "known": 100_000,
}  # fmt: skip
RUN = 500


def run(args: BenchArgs) -> BenchResult:
    """Replay, then publish and adopt."""
    engine, shard = new_engine()
    log = clicks(
        args.whole("items"), args.whole("recorded") // (4 if args.short else 1), args.whole("people")
    )
    rate = args.number("rate")
    calm = observe(engine, shard, log, run=RUN)
    recorded = hurried(calm, rate, engine.settings.probes_per_second)
    seconds = args.whole("warm") + (5 if args.short else args.whole("seconds"))
    blocks = [encode_block(b) for b in cycled(recorded, round(rate * seconds), rate)]

    def measure() -> Mapping[str, float]:
        with deployment(args) as settings, shared_memory() as folder:
            return asyncio.run(replay(args, sharing(settings, folder), recorded[0], blocks))

    found = repeat(measure, args.runs)
    figures = {name: figure for name, figure in found.items() if name != "alone"}
    models = learned(5_000, 15_000, 0) if args.short else learned(args.whole("known"), 300_000, 0)
    shared = repeat(lambda: share(models), args.runs)
    peer = {"a loop that decodes and folds": {"cores": found["alone"]}}
    return BenchResult(bench="learner", figures={"rate": rate, **figures, **shared}, against=peer)


def cycled(blocks: list[SignalBlock], rows: int, rate: float) -> Iterator[SignalBlock]:
    """A recorded log over and over, as one log: offsets and times go on."""
    at = 0
    while at < rows:
        for block in blocks:
            x, n = block.interactions, len(block.interactions)
            shift = at - int(x.offset[0])
            ts = START + 180_000 + ((at + np.arange(n)) * 1000.0 / rate).astype(np.int64)
            probes = replace(block.probes, offset=block.probes.offset + shift)
            yield replace(
                block,
                cover=Cover(0, 0, at - 1, at + n - 1),
                interactions=replace(x, offset=x.offset + shift, ts=ts),
                probes=probes,
            )
            at += n


def sharing(settings: Settings, folder: Path) -> Settings:
    """The same deployment with its arena there."""
    learner = msgspec.structs.replace(settings.learner, mode="shared", arena=str(folder))
    return msgspec.structs.replace(settings, learner=learner)


@contextmanager
def shared_memory() -> Iterator[Path]:
    """A folder in memory, if there is such a place."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.exists() else None) as folder:
        yield Path(folder)


class Timed(Engine):
    """Counts the CPU of its folds."""

    folding = 0.0

    @override
    def learn(self, block: SignalBlock) -> Rows | None:
        before = thread_time()
        rows = super().learn(block)
        self.folding += thread_time() - before
        return rows


class Arrivals(NullObserver):
    """Notes when each block was folded."""

    def __init__(self) -> None:
        self.folded: dict[int, float] = {}
        self.publishing = 0.0

    async def until(self, blocks: int, serving: "asyncio.Task[None]") -> None:
        """Wait for so many, or for the learner's failure."""
        while len(self.folded) < blocks:  # a thread counts: it can set no asyncio event
            refuse_ended(serving)
            await asyncio.sleep(0.05)

    @override
    def on_learned(self, offset: int, rows: int, seconds: float) -> None:
        self.folded[offset] = monotonic()

    @override
    def on_published(self, offset: int, size: int, seconds: float) -> None:
        self.publishing += seconds


async def replay(
    args: BenchArgs, settings: Settings, first: SignalBlock, blocks: list[bytes]
) -> Mapping[str, float]:
    """Append from another process at an even pace, and learn in this one."""
    rate, warm = args.number("rate"), round(args.whole("warm") * args.number("rate") / RUN)
    await provision(settings)
    engine, arrivals, stop = Timed.of(settings), Arrivals(), asyncio.Event()
    rehearse(engine, first, rate)
    serving = asyncio.create_task(Learning(settings, engine, observer=arrivals).serve(stop))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        appending = loop.run_in_executor(pool, append, settings, blocks, RUN / rate)
        await arrivals.until(warm, serving)
        begun, used, published = len(arrivals.folded), process_time(), arrivals.publishing
        folded = engine.folding
        sent = await appending
        await arrivals.until(len(sent), serving)
        used, folded = process_time() - used, engine.folding - folded
        publishing = (arrivals.publishing - published) / (arrivals.folded[len(sent) - 1] - sent[begun])
    stop.set()
    await serving
    alone = fold(Engine.of(settings), first, blocks, rate, warm)
    late = [1000 * (arrivals.folded[n] - sent[n]) for n in range(warm, len(sent))]
    p50, p99, most = np.percentile(late, (50, 99, 100)).tolist()
    return {
        "lag_p50_ms": p50,
        "lag_p99_ms": p99,
        "lag_max_ms": most,
        "cores": rate * used / (RUN * (len(sent) - begun)),
        "ratio_to_folding": used / folded,
        "alone": alone * rate,
        "publishing_share": publishing,
    }


def fold(engine: Engine, first: SignalBlock, blocks: list[bytes], rate: float, warm: int) -> float:
    """CPU-seconds per row of decoding and folding the same blocks, and nothing else."""
    rehearse(engine, first, rate)
    for data in blocks[:warm]:
        engine.learn(decode_block(data))
    before = process_time()
    for data in blocks[warm:]:
        engine.learn(decode_block(data))
    return (process_time() - before) / (RUN * (len(blocks) - warm))


def append(settings: Settings, blocks: list[bytes], pause: float) -> list[float]:
    """Append blocks, one every ``pause`` seconds; when each was sent."""
    if settings.kafka.dialect == "tansu":
        from deploy.embedded.compat import install  # noqa: PLC0415  an optional extra

        install()
    return asyncio.run(_append(settings, blocks, pause))


async def _append(settings: Settings, blocks: list[bytes], pause: float) -> list[float]:
    sent: list[float] = []
    landed: list[asyncio.Future[None]] = []
    async with idempotent_producer(settings.kafka) as producer:
        writer = LogWriter(producer, topic_name(Topic.SIGNALS, settings.kafka.namespace))
        began = monotonic()
        for n, block in enumerate(blocks):
            await asyncio.sleep(max(0.0, began + n * pause - monotonic()))
            sent.append(monotonic())
            landed.append(writer.put(0, [Outgoing(b"0", block)]))
        await asyncio.gather(*landed)
        await writer.stop()
    return sent


def share(engine: Engine) -> Mapping[str, float]:
    """Publish, adopt as a new process does, learn on, publish again, adopt what is new."""
    known = len(engine.log.items)
    with shared_memory() as folder, ArenaWriter(folder, "", wall_clock) as arena:
        reader, borrower = ArenaReader(folder, ""), Engine(engine.settings)
        size = arena.publish(engine.lend(), 1, 1)
        first = adopt(reader, borrower)
        teach(engine, known + 100, engine.log.rows_learned, 5_000, known)
        before = process_time()
        arena.publish(engine.lend(), 2, 2)
        published = process_time() - before
        later = adopt(reader, borrower)
    return {
        "publish_ms": 1000 * published,
        "adopt_ms": 1000 * later,
        "adopt_first_ms": 1000 * first,
        "version_bytes": float(size),
    }


def adopt(reader: ArenaReader, engine: Engine) -> float:
    """Take the newest version over; CPU-seconds."""
    before = process_time()
    found = reader.look()
    assert found is not None  # noqa: S101  it was published just now
    engine.adopt(reader.open(found)[1])
    return process_time() - before
