"""A worker is killed: how long its people wait for a list.

Two workers share the partitions; requests come at an even pace, and one worker gets SIGKILL.  Every
partition is asked again and again: ``served_again_seconds`` is how long after the kill the last of them
answered a request of after the kill.  The limit is the session, during which the group waits for the dead
worker, and five seconds.
"""

import asyncio
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from time import perf_counter

from deploy.benchmarks import _broker, _flow
from deploy.benchmarks._broker import deployment
from deploy.benchmarks._flow import Flow
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from deploy.benchmarks.request import asking
from schemas.ids import partition_of
from schemas.settings import Settings

OPTIONS = _broker.OPTIONS | {"rate": 50, "session": 10, "warm": 10}
BEFORE = 3.0
"""Seconds of requests before the kill."""
PATIENCE = 10.0
"""Seconds of requests beyond the limit."""


def run(args: BenchArgs) -> BenchResult:
    """Measure."""
    found = repeat(lambda: once(args), args.runs)
    return BenchResult(bench="failover", figures={"session_seconds": args.number("session"), **found})


def once(args: BenchArgs) -> Mapping[str, float]:
    """Two workers, one kill."""
    session = args.number("session")
    with ExitStack() as stack:
        settings = stack.enter_context(deployment(args, checkpoint_seconds=10.0, session_seconds=session))
        asyncio.run(_flow.furnish(args, settings))
        workers = [_flow.observed(settings) for _ in range(2)]
        processes = [stack.enter_context(_flow.streaming(worker)) for worker in workers]
        make, rate = asking(args, "request"), args.number("rate")
        asyncio.run(_flow.alive(settings, make, *processes))
        while not all(map(serves, workers)):
            _flow.refuse_dead(*processes)
            asyncio.run(_flow.drive(settings, make, rate=rate, seconds=args.number("warm")))
        return asyncio.run(bereft(settings, args, processes[0]))


def serves(worker: Settings) -> bool:
    """Whether a worker has published a list."""
    try:
        return max(_flow.histogram(worker).values(), default=0.0) > 0
    except OSError:  # it does not listen yet
        return False


async def bereft(
    settings: Settings, args: BenchArgs, worker: "subprocess.Popen[bytes]"
) -> Mapping[str, float]:
    """Kill a worker while requests come; when every partition answers again."""
    seconds = BEFORE + args.number("session") + PATIENCE
    driving = asyncio.create_task(
        _flow.drive(settings, asking(args, "after"), rate=args.number("rate"), seconds=seconds)
    )
    await asyncio.sleep(BEFORE)
    worker.kill()
    killed = perf_counter()
    flow = await driving
    served = back(flow, killed, settings.kafka.partitions)
    return {
        "served_again_seconds": max(served.values()) - killed,
        "undisturbed_seconds": min(served.values()) - killed,
        "answered_share": len(flow.seen.keys() & flow.sent.keys()) / len(flow.sent),
    }


def back(flow: Flow, killed: float, partitions: int) -> dict[int, float]:
    """When each partition first answered a request that came after the kill."""
    served = dict.fromkeys(range(partitions), float("inf"))
    for cause, sent in flow.sent.items():
        if sent > killed and cause in flow.seen:
            partition = partition_of(flow.user[cause], partitions)
            served[partition] = min(served[partition], flow.seen[cause])
    return served
