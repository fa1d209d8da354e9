"""CPU-seconds to write and to read back everything: a million people in blocks, 100,000 items in models.

People are measured by a smaller crowd and scaled, because blocks are alike; items are measured at their
full number, learned from a stream in which every one of them occurs and popular ones often.
"""

import time

import numpy as np

from deploy.benchmarks._crowd import new_shard, settle
from deploy.benchmarks.base import BenchArgs, BenchResult, repeat
from models.engine import Engine
from models.users.shard import UserShard
from schemas.settings import EngineSettings
from schemas.signals import Cover, InteractionRows, SignalBlock

OPTIONS = {"people": 50_000, "items": 100_000, "rows": 300_000, "seed": 0}
MILLION = 1_000_000
BLOCK_ROWS = 5_000
HISTORY = 20


def run(args: BenchArgs) -> BenchResult:
    """Write and restore people and models."""
    people = 2_000 if args.short else args.whole("people")
    items = 5_000 if args.short else args.whole("items")
    rows = 15_000 if args.short else args.whole("rows")
    shard = settle(people, 30.0, args.whole("seed"))
    engine = learned(items, rows, args.whole("seed"))
    scale = MILLION / people
    new_shard().load_block(shard.encode_block(0))  # compiles

    def measure() -> dict[str, float]:
        users_out, users_in = _people(shard)
        models_out, models_in = _models(engine)
        return {
            "seconds_to_write": users_out * scale + models_out,
            "seconds_to_restore": users_in * scale + models_in,
            "seconds_to_write_models": models_out,
            "seconds_to_restore_models": models_in,
        }

    size = float(len(engine.snapshot()))
    return BenchResult(bench="snapshot", figures={**repeat(measure, args.runs), "model_bytes": size})


def learned(items: int, rows: int, seed: int) -> Engine:
    """An engine that has learned a Zipf-like stream: each item near those with numbers close to its own."""
    engine = Engine(EngineSettings(gradient_rows_per_second=1.0), seed=seed)
    teach(engine, items, 0, rows, seed)
    return engine


def teach(engine: Engine, items: int, first: int, rows: int, seed: int) -> None:
    """More of the stream, from its row ``first`` on."""
    names = tuple(f"item-{i:07d}" for i in range(items))
    rng = np.random.default_rng(seed)
    for begin in range(first, first + rows, BLOCK_ROWS):
        n = min(BLOCK_ROWS, first + rows - begin)
        cover = Cover(0, 0, begin - 1, begin + n - 1)
        engine.learn(SignalBlock(cover=cover, items=names, interactions=_rows(items, begin, n, rng)))


def _rows(items: int, begin: int, n: int, rng: np.random.Generator) -> InteractionRows:
    item = (items * rng.random(n) ** 2).astype(np.int32)
    near = np.repeat(item, HISTORY) + rng.integers(1, 300, n * HISTORY)
    offset = np.arange(begin, begin + n)
    return InteractionRows(
        item=item,
        user=rng.integers(0, 2**60, n).astype(np.uint64),
        ts=1_700_000_000_000 + 50 * offset,
        kind=np.ones(n, np.uint8),
        weight=np.ones(n, np.float32),
        offset=offset,
        arm=np.zeros(n, np.uint8),
        repeat=np.zeros(n, np.uint8),
        age=np.full(n, HISTORY, np.int32),
        ctx_start=np.arange(0, (n + 1) * HISTORY, HISTORY, dtype=np.int32),
        ctx_item=(near % items).astype(np.int32),
        ctx_gap=np.tile(30.0 * np.arange(HISTORY), n).astype(np.float32),
        ctx_kind=np.ones(n * HISTORY, np.uint8),
    )


def _people(shard: UserShard) -> tuple[float, float]:
    numbers = range((shard.names.used + 255) // 256)
    begun = time.process_time()
    blocks = [shard.encode_block(n) for n in numbers]
    checkpoint = shard.encode_checkpoint()
    written = time.process_time()
    fresh = new_shard()
    fresh.load_checkpoint(checkpoint)
    for block in blocks:
        fresh.load_block(block)
    fresh.slot_of("nobody")
    return written - begun, time.process_time() - written


def _models(engine: Engine) -> tuple[float, float]:
    begun = time.process_time()
    data = engine.snapshot()
    written = time.process_time()
    Engine(engine.settings).restore(data)
    return written - begun, time.process_time() - written
