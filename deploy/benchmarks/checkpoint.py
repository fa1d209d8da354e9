"""How long the event loop stands while a partition's dirty blocks are encoded: in slices, and at once.

Steps are measured in CPU time of the loop's thread: what another process takes is not ours.
"""

import asyncio
from time import thread_time

from deploy.benchmarks._crowd import settle
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from models.users.shard import UserShard
from streams.pace import Pace

OPTIONS = {"people": 100_000, "seed": 0}


def run(args: BenchArgs) -> BenchResult:
    """Encode every block of a shard once in one step and once as checkpoints do."""
    people = 5000 if args.short else args.whole("people")
    shard = settle(people, 30.0, args.whole("seed"))
    numbers = shard.dirty_blocks()
    shard.encode_block(0)  # compiles

    def at_once() -> dict[str, float]:
        begin = thread_time()
        for n in numbers:
            shard.encode_block(n)
        return {"longest_step_ms": 1000 * (thread_time() - begin)}

    figures = repeat(lambda: asyncio.run(_sliced(shard, numbers)), args.runs)
    return BenchResult(bench="checkpoint", figures=figures, against={"one step": repeat(at_once, args.runs)})


async def _sliced(shard: UserShard, numbers: list[int]) -> dict[str, float]:
    steps: list[float] = []

    async def turn() -> None:
        while True:
            begin = thread_time()
            await asyncio.sleep(0)
            steps.append(thread_time() - begin)

    turning = asyncio.create_task(turn())
    begin = thread_time()
    await Pace().sliced(shard.encode_block(n) for n in numbers)
    seconds = thread_time() - begin
    turning.cancel()
    return {
        "longest_step_ms": 1000 * max(steps),
        "total_ms": 1000 * seconds,
        "blocks": float(len(numbers)),
    }
