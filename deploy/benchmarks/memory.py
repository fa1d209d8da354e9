"""Bytes that a person costs: median 20 events (lognormal, a few with hundreds), histories of 100.

``bytes_per_user`` counts every array of the shard, ids and reserve included, with the events spread over
30 days; ``bytes_per_user_one_day`` the worst case for recent event ids: all within their horizon.
``block_bytes_per_user`` is what the ``state`` topic keeps.  Nothing here depends on the machine.
"""

from deploy.benchmarks._crowd import settle
from deploy.benchmarks.base import BenchArgs, BenchResult

OPTIONS = {"people": 20_000, "seed": 0}


def run(args: BenchArgs) -> BenchResult:
    """Measure user state."""
    people = 2000 if args.short else args.whole("people")
    month = settle(people, 30.0, args.whole("seed"))
    day = settle(people, 1.0, args.whole("seed"))
    blocks = sum(len(month.encode_block(b)) for b in month.dirty_blocks())
    return BenchResult(
        bench="memory",
        figures={
            "bytes_per_user": month.nbytes / len(month),
            "bytes_per_user_one_day": day.nbytes / len(day),
            "block_bytes_per_user": blocks / len(month),
        },
    )
