"""What the streams need of the engine, and of the user state of one partition."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from models.users.applied import Applied
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.events import Decision, Event
from schemas.signals import Int64, SignalBlock


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One list of a batch.

    Parameters
    ----------
    shard, user_id
        Whose state, and who.
    trigger_id
        Event or request that the list answers.
    k
        Length of the list.
    event_ts
        When the trigger happened, ms.
    exclude_seen
        None: the engine's setting.
    candidates, filters
        What a request asks for.
    """

    shard: UserShard
    user_id: str
    trigger_id: str
    surface: str
    k: int
    event_ts: int
    exclude_seen: bool | None = None
    candidates: tuple[str, ...] | None = None
    filters: Mapping[str, str] | None = None


class EngineLike(Protocol):
    """The façade ``models.engine.Engine``."""

    def open_shard(self, partition: int, incarnation: int = 0) -> UserShard:
        """Empty user state of a partition."""

    def apply(
        self, shard: UserShard, events: Sequence[Event], offsets: Int64, *, broker_ts: Int64
    ) -> Applied:
        """Apply events to state."""

    def block_of(self, applied: Applied) -> SignalBlock:
        """Rows of what was applied."""

    def learn(self, block: SignalBlock) -> Any:
        """Fold a block."""

    def recommend(self, requests: Sequence[ListRequest], *, now: int, seed: int) -> list[Decision]:
        """Lists for many people at once, in their order."""

    def describe(self, items: Sequence[Item]) -> None:
        """Know items."""

    def delist(self, item_ids: Iterable[str]) -> None:
        """Never list these again."""

    def embed(self, embeddings: Sequence[Embedding]) -> None:
        """Know vectors of items."""

    def snapshot(self) -> bytes:
        """All folds."""

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
