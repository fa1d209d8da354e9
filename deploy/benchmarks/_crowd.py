"""A crowd with real-looking lives: how many events each person has, and when."""

from collections.abc import Iterator

import numpy as np

from models.interning import Interner
from models.users.shard import UserShard
from schemas.events import Click, Event, Purchase, Source
from schemas.settings import ExperimentSettings, UserSettings
from schemas.signals import Int64

START = 1_700_000_000_000
DAY = 86_400_000
RUN = 2000
CATALOGUE = 10_000


def lives(people: int, rng: np.random.Generator) -> Int64:
    """Events of each person: lognormal with median 20 and sigma 0.8, so that a few have hundreds.

    Examples
    --------
    >>> int(np.median(lives(10_001, np.random.default_rng(0))))
    20
    """
    return np.maximum(rng.lognormal(np.log(20.4), 0.8, people), 1).astype(np.int64)


def runs(people: int, days: float, seed: int) -> Iterator[tuple[list[Event], Int64, Int64]]:
    """Runs of one ``events`` partition: events of all people in random order, evenly over ``days``."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(people), lives(people, rng)))
    item = (CATALOGUE * rng.random(len(owner)) ** 2).astype(int)
    bought = rng.random(len(owner)) < 0.1
    ts = START + (np.arange(len(owner)) * (days * DAY / len(owner))).astype(np.int64)
    for a in range(0, len(owner), RUN):
        span = range(a, min(a + RUN, len(owner)))
        events = [_event(n, int(owner[n]), int(item[n]), int(ts[n]), bought=bool(bought[n])) for n in span]
        yield events, np.arange(span.start, span.stop), ts[span.start : span.stop]


def _event(n: int, owner: int, item: int, ts: int, *, bought: bool) -> Event:
    kind = Purchase if bought else Click
    return kind(
        event_id=f"event-{n:09d}",
        user_id=f"user-{owner:07d}",
        item_id=f"item-{item:05d}",
        ts=ts,
        source=Source("clicks", 0, 0, n),
    )


def new_shard() -> UserShard:
    """An empty shard at the default settings."""
    return UserShard(0, 0, Interner(), UserSettings(), ExperimentSettings())


def settle(people: int, days: float, seed: int) -> UserShard:
    """A shard that has lived through all runs."""
    shard = new_shard()
    for events, offsets, broker_ts in runs(people, days, seed):
        shard.apply(events, offsets, broker_ts)
    return shard
