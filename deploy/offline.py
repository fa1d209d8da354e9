"""An engine without a broker: restored from a snapshot of the learner, or taught by a log in this process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from deploy.evaluation.columns import Columns
from deploy.evaluation.items import read_items
from deploy.evaluation.logs import Reading, load
from models.engine import Engine
from models.evaluation.evaluation import NO_LIMIT
from models.evaluation.session import NOBODY_HELD_OUT
from models.evaluation.walk import LogEvent
from models.related import unknown
from models.users.shard import UserShard
from schemas.errors import SnapshotError
from schemas.events import Click
from schemas.settings import Settings
from streams.learner import Snapshots

AT_ONCE = 8
"""Events that are applied together before they are learned, as in ``streamwise evaluate``."""
SECOND = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """What an offline answer rests on.

    Parameters
    ----------
    snapshot
        A snapshot file of the learner, or a directory of them: the newest that is whole.
    log
        Events: a file, or a data set of the package, whose items come with it.  Without a snapshot the
        models learn them; with one they only say what people did.
    items
        The catalogue: texts, stock.
    columns, item_columns
        Our names to those of the log and of the items, where the usual ones do not do.
    """

    snapshot: Path | None = None
    log: str | None = None
    items: Path | None = None
    columns: Columns = field(default_factory=dict)
    item_columns: Columns = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.snapshot is not None or self.log is not None

    def words(self) -> str:
        """Where the answer is from."""
        return " and ".join(str(path) for path in (self.snapshot, self.log) if path)


class OfflineEngine:
    """An engine, one shard of people, and the time of the last event.

    Raises
    ------
    SnapshotError
        There is no snapshot, or it is damaged or of other settings.
    InvalidMessageError, SettingsError
        A line of the log or of the items that cannot be read, or no such log.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        if source.snapshot is None:  # the log is from before: nobody was held out, nobody is in a hurry
            replace = msgspec.structs.replace
            budgets = {"probes_per_second": NO_LIMIT, "gradient_rows_per_second": NO_LIMIT}
            engine = replace(settings.engine, **budgets)
            settings = replace(settings, engine=engine, experiment=NOBODY_HELD_OUT)
        self.engine = Engine.of(settings)
        self.shard: UserShard = self.engine.open_shard(0)
        self.now = 0
        self._learns = source.snapshot is None
        if source.snapshot is not None:
            restore(self.engine, source.snapshot, settings.kafka.namespace)
        if source.items is not None:
            self.engine.describe(list(read_items(source.items, source.item_columns).values()))
        if source.log is not None:
            log = load(source.log, Reading(source.columns, mappings=settings.intake.mappings))
            self.engine.describe(list(log.items.values()))
            self.take(log.events)

    def take(self, events: Iterable[LogEvent]) -> None:
        """Apply events in the order of time, and learn them where no snapshot has been learned."""
        waiting = iter(events)
        while some := list(islice(waiting, AT_ONCE)):
            first = self.shard.applied + 1
            offsets = np.arange(first, first + len(some), dtype=np.int64)
            clicks = [_click(offset, event) for offset, event in zip(offsets.tolist(), some, strict=True)]
            clock = np.array([click.ts for click in clicks], np.int64)
            if self._learns:
                self.engine.learn(self.engine.observe(self.shard, clicks, offsets, broker_ts=clock))
            else:
                self.shard.apply(clicks, offsets, clock)
            self.now = max(self.now, int(clock.max()))

    def remember(self, user: str, items: Sequence[str]) -> None:
        """What a person had, oldest first, a second apart; nothing is learned from it.

        Raises
        ------
        InvalidMessageError
            Nothing is known of an item.
        """
        for item in items:
            if item not in self.engine.items:
                raise unknown(item, self.engine.items.ids)
        learns, self._learns = self._learns, False
        self.take(LogEvent(user, item, self.now / SECOND + n) for n, item in enumerate(items, 1))
        self._learns = learns

    def knows(self, user: str) -> bool:
        """Whether the person did anything here."""
        return bool(self.shard.slots_of([user])[0] >= 0)


def restore(engine: Engine, path: Path, namespace: str) -> None:
    """Restore a snapshot file, or the newest whole one of a directory.

    Raises
    ------
    SnapshotError
        None is there, or none can be used.
    """
    if path.is_file():
        try:
            Snapshots(path.parent, namespace).read(path, engine)
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}") from error
        return
    snapshots = Snapshots(path, namespace)
    if not snapshots.paths():
        raise SnapshotError(
            f"{path}: no snapshot is there of kafka.namespace {namespace!r}: name its learner.directory"
        )
    offset, refused = snapshots.newest(engine)
    if offset == 0 and refused:
        raise SnapshotError("; ".join(refused))


def _click(offset: int, event: LogEvent) -> Click:
    ts = max(round(event.t * SECOND), 0)
    return Click(event_id=f"e{offset}", user_id=event.user, item_id=event.item, ts=ts)
