"""What the streams need of the engine, and of the user state of one partition."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from models.fold import Lent
from models.requests import Batch
from models.users.applied import Applied
from models.users.shard import UserShard
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.events import AnyEvent, Decision
from schemas.ladder import Cause, Rung
from schemas.popular import PopularLists
from schemas.signals import Int64, SignalBlock
from schemas.snapshots import Buffer
from streams.guardrail import Obeys


class EngineLike(Protocol):
    """The façade ``models.engine.Engine``."""

    @property
    def policy(self) -> Obeys:
        """The fold that obeys switches."""

    def share(self, adding: AbstractContextManager[Any]) -> None:
        """Let user state be worked with beside all else; ``adding`` is a lock."""

    def open_shard(self, partition: int, incarnation: int = 0) -> UserShard:
        """Empty user state of a partition."""

    def apply(
        self, shard: UserShard, events: Sequence[AnyEvent], offsets: Int64, *, broker_ts: Int64
    ) -> Applied:
        """Apply events to state."""

    def block_of(self, applied: Applied) -> SignalBlock:
        """Rows of what was applied."""

    def learn(self, block: SignalBlock) -> Any:
        """Fold a block."""

    def draw(
        self,
        batch: Batch,
        *,
        seed: int,
        rung: Rung = Rung.FULL,
        cause: Cause | None = None,
        explain: bool = True,
    ) -> list[Decision]:
        """Lists for a batch, in its order, on at most this rung; shards may change meanwhile."""

    def popular(self, *, now: int) -> PopularLists:
        """What is popular with everybody and in each segment."""

    def fall_back(self, lists: PopularLists | None) -> None:
        """Let these stand in for what is learned of popularity; None: no longer."""

    def describe(self, items: Sequence[Item]) -> None:
        """Know items."""

    def delist(self, item_ids: Iterable[str]) -> None:
        """Never list these again."""

    def embed(self, embeddings: Sequence[Embedding]) -> None:
        """Know vectors of items."""

    def unembed(self, item_ids: Iterable[str]) -> None:
        """Know no vectors of these items any more."""

    def lend(self) -> Lent:
        """All folds as they stand: arrays are shown, not copied."""

    def adopt(self, lent: Lent) -> None:
        """Read from now on what another engine lent."""

    def snapshot_of(self, lent: Lent) -> bytes:
        """All folds as they stood when they were lent."""

    def restore(self, data: Buffer) -> None:
        """Become what ``snapshot`` wrote."""
