"""The learner: folds the signals log on a thread of its own, a few milliseconds at a time.

Lists and folds share the engine's arrays, so a turn decides who works: the event loop takes its turn
whenever it wants one, the learner learns a slice (``slice_ms``) and looks whether somebody waits.  At
an interval the engine's snapshot is written to a directory with the offset of the next block; a
restart loads the newest snapshot whose checksum is right and goes on from there.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter, thread_time
from typing import Protocol

import numpy as np

from models.fold import Lent
from schemas.errors import CorruptBlockError, SnapshotError
from schemas.settings import LearnerSettings
from schemas.signals import Cover, SignalBlock
from schemas.snapshots import Buffer, identify, pack, unpack_parts
from streams.memory import give_back
from streams.observer import StreamObserver
from streams.signals import Located, SignalsTail

log = logging.getLogger(__name__)

FORMER_STEM = "signals"
"""How names of snapshots began before the namespace stood before it."""
KEEP = 3
"""Snapshots kept: the newest may be damaged."""
ABANDONED_SECONDS = 600.0
MAX_BACKLOG_BYTES = 64 << 20
FIRST_SLICE = 64
IDLE_SECONDS = 0.5
VERSION = 2


class Restores(Protocol):
    """Whoever can become what a snapshot holds."""

    def restore(self, data: Buffer) -> None:
        """Become what ``snapshot`` wrote."""


class Learns(Restores, Protocol):
    """What the learner needs of the engine."""

    def learn(self, block: SignalBlock) -> object:
        """Fold a block; what was folded before is skipped by its cover."""

    def lend(self) -> Lent:
        """All folds as they stand."""

    def snapshot_of(self, lent: Lent) -> bytes:
        """All folds as they stood when they were lent."""


class Turn:
    """A lock for which serving goes before learning; at any time one thread serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """A turn of who serves: the kernels' thread, or the event loop before anything is given to that."""
        self._wanted += 1
        with self._lock:
            self._wanted -= 1
            yield

    @contextmanager
    def patient(self, pause: threading.Event) -> Iterator[None]:
        """The learner's turn: when nobody else wants one."""
        while self._wanted:
            pause.wait(0.0002)
        with self._lock:
            yield


class Snapshots:
    """Snapshot files of one deployment in a directory, newest last.

    Parameters
    ----------
    name
        Namespace of the deployment: another's files in the same directory are neither read nor removed.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = f"learner {name}"
        self._stem = f"{name}.{FORMER_STEM}" if name else FORMER_STEM

    def write(self, offset: int, data: bytes) -> Path:
        """Write atomically, and remove the oldest.

        Raises
        ------
        OSError
            The disk is full, or the directory cannot be written; what was there before still stands.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        body = pack(self._name, VERSION, {}, {"offset": offset}, {"engine": data})
        path = self._directory / f"{self._stem}-{offset:020d}.snapshot"
        draft = path.with_suffix(f".{os.getpid()}.draft")  # workers that learn for themselves may share this
        try:
            with draft.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # the disk is full: what is there of it would keep others from writing, too
            draft.unlink(missing_ok=True)
            raise
        draft.replace(path)
        for old in [*self._own()[:-KEEP], *self._abandoned(path.stat().st_mtime)]:
            old.unlink(missing_ok=True)
        return path

    def _abandoned(self, now: float) -> Iterator[Path]:
        """Drafts of writers that were killed."""
        for draft in self._directory.glob(f"{self._stem}-*.draft"):
            with suppress(FileNotFoundError):
                if now - draft.stat().st_mtime > ABANDONED_SECONDS:
                    yield draft

    def newest(self, learner: Restores) -> tuple[int, list[str]]:
        """Restore the newest valid snapshot.

        Returns
        -------
        tuple
            Offset of the next block (0 when there is no snapshot), and what was wrong with newer ones.
        """
        refused: list[str] = []
        for path in reversed(self.paths()):
            try:
                return self.read(path, learner), refused
            except (SnapshotError, OSError) as error:
                refused.append(f"{path}: {error}")
        return 0, refused

    def read(self, path: Path, learner: Restores) -> int:
        """Restore one snapshot; the offset of the next block.

        Raises
        ------
        SnapshotError
            Damaged, or of another deployment or build.
        """
        parts, meta = unpack_parts(path.read_bytes(), self._name, VERSION)
        learner.restore(parts["engine"])
        return int(meta["offset"])

    def paths(self) -> list[Path]:
        """Snapshots that are there, oldest first, before them those of builds without namespaces in names."""
        return [*self._former(), *self._own()]

    def _own(self) -> list[Path]:
        return sorted(self._directory.glob(f"{self._stem}-*.snapshot"))

    def _former(self) -> Iterator[Path]:
        if self._stem != FORMER_STEM:
            for path in sorted(self._directory.glob(f"{FORMER_STEM}-*.snapshot")):
                with suppress(SnapshotError, OSError):  # another deployment's, or gone meanwhile
                    identify(path.read_bytes(), self._name, VERSION)
                    yield path


def slices(block: SignalBlock, rows: int) -> Iterator[SignalBlock]:
    """The block under covers that end after about ``rows`` rows each; folds take what is in the cover."""
    cover = block.cover
    parts = (block.interactions, block.exposures, block.rewards, block.probes)
    offsets = np.sort(np.concatenate([part.offset for part in parts]))
    if cover is None or len(offsets) <= rows:
        yield block
        return
    after = cover.after
    for to in np.unique(offsets[rows - 1 : -1 : rows]):
        if after < to < cover.to:
            yield replace(block, cover=Cover(cover.partition, cover.incarnation, after, int(to)), controls=())
            after = int(to)
    yield replace(block, cover=Cover(cover.partition, cover.incarnation, after, cover.to))


class Learner:
    """Tails the log on the event loop, folds it on a thread.

    Parameters
    ----------
    tail
        Begins at the offset that ``Snapshots.newest`` returned.
    between
        Called on the thread between two blocks, at least every ``IDLE_SECONDS``, with the offset of the next
        block and the end of the log: the learner as a process of its own publishes then.
    """

    def __init__(
        self,
        engine: Learns,
        turn: Turn,
        tail: SignalsTail,
        snapshots: Snapshots,
        settings: LearnerSettings,
        observer: StreamObserver,
        between: Callable[[int, int], None] | None = None,
    ) -> None:
        self._engine = engine
        self._between = between
        self._turn = turn
        self._tail = tail
        self._snapshots = snapshots
        self._settings = settings
        self._observer = observer
        self._queue: deque[Located] = deque()
        self._taken = 0  # bytes; counted by the event loop
        self._folded = 0  # bytes; counted by the thread
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._rows = FIRST_SLICE
        self._error: Exception | None = None
        self._written = -1
        self.next_offset = tail.end  # where the snapshot ends
        self.corrupt = 0
        self._due = 0.0
        self._writing: threading.Thread | None = None
        self.unwritten: str | None = None  # why the last snapshot is not on the disk

    async def run(self) -> None:
        """Tail and fold until cancelled; raises what the fold raised."""
        thread = threading.Thread(target=self._work, name="learner", daemon=True)
        thread.start()
        try:
            async for run in self._tail.blocks():
                for located in run:
                    self._taken += len(located.data)
                    self._queue.append(located)
                self._ready.set()
                self._observer.on_learner_lag(self.lag)
                # the other side is a thread: it can set no asyncio event
                while self._taken - self._folded > MAX_BACKLOG_BYTES and self._error is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                if self._error is not None:
                    raise self._error
        finally:
            self._stop.set()
            self._ready.set()
            await asyncio.to_thread(thread.join, 10.0)

    @property
    def silent(self) -> float:
        """Seconds since the learner was heard of: it is in this process."""
        return 0.0

    @property
    def lag(self) -> int:
        """Blocks of the log that are not folded yet."""
        return max(0, self._tail.end - self.next_offset)

    def _work(self) -> None:
        self._due = perf_counter() + self._settings.snapshot_seconds
        try:
            while not self._stop.is_set():
                self._ready.wait(IDLE_SECONDS)
                self._ready.clear()
                self._pass_on()
                while self._queue and not self._stop.is_set():
                    self._fold(self._queue.popleft())
                    self._pass_on()
            self._written_all()
            self.snapshot()
            self._written_all()
        except Exception as error:  # noqa: BLE001  whatever a fold raises must reach the event loop, which stops
            self._error = error

    def _pass_on(self) -> None:
        """What is learned, to whoever waits for it: the disk, and other processes once the end is known."""
        if self._between is not None and self._tail.reading:
            self._between(self.next_offset, self._tail.end)
        if perf_counter() >= self._due:
            self.snapshot()
            self._due = perf_counter() + self._settings.snapshot_seconds

    def _fold(self, located: Located) -> None:
        try:
            block = located.block()
        except CorruptBlockError:  # the next block of its partition shows the gap, and stops us
            self.corrupt += 1
        else:
            for piece in slices(block, self._rows):
                with self._turn.patient(self._pause):
                    started = thread_time()
                    self._engine.learn(piece)
                    used = thread_time() - started
                self._adapt(used)
            self._observer.on_learned(located.offset, len(block.interactions), 0.0)
            if block.beat and block.cover is not None:
                self._observer.on_heartbeat("learner", self._tail.events, block.cover.partition, block.beat)
        self._folded += len(located.data)
        self.next_offset = located.offset + 1
        self._observer.on_learner_lag(self.lag)

    def _adapt(self, seconds: float) -> None:
        """Slices that take about ``slice_ms`` of this thread's own time.

        What the machine gives to others meanwhile is not counted: small slices would not get it back, and
        each costs as much as its first ten rows.
        """
        target = self._settings.slice_ms / 1000
        if seconds > target:
            self._rows = max(8, self._rows // 2)
        elif seconds < target / 3:
            self._rows = min(4096, self._rows * 2)

    def snapshot(self) -> None:
        """Copy the models and write them from another thread, if something was folded since the last time.

        Lists and learning wait for the copy, not for the rest.
        """
        if self.next_offset <= self._written or (self._writing is not None and self._writing.is_alive()):
            return
        started = perf_counter()
        with self._turn.patient(self._pause):
            lent, offset = self._engine.lend().copied(), self.next_offset
        self._writing = threading.Thread(
            target=self._write, args=(lent, offset, started), name="snapshot", daemon=True
        )
        self._writing.start()

    def _written_all(self) -> None:
        """Wait for the snapshot that is being written."""
        if self._writing is not None:
            self._writing.join()

    def _write(self, lent: Lent, offset: int, started: float) -> None:
        """One that cannot be written costs a restart the time to read more of the log, and nobody a list.

        It is told, and tried again at the next interval.
        """
        try:
            data = self._engine.snapshot_of(lent)
            self._snapshots.write(offset, data)
        except OSError as error:
            self._tell(f"learner.directory: no snapshot is written to {self._settings.directory}: {error}")
            return
        self._written = offset
        self.unwritten = None
        self._observer.on_snapshot(offset, len(data), perf_counter() - started)
        del data
        give_back()  # blocks come in all sizes, and leave holes

    def _tell(self, why: str) -> None:
        """Once in the log until one is written again, each time in the metric."""
        if self.unwritten is None:
            log.warning("%s: the process goes on without; free the disk or set another directory", why)
        self.unwritten = why
        self._observer.on_snapshot_failed()
