"""A backup on disk: files of records, compressed piece by piece, and a manifest that is written last.

A file holds the records of one partition in frames of about a MiB: length (4 bytes), zstd of a msgpack
array.  Neither writing nor reading holds more than a frame.  The manifest names every file with its
size and checksum; a directory without one is a backup that did not finish.
"""

import os
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import cramjam
import msgspec

from schemas.errors import ArchiveError
from schemas.topics import Topic
from streams.rewrite import Kept

FORMAT = 1
MANIFEST = "manifest.json"
FRAME_BYTES = 1 << 20
READ_BYTES = 1 << 20
COMPLETE = {Topic.EVENTS.value, Topic.STATE.value, Topic.SIGNALS.value}
"""Topics of which every partition must be there, once."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Kept])


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup.

    Parameters
    ----------
    path
        Within the directory.
    topic, partition
        Base name of the topic that it holds, or ``learner`` or ``auditor`` for a snapshot.
    size, checksum
        Bytes, and their BLAKE2b-128.
    """

    path: str
    topic: str
    partition: int
    records: int
    size: int
    checksum: str


class Place(msgspec.Struct, frozen=True):
    """How far a topic was read: offset, and the checksum of the record before it."""

    topic: str
    partition: int
    offset: int
    mark: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, and where it was cut.

    Parameters
    ----------
    format, version
        Of the files; of the program that wrote them.
    created
        ms.
    namespace, events
        Of the deployment; the name of its ``events`` topic.
    partitions
        Of ``events``.
    applied
        By partition: last event that the state contains.
    committed
        How far the group had read producers' and shared topics.
    lives
        Incarnations of the topics that it read.
    settings
        As they were, without secrets; for reading, not used.
    notes
        What is not in it.
    """

    format: int = FORMAT
    version: str
    created: int
    namespace: str
    events: str
    partitions: int
    applied: dict[int, int]
    committed: tuple[Place, ...]
    lives: tuple[tuple[str, int, int], ...]
    settings: dict[str, Any]
    files: tuple[FileEntry, ...]
    notes: tuple[str, ...] = ()


class RecordFile:
    """Writes one file, a frame at a time.

    Raises
    ------
    ArchiveError
        From any method: it cannot be written; names the file and what is wrong.
    """

    def __init__(self, directory: Path, topic: str, partition: int) -> None:
        self._path = directory / topic / f"{partition}.records"
        self._entry = f"{topic}/{partition}.records", topic, partition
        self._digest = blake2b(digest_size=16)
        self._waiting: list[Kept] = []
        self._bytes = self._size = self._records = 0
        with _told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    def append(self, record: Kept) -> None:
        """Add a record."""
        self._waiting.append(record)
        self._records += 1
        self._bytes += len(record.key or b"") + len(record.value or b"") + 32
        if self._bytes >= FRAME_BYTES:
            self._flush()

    def _flush(self) -> None:
        body = bytes(cramjam.zstd.compress(_encoder.encode(self._waiting), level=3))
        frame = len(body).to_bytes(4, "little") + body
        with _told(self._path):
            self._file.write(frame)
        self._digest.update(frame)
        self._size += len(frame)
        self._waiting, self._bytes = [], 0

    def finish(self) -> FileEntry:
        """Write what waits, make it durable, and say what there is."""
        if self._waiting:
            self._flush()
        with _told(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        path, topic, partition = self._entry
        return FileEntry(
            path=path, topic=topic, partition=partition, records=self._records, size=self._size,
            checksum=self._digest.hexdigest(),
        )  # fmt: skip


class _told:  # noqa: N801  reads as a word
    """Tells an operating system's error as ours, with the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            remedy = "make room, remove what was written, and begin again"
            raise ArchiveError(f"{self._path}: {error.strerror}: {remedy}") from error


def write_file(directory: Path, name: str, topic: str, data: bytes) -> FileEntry:
    """Write a file as it is."""
    path = directory / name
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    checksum = blake2b(data, digest_size=16).hexdigest()
    return FileEntry(path=name, topic=topic, partition=0, records=1, size=len(data), checksum=checksum)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """The last thing to be written."""
    draft = directory / f"{MANIFEST}.draft"
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with _told(draft):
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / MANIFEST)


def refuse_used(directory: Path) -> None:
    """Refuse a directory with something in it."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ArchiveError(f"{directory}: is not empty: name a new directory")


def read_manifest(directory: Path) -> Manifest:
    """What a directory says that it holds.

    Raises
    ------
    ArchiveError
        It is no backup, or one that did not finish, or one of another format.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        raise ArchiveError(f"{directory}: no such directory: name the one that `streamwise backup` wrote")
    if not path.exists():
        raise ArchiveError(f"{path}: (missing): not a backup, or one that did not finish: take another one")
    try:
        format_ = msgspec.json.decode(path.read_bytes(), type=_Format).format
        if format_ != FORMAT:
            raise ArchiveError(f"{path}: format {format_}: this release reads format {FORMAT}")
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise ArchiveError(f"{path}: damaged ({error}): restore another backup") from error
    _refuse_incomplete(path, manifest)
    return manifest


def _refuse_incomplete(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest that lacks a partition, names one twice, or leads out of its directory."""
    for entry in manifest.files:
        if Path(entry.path).is_absolute() or ".." in Path(entry.path).parts:
            raise ArchiveError(f"{path}: damaged ({entry.path!r} is not within it): restore another backup")
    found = Counter((entry.topic, entry.partition) for entry in manifest.files)
    count = max(1, min(manifest.partitions, len(manifest.files)))  # whatever number stands there
    wanted = {(t.value, n) for t in (Topic.EVENTS, Topic.STATE) for n in range(count)}
    wanted.add((Topic.SIGNALS.value, 0))
    strange = {place for place in found if place[0] in COMPLETE} ^ wanted
    strange |= {place for place, times in found.items() if times > 1}
    for topic, partition in sorted(strange):
        what = f"{topic}/{partition} is there {found[topic, partition]} times, of {manifest.partitions}"
        raise ArchiveError(f"{path}: damaged ({what} partitions): restore another backup")


class _Format(msgspec.Struct):
    format: int


def verify(directory: Path, manifest: Manifest) -> None:
    """Read every file and compare its checksum.

    Raises
    ------
    ArchiveError
        Names the first file that is missing or damaged.
    """
    for entry in manifest.files:
        path, digest = directory / entry.path, blake2b(digest_size=16)
        try:
            with path.open("rb") as file:
                while piece := file.read(READ_BYTES):
                    digest.update(piece)
        except OSError as error:
            raise ArchiveError(f"{path}: {error.strerror}: restore another backup") from error
        if digest.hexdigest() != entry.checksum:
            raise ArchiveError(f"{path}: wrong checksum, the file is damaged: restore another backup")


def records_in(path: Path) -> Iterator[Kept]:
    """Records of a file, in order.

    Raises
    ------
    ArchiveError
        The file cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            while head := file.read(4):
                size = int.from_bytes(head, "little")
                body = file.read(size)
                if len(body) < size:
                    raise ArchiveError(f"{path}: ends in the middle: restore another backup")
                yield from _decoder.decode(bytes(cramjam.zstd.decompress(body)))
    except (OSError, cramjam.DecompressionError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{path}: cannot be read ({error}): restore another backup") from error
