"""Bytes that a person costs: median 20 events (lognormal, a few with hundreds), histories of 100.

``bytes_per_user`` counts every array of the shard, ids and reserve included, with the events spread over
30 days; ``bytes_per_user_one_day`` the worst case for recent event ids: all within their horizon.
``block_bytes_per_user`` is what the ``state`` topic keeps.  ``process_bytes_per_user`` is by how much the
process grew for the month's crowd, allocator, growing and garbage included: ``--people 1000000`` for a true
million.  The others do not depend on the machine.

``bytes_per_item``: everything that all models hold after a Zipf-distributed stream of ten events an item
(neighbour rows, factors, cells, counts, posteriors, ids, maps, reserve), vectors of texts aside;
``--items 0`` leaves it out.
"""

import gc
import os
from pathlib import Path

from deploy.benchmarks._crowd import settle
from deploy.benchmarks._holdings import item_state
from deploy.benchmarks._shop import settled
from deploy.benchmarks.base import BenchArgs, BenchResult

OPTIONS = {"people": 20_000, "seed": 0, "items": 100_000}


def run(args: BenchArgs) -> BenchResult:
    """Measure user state, and what models hold."""
    people = 2000 if args.short else args.whole("people")
    settle(200, 30.0, args.whole("seed"))  # compiles
    before = _resident()
    month = settle(people, 30.0, args.whole("seed"))
    grown = _resident() - before
    day = settle(people, 1.0, args.whole("seed"))
    blocks = sum(len(month.encode_block(b)) for b in month.dirty_blocks())
    return BenchResult(
        bench="memory",
        figures={
            "bytes_per_user": month.nbytes / len(month),
            "bytes_per_user_one_day": day.nbytes / len(day),
            "block_bytes_per_user": blocks / len(month),
            "process_bytes_per_user": grown / len(month),
            **items_of(args),
        },
    )


def items_of(args: BenchArgs) -> dict[str, float]:
    """Bytes per item, in all and by part."""
    items = args.whole("items") // (20 if args.short else 1)
    if not items:
        return {}
    engine, _, _ = settled(items, 10 * items, items // 2)
    parts = item_state(engine, items)
    return {"bytes_per_item": sum(parts.values())} | {f"bytes_per_item_{n}": b for n, b in parts.items()}


def _resident() -> int:
    """Bytes of this process in memory, once garbage is gone."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
