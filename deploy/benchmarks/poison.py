"""Messages that cannot be read: seconds that 1,000 of them among 10,000 good ones add."""

import asyncio
from collections.abc import Mapping
from time import perf_counter

from deploy.benchmarks import _broker
from deploy.benchmarks._broker import Counting, clicks, deployment, preload, worker
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from schemas.settings import Settings
from schemas.topics import Topic
from streams.writer import Outgoing

OPTIONS = _broker.OPTIONS
GOOD, BAD = 10_000, 1_000


def run(args: BenchArgs) -> BenchResult:
    """Measure."""

    def measure() -> Mapping[str, float]:
        with deployment(args) as settings:
            alone = asyncio.run(seconds(settings, clicks(args, GOOD)))
        with deployment(args) as settings:
            poisoned = asyncio.run(seconds(settings, interleave(clicks(args, GOOD))))
        return {"added_seconds": poisoned - alone, "good_seconds": alone, "poisoned_seconds": poisoned}

    return BenchResult(bench="poison", figures=repeat(measure, args.runs))


def interleave(good: list[Outgoing]) -> list[Outgoing]:
    """After every tenth good message one that cannot be read."""
    bad = Outgoing(b"user-0", b'{"user_id": 7')
    return [
        record for n, one in enumerate(good) for record in ([one, bad] if n % (GOOD // BAD) == 0 else [one])
    ]


async def seconds(settings: Settings, records: list[Outgoing]) -> float:
    """From the end of the worker's first run of messages to the last acknowledgement."""
    counting = Counting()
    await preload(settings, Topic.CLICKS, records)
    async with worker(settings, counting, frozenset({"intake"})) as app:
        await counting.until(read=len(records))
        await app.runtime.intake.drained()
        return perf_counter() - counting.began
