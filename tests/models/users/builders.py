"""Short ways to write events and shards."""

from collections.abc import Sequence

import numpy as np

from models.interning import Interner
from models.users.applied import Applied
from models.users.shard import UserShard
from schemas.events import Click, Decision, Event, Impression, Purchase, Source
from schemas.recommendations import Recommendation, RecommendedItem
from schemas.settings import ExperimentSettings, UserSettings

T0 = 1_700_000_000_000
SECOND = 1000


def new_shard(
    items: Interner | None = None, *, holdout: float = 0.2, name: str = "launch", **settings
) -> UserShard:
    experiment = ExperimentSettings(name=name, holdout=holdout)
    return UserShard(3, 0, items or Interner(), UserSettings(**settings), experiment)


def click(
    n: int, user: str = "ann", item: str = "tea", *, at: float = 0.0, source: int | None = -1, **more
) -> Click:
    """Click ``n``; by default record ``n`` of a topic of its own, ``at`` seconds after T0."""
    return Click(
        event_id=f"e{n}",
        user_id=user,
        item_id=item,
        ts=T0 + round(at * SECOND),
        source=_source(n, source),
        **more,
    )


def purchase(n: int, user: str = "ann", item: str = "tea", *, at: float = 0.0, **more) -> Purchase:
    ts = T0 + round(at * SECOND)
    return Purchase(event_id=f"e{n}", user_id=user, item_id=item, ts=ts, source=_source(n, -1), **more)


def impression(n: int, user: str = "ann", item: str = "tea", *, at: float = 0.0) -> Impression:
    ts = T0 + round(at * SECOND)
    return Impression(event_id=f"e{n}", user_id=user, item_id=item, ts=ts, source=_source(n, -1))


def _source(n: int, source: int | None) -> Source | None:
    return None if source is None else Source("clicks", 0, 0, n if source < 0 else source)


def decision(
    name: str,
    trigger: str,
    user: str = "ann",
    items: Sequence[str] = ("tea", "cup"),
    *,
    at: float = 0.0,
    arm: str = "treatment",
) -> Decision:
    """A decision whose item in slot k has propensity 1 / (k + 2)."""
    shown = tuple(
        RecommendedItem(
            item_id=item,
            position=k,
            score=1.0,
            propensity=1 / (k + 2),
            parts={},
            p_control=0.25,
            p_uniform=0.125,
        )
        for k, item in enumerate(items)
    )
    made = Recommendation(
        decision_id=name, trigger_id=trigger, user_id=user, ts=T0 + round(at * SECOND), surface="home",
        items=shown, arm=arm, policy="p", epoch=4, model="m",
    )  # fmt: skip
    return Decision(recommendation=made)


def apply(
    shard: UserShard,
    events: Sequence[Event],
    *,
    at: Sequence[float] | None = None,
    first: int | None = None,
    **more,
) -> Applied:
    """Fold events at the next offsets; the broker's clock follows the events' own unless ``at`` says."""
    begin = shard.applied + 1 if first is None else first
    offsets = np.arange(begin, begin + len(events))
    broker = [e.ts for e in events] if at is None else [T0 + round(a * SECOND) for a in at]
    return shard.apply(events, offsets, np.array(broker, np.int64), **more)


def dump(shard: UserShard) -> dict[int, bytes]:
    """Bytes of all blocks that hold people, by number."""
    alive = np.flatnonzero(shard._state.people["flags"][: shard.names.used])
    return {int(b): shard.encode_block(int(b)) for b in np.unique(alive // 256)}


def reborn(shard: UserShard, **settings) -> UserShard:
    """The shard after a restart, in a process whose item slots differ."""
    fresh = new_shard(Interner(["another", "process"]), **settings)
    fresh.load_checkpoint(shard.encode_checkpoint())
    for data in dump(shard).values():
        fresh.load_block(data)
    return fresh
