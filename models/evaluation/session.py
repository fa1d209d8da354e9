"""One engine fed event by event, as in production: probe, apply, fold; lists are the fused ranking."""

from collections.abc import Sequence

import msgspec
import numpy as np

from models.engine import Engine, ListRequest
from models.evaluation.contest import Contest, contest
from models.evaluation.walk import LogEvent
from schemas.catalogue import Item
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings

PENDING = 8
"""Events that may wait to be applied together; whoever asks for a list sees them all learned."""
NOBODY_HELD_OUT = ExperimentSettings(name="evaluation", holdout=0.0)


class Session:
    """An engine, one shard and the offsets of a private log.

    Parameters
    ----------
    settings
        Of the engine.
    exclude_seen
        Whether people's own items are kept from lists.
    """

    def __init__(self, settings: EngineSettings, *, exclude_seen: bool, seed: int = 0) -> None:
        self.engine = Engine(settings, experiment=NOBODY_HELD_OUT, seed=seed)
        self.engine.seen = exclude_seen
        self.shard = self.engine.open_shard(0)
        self.offset = 0
        self._waiting: list[Click] = []

    def observe(self, event: LogEvent) -> None:
        """Take an event; it is applied and learned before the next list, with its neighbours in one run."""
        ts = _ms(event.t)
        click = msgspec.convert(
            {
                "type": "click",
                "event_id": f"e{self.offset + len(self._waiting)}",
                "user_id": event.user,
                "item_id": event.item,
                "ts": ts,
            },
            Click,
        )
        self._waiting.append(click)
        if len(self._waiting) >= PENDING:
            self.flush()

    def flush(self) -> None:
        """Apply and learn what waits."""
        events, self._waiting = self._waiting, []
        if events:
            offsets = np.arange(self.offset, self.offset + len(events), dtype=np.int64)
            clock = np.array([e.ts for e in events], np.int64)
            self.engine.learn(self.engine.observe(self.shard, events, offsets, broker_ts=clock))
            self.offset += len(events)

    def describe(self, item: Item) -> None:
        """Tell the engine of an item."""
        self.engine.describe([item])

    def recommend(self, user: str, k: int, t: float, *, exclude_seen: bool) -> list[str]:
        """The fused ranking itself, best first."""
        self.flush()
        request = ListRequest(shard=self.shard, user_id=user, k=k, exclude_seen=exclude_seen)
        lists = self.engine.rank([request], now=_ms(t))
        return self.engine.items.ids_of(lists.slot[:k].tolist())

    def test(self, event: LogEvent) -> Contest:
        """What every contestant lists for an event's person, and where the event's item stands."""
        self.flush()
        request = ListRequest(shard=self.shard, user_id=event.user, k=1)
        return contest(self.engine, request, event.item, now=_ms(event.t))

    @property
    def components(self) -> Sequence[str]:
        """Columns of the components."""
        return self.engine.fusion.columns


def _ms(t: float) -> int:
    return max(round(t * 1000), 0)
