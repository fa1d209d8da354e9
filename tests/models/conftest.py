"""A small engine that has learned a synthetic log, for tests of lists."""

import numpy as np
import pytest

from models.engine import Engine
from models.users.shard import UserShard
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings

EVENTS = 400


def feed(engine: Engine, shard: UserShard, events: int = EVENTS, seed: int = 0) -> None:
    """Clicks of twelve people that walk along a ring of thirty items."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 30, 12)
    for n in range(shard.applied + 1, shard.applied + 1 + events):
        user = int(rng.integers(12))
        place[user] = (place[user] + int(rng.integers(1, 3))) % 30
        ts = 1_000_000 + n * 30_000
        click = Click(event_id=f"e{n}", user_id=f"u{user}", item_id=f"i{place[user]}", ts=ts)
        block = engine.observe(shard, [click], np.array([n]), broker_ts=np.array([ts]))
        engine.learn(block)


@pytest.fixture
def small_engine() -> tuple[Engine, UserShard]:
    """An engine without a holdout and its only shard, after 400 events."""
    engine = Engine(
        EngineSettings(factors=16), experiment=ExperimentSettings(name="test", holdout=0.0), seed=1
    )
    shard = engine.open_shard(0)
    feed(engine, shard)
    return engine, shard
