"""A synthetic stream for the engine's benchmarks: Zipf-distributed items with real structure."""

import numpy as np

from models.engine import Engine
from models.users.shard import UserShard
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings
from schemas.signals import SignalBlock

START = 1_700_000_000_000
RUN = 500


def new_engine(seed: int = 0) -> tuple[Engine, UserShard]:
    """An engine that holds nobody out, and its only shard."""
    engine = Engine(EngineSettings(), experiment=ExperimentSettings(name="bench", holdout=0.0), seed=seed)
    return engine, engine.open_shard(0)


def clicks(n_items: int, events: int, people: int, seed: int = 0) -> list[Click]:
    """Clicks of people who stay near a topic: an item is the person's topic plus a Zipf step."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, n_items, people)
    who = rng.integers(0, people, events)
    step = rng.zipf(1.3, events) % n_items
    popular = rng.zipf(1.2, events) % n_items
    near = rng.random(events) < 0.7
    item = np.where(near, (topic[who] + step) % n_items, popular)
    ts = START + np.cumsum(rng.exponential(50.0, events)).astype(np.int64)
    rows = zip(who.tolist(), item.tolist(), ts.tolist(), strict=True)
    return [
        Click(event_id=f"e{n}", user_id=f"u{u}", item_id=f"item-{i}", ts=t)
        for n, (u, i, t) in enumerate(rows)
    ]


def observe(engine: Engine, shard: UserShard, events: list[Click], run: int = RUN) -> list[SignalBlock]:
    """Blocks of runs of events, learned as they come."""
    blocks = []
    for at in range(0, len(events), run):
        part = events[at : at + run]
        offsets = shard.applied + 1 + np.arange(len(part))
        block = engine.observe(shard, part, offsets, broker_ts=np.array([e.ts for e in part]))
        engine.learn(block)
        blocks.append(block)
    return blocks
