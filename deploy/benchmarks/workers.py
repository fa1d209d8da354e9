"""Two workers against one: CPU-seconds per event of the user agent, each worker a process of its own."""

import asyncio
import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from multiprocessing.synchronize import Event as ProcessEvent
from typing import Any, NamedTuple

import msgspec

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, deployment, worker
from deploy.benchmarks._filler import Filler, Load, fill, filler
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings, UserSettings
from schemas.topics import Topic

OPTIONS = _broker.OPTIONS | {"users": 100_000, "events": 200_000}
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 120.0


class Board(NamedTuple):
    """What a worker shows, and what it is told.

    Attributes
    ----------
    figures
        CPU-seconds and events applied.
    owned
        Partitions that it has taken over.
    checkpoint, stop
        Set by the parent; ``checkpoint`` is cleared when it is written.
    """

    figures: "SynchronizedArray[float]"
    owned: "Synchronized[int]"
    checkpoint: ProcessEvent
    stop: ProcessEvent


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    people = 5_000 if args.short else args.whole("users")
    warm = Load(Topic.EVENTS, people, people, args.whole("items"))
    load = warm._replace(clicks=20_000 if args.short else args.whole("events"), first=people)

    def measure() -> Mapping[str, float]:
        one, two = (_cost(args, n, warm, load) for n in (1, 2))
        return {"us_per_event_one": one * 1e6, "us_per_event_two": two * 1e6, "ratio_two_to_one": two / one}

    return BenchResult(bench="workers", figures=repeat(measure, args.runs))


def _cost(args: BenchArgs, count: int, warm: Load, load: Load) -> float:
    """CPU-seconds per event of ``count`` workers together."""
    context = multiprocessing.get_context("spawn")
    with deployment(args) as settings:
        settled = msgspec.structs.replace(settings, users=UserSettings())
        asyncio.run(fill(settled, warm))
        boards = [
            Board(context.Array("d", 2), context.Value("i", 0), context.Event(), context.Event())
            for _ in range(count)
        ]
        processes = [context.Process(target=_work, args=(settled, board)) for board in boards]
        for process in processes:
            process.start()
        try:
            with filler(settled, load) as more:
                return asyncio.run(_measure(boards, more, warm, load, settled.kafka.partitions))
        finally:
            for board in boards:
                board.stop.set()
            for process in processes:
                process.join()


async def _measure(boards: list[Board], more: Filler, warm: Load, load: Load, partitions: int) -> float:
    each = partitions // len(boards)
    await _until(lambda: all(b.owned.value == each for b in boards))
    await _until(lambda: _sum(boards, 1) >= warm.clicks)
    await _checkpoint(boards)
    await more.ready()
    before, done = _sum(boards, 0), _sum(boards, 1)
    await more.deliver()
    await _until(lambda: _sum(boards, 1) >= done + load.clicks)
    await _checkpoint(boards)
    return (_sum(boards, 0) - before) / load.clicks


async def _checkpoint(boards: list[Board]) -> None:
    for board in boards:
        board.checkpoint.set()
    await _until(lambda: not any(b.checkpoint.is_set() for b in boards))


def _sum(boards: list[Board], which: int) -> float:
    return sum(board.figures[which] for board in boards)


async def _until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("a worker of the benchmark does not get on")
        await asyncio.sleep(LOOK_SECONDS)


def _work(settings: Settings, board: Board) -> None:
    """A worker process."""
    asyncio.run(_serve(settings, board))


async def _serve(settings: Settings, board: Board) -> None:
    counting = Counting()
    async with worker(settings, counting, frozenset({"users"})) as app:
        runtime = app.runtime
        while not board.stop.is_set() and not (runtime.started and runtime.failed.done()):
            wanted = board.checkpoint.is_set()
            if wanted:
                await runtime.users.checkpoint()
            board.figures[0], board.figures[1] = time.process_time(), counting.applied
            if wanted:
                board.checkpoint.clear()
            if runtime.started:
                board.owned.value = sum(p.ready.is_set() for p in runtime.users.partitions)
            await asyncio.sleep(LOOK_SECONDS)
