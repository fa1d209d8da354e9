"""The arena: a directory in which one learner publishes versions of all models, for every process of a host.

A version is a file of its own, complete before it has its name; ``current`` names the newest one and is
written again at every beat, so that readers see whether the learner lives.  Files of former versions are
unlinked: whoever still reads one keeps it by its mapping.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from hashlib import blake2b
from mmap import MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from models.fold import Lent
from schemas.errors import SnapshotError, UnavailableError
from schemas.settings import Settings
from schemas.versions import Version, layout, read

CURRENT = "current"
LOCK = "learner"
KEPT = 2
"""Versions that have a name: somebody may just be opening the last but one."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  our folder there is checked to be our own
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Current(msgspec.Struct, frozen=True):
    """The newest version, and how far the learner was at its last beat.

    Parameters
    ----------
    file
        Of the version.
    offset
        Of the first block of ``signals`` that is not in it.
    end
        Of ``signals``, as the learner knew it.
    beat
        When this was written, ms since the epoch.
    learner
        Process id.
    """

    file: str
    offset: int
    end: int
    beat: int
    learner: int


def directory(settings: Settings) -> Path:
    """Where a deployment's versions are: as set, or a folder in shared memory, else beside the snapshots."""
    learner = settings.learner
    if learner.arena:
        return Path(learner.arena)
    snapshots = Path(learner.directory).resolve()
    if not os.access(SHARED_MEMORY, os.W_OK):
        return snapshots.with_name("arena")
    name = blake2b(f"{snapshots} {settings.kafka.namespace}".encode(), digest_size=6).hexdigest()
    return SHARED_MEMORY / f"streamwise-{os.getuid()}-{name}"


def boot() -> str:
    """Which start of which machine this is; empty where the system does not tell."""
    return BOOT.read_text("ascii").strip() if BOOT.exists() else ""


class ArenaWriter:
    """The only writer of a directory, for as long as the block lasts.

    Parameters
    ----------
    place
        Made if missing, for this user alone.
    deployment
        Namespace.
    clock
        Milliseconds since the epoch.

    Raises
    ------
    UnavailableError
        On entering: another process is the learner of this directory, or it belongs to somebody else.
    """

    def __init__(self, place: Path, deployment: str, clock: Callable[[], int]) -> None:
        self._place = place
        self._deployment = deployment
        self._clock = clock
        self._boot = boot()
        self._current: Current | None = None

    def __enter__(self) -> Self:
        try:
            self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_foreign(self._place)
            self._lock = os.open(self._place / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UnavailableError(f"learner.arena: {self._place}: {error.strerror}: name another") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise UnavailableError(
                f"learner.arena: {self._place}: process {holder} is its learner: "
                "stop that one, or name another directory"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self._current = current(self._place)
        self._sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    @property
    def offset(self) -> int:
        """Up to where the newest version has learned; 0 while there is none."""
        return self._current.offset if self._current is not None else 0

    def clear(self) -> None:
        """Take all versions away: they are of a line of learning that is not continued."""
        (self._place / CURRENT).unlink(missing_ok=True)
        self._current = None
        self._sweep()

    def publish(self, lent: Lent, offset: int, end: int) -> int:
        """Write a version and make it the current one; its size in bytes.

        Raises
        ------
        OSError
            There is no room; the former version is still the current one.
        """
        now = self._clock()
        version = Version(self._deployment, self._boot, offset, lent.values["rows"], now, lent.values)
        name = f"models-{offset:020d}-{now}.arena"
        draft = self._place / f"{name}.draft"
        try:
            with draft.open("wb", buffering=0) as file:
                size = sum(_write(file.fileno(), piece) for piece in layout(version, lent.arrays))
            draft.replace(self._place / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._current = Current(name, offset, end, now, os.getpid())
        self._point()
        self._sweep()
        return size

    def beat(self, end: int) -> None:
        """Say that the learner lives, and where the log ends; nothing before the first version."""
        if self._current is not None:
            self._current = msgspec.structs.replace(
                self._current, end=max(end, self._current.offset), beat=self._clock(), learner=os.getpid()
            )
            self._point()

    def _point(self) -> None:
        draft = self._place / f"{CURRENT}.draft"
        try:
            draft.write_bytes(msgspec.json.encode(self._current))
            draft.replace(self._place / CURRENT)
        except OSError:  # half of it would take room
            draft.unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        """Unlink what no reader can be about to open."""
        for draft in [*self._place.glob("models-*.draft"), self._place / f"{CURRENT}.draft"]:
            draft.unlink(missing_ok=True)
        versions = sorted(self._place.glob("models-*.arena"), key=lambda path: path.stat().st_mtime_ns)
        kept = self._current.file if self._current is not None else ""
        for path in versions[: -KEPT if self._current is not None else None]:
            if path.name != kept:
                path.unlink()


class ArenaReader:
    """Looks for new versions and maps them.

    Parameters
    ----------
    place
        May be empty or missing: then there is nothing yet.
    deployment
        Namespace.
    """

    def __init__(self, place: Path, deployment: str) -> None:
        self.place = place
        self._deployment = deployment
        self._boot = boot()
        self._seen: tuple[int, int] | None = None

    def look(self) -> Current | None:
        """What ``current`` says, if it was written since the last look."""
        try:
            stat = (self.place / CURRENT).stat()
        except OSError:  # no learner has published here yet
            return None
        if (seen := (stat.st_mtime_ns, stat.st_ino)) == self._seen:
            return None
        self._seen = seen
        return current(self.place)

    def open(self, found: Current) -> tuple[Version, Lent]:
        """Map a version: its arrays are views of the file, and live as long as anybody holds one.

        Raises
        ------
        SnapshotError
            It is gone already, damaged, or not for us.
        """
        path = self.place / found.file
        try:
            with path.open("rb") as file:
                _trust(file.fileno())
                pages = mmap(file.fileno(), 0, flags=MAP_PRIVATE, prot=PROT_READ | PROT_WRITE)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise SnapshotError(f"{path}: {error}: wait for the next version") from error
        version, arrays = read(pages, self._deployment, self._boot)
        return version, Lent(arrays, version.values)


def current(place: Path) -> Current | None:
    """The newest version of a directory; None if there is none, or nothing that can be read."""
    try:
        return msgspec.json.decode((place / CURRENT).read_bytes(), type=Current)
    except (OSError, msgspec.DecodeError):
        return None


def _refuse_foreign(place: Path) -> None:
    """Anybody may make folders in shared memory: one made for us ahead could lead our writing elsewhere."""
    owner = (place.lstat() if place.parent == SHARED_MEMORY else place.stat()).st_uid
    if owner not in {os.getuid(), 0}:
        raise UnavailableError(f"learner.arena: {place}: belongs to user {owner}: remove it, or name another")


def _trust(file: int) -> None:
    """Arrays hold indices that kernels follow: whoever else could write them could write our memory."""
    if (owner := os.fstat(file).st_uid) not in {os.getuid(), 0}:
        raise SnapshotError(
            f"models: belong to user {owner}: let one user run the learner and event processes"
        )


def _write(file: int, piece: bytes | memoryview) -> int:
    """Write all of it: one call may write less."""
    rest = memoryview(piece)
    while rest:
        written = os.write(file, rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]
    return len(piece)
