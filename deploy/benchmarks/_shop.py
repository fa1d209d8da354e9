"""A synthetic shop for the engine's benchmarks: Zipf-distributed items that go together by topics."""

from dataclasses import dataclass

import numpy as np

from models.engine import Engine
from models.users.shard import UserShard
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings
from schemas.signals import Float64, Int64

START = 1_700_000_000_000
RUN = 1000
PROBES = 5000
"""From which the head learns, about, whatever the length of the log."""
TOPIC = 100
"""Items per topic, on average."""
TASTES = 3
"""Topics per person."""


@dataclass(frozen=True, slots=True)
class Shelves:
    """Items sorted by topic.

    Attributes
    ----------
    item
        Shape (items,).
    start
        Topic ``t`` owns ``item[start[t]:start[t + 1]]``.
    mass
        Cumulative Zipf weight of the items before each place, shape (items + 1,).
    """

    item: Int64
    start: Int64
    mass: Float64

    @classmethod
    def of(cls, n_items: int, rng: np.random.Generator) -> "Shelves":
        """Zipf's law over all items; each falls into a topic by chance."""
        topics = max(n_items // TOPIC, 4)
        topic = rng.integers(0, topics, n_items)
        item = np.argsort(topic, kind="stable")
        weight = 1.0 / (1.0 + rng.permutation(n_items)[item])
        start = np.searchsorted(topic[item], np.arange(topics + 1))
        return cls(item, start, np.concatenate([[0.0], np.cumsum(weight)]))

    def draw(self, topic: Int64, rng: np.random.Generator) -> Int64:
        """An item of each topic by its weight; of the whole shop where the topic is negative."""
        low = np.where(topic < 0, 0.0, self.mass[self.start[topic]])
        high = np.where(topic < 0, self.mass[-1], self.mass[self.start[topic + 1]])
        at = np.searchsorted(self.mass, low + rng.random(len(topic)) * (high - low), side="right") - 1
        drawn: Int64 = self.item[np.clip(at, 0, len(self.item) - 1)]
        return drawn


def shop(n_items: int, events: int, people: int, seed: int = 0) -> list[Click]:
    """Clicks of people with three topics each.

    A person comes in visits of about four clicks, twenty seconds apart, to one of their topics (one
    click in five: anything popular).  While there are events enough, every item also has a click of its
    own, at any time and by anybody of its topic, so that all of the catalogue is known.
    """
    rng = np.random.default_rng(seed)
    shelves = Shelves.of(n_items, rng)
    tastes = shelves.start.searchsorted(
        shelves.mass.searchsorted(rng.random((people, TASTES)) * shelves.mass[-1]) - 1, side="right"
    )
    tastes = np.clip(tastes - 1, 0, len(shelves.start) - 2)
    visit = np.repeat(np.arange(events), rng.geometric(0.25, events))[:events]
    who = rng.choice(people, events, p=_activity(people, rng))[visit]
    topic = tastes[who, rng.integers(0, TASTES, events)[visit]]
    item = shelves.draw(np.where(rng.random(events) < 0.2, -1, topic), rng)
    if 2 * n_items <= events:
        first = rng.choice(events, n_items, replace=False)
        item[first] = shelves.item
        who[first] = _fan(tastes, np.repeat(np.arange(len(shelves.start) - 1), np.diff(shelves.start)), rng)
    span = 50 * events
    ts = START + rng.integers(0, span, events)[visit] + 20_000 * _place(visit)
    rows = sorted(zip(ts.tolist(), who.tolist(), item.tolist(), strict=True))
    return [
        Click(event_id=f"e{n}", user_id=f"u{u}", item_id=f"item-{i}", ts=t)
        for n, (t, u, i) in enumerate(rows)
    ]


def _activity(people: int, rng: np.random.Generator) -> Float64:
    """Share of the visits that each person makes: lognormal."""
    share: Float64 = rng.lognormal(0.0, 0.8, people)
    share /= share.sum()
    return share


def _place(visit: Int64) -> Int64:
    """Place of each event within its visit."""
    first = np.concatenate([[True], visit[1:] != visit[:-1]])
    place: Int64 = np.arange(len(visit)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    return place


def _fan(tastes: Int64, topic: Int64, rng: np.random.Generator) -> Int64:
    """Somebody with a taste for each topic; anybody where nobody has."""
    flat = tastes.ravel()
    order = np.argsort(flat, kind="stable")
    low, high = flat[order].searchsorted(topic), flat[order].searchsorted(topic, side="right")
    at = low + (rng.random(len(topic)) * (high - low)).astype(np.int64)
    anybody = rng.integers(0, len(tastes), len(topic))
    return np.where(high > low, order[np.minimum(at, len(order) - 1)] // tastes.shape[1], anybody)


def settled(n_items: int, events: int, people: int) -> tuple[Engine, UserShard, int]:
    """An engine that has lived through a shop's log, its shard, and the time after it, ms."""
    engine = Engine(
        EngineSettings(probe_share=min(1.0, PROBES / events)),
        experiment=ExperimentSettings(name="bench", holdout=0.0),
    )
    shard, log = engine.open_shard(0), shop(n_items, events, people)
    for at in range(0, len(log), RUN):
        part = log[at : at + RUN]
        offsets = shard.applied + 1 + np.arange(len(part))
        engine.learn(engine.observe(shard, part, offsets, broker_ts=np.array([e.ts for e in part])))
    return engine, shard, log[-1].ts + 1000
