"""CPU-seconds to put a million people back into memory from their blocks, and to write them."""

import time

from deploy.benchmarks._crowd import new_shard, settle
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat

OPTIONS = {"people": 20_000, "seed": 0}
MILLION = 1_000_000


def run(args: BenchArgs) -> BenchResult:
    """Measure encoding and loading of all blocks of a shard."""
    people = 2000 if args.short else args.whole("people")
    shard = settle(people, 30.0, args.whole("seed"))
    numbers = shard.dirty_blocks()
    new_shard().load_block(shard.encode_block(0))  # compiles

    def measure() -> dict[str, float]:
        begin = time.process_time()
        blocks = [shard.encode_block(n) for n in numbers]
        written = time.process_time()
        fresh = new_shard()
        fresh.load_checkpoint(shard.encode_checkpoint())
        for block in blocks:
            fresh.load_block(block)
        fresh.slot_of("nobody")
        loaded = time.process_time()
        return {
            "seconds_per_million_users": (loaded - written) / people * MILLION,
            "seconds_to_write_a_million": (written - begin) / people * MILLION,
        }

    return BenchResult(bench="restore", figures=repeat(measure, args.runs))
