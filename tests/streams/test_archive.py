"""The manifest of a backup is read with suspicion: it may have been edited, or damaged, like any file."""

from pathlib import Path

import msgspec
import pytest

from schemas.errors import ArchiveError
from streams.archive import MANIFEST, FileEntry, Manifest, RecordFile, read_manifest, verify, write_manifest
from streams.rewrite import Kept


def entry(topic: str, partition: int, **other: object) -> FileEntry:
    made = FileEntry(
        path=f"{topic}/{partition}.records", topic=topic, partition=partition, records=0, size=0, checksum=""
    )
    return msgspec.structs.replace(made, **other)


WHOLE = (*(entry(t, n) for t in ("events", "state") for n in (0, 1)), entry("signals", 0))


def manifest(files: tuple[FileEntry, ...] = WHOLE, partitions: int = 2) -> Manifest:
    return Manifest(
        version="test", created=0, namespace="", events="events", partitions=partitions,
        applied={}, committed=(), lives=(), settings={}, files=files,
    )  # fmt: skip


def written(directory: Path) -> tuple[FileEntry, ...]:
    """The files of ``WHOLE``, without records."""
    return tuple(RecordFile(directory, file.topic, file.partition).finish() for file in WHOLE)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    """Lists may be in any number of files, snapshots and other topics too."""
    whole = manifest((*WHOLE, entry("recommendations", 7), entry("learner", 0, path="learner.snapshot")))
    write_manifest(tmp_path, whole)
    assert read_manifest(tmp_path) == whole


@pytest.mark.parametrize(
    ("files", "partitions", "said"),
    [
        (WHOLE[1:], 2, "events/0 is there 0 times, of 2 partitions"),
        (WHOLE[:3] + WHOLE[4:], 2, "state/1 is there 0 times"),
        (WHOLE[:4], 2, "signals/0 is there 0 times"),
        (WHOLE, 3, "events/2 is there 0 times"),
        (WHOLE, 1, "events/1 is there 1 times, of 1 partitions"),
        (WHOLE, 10**15, "is there 0 times, of 1000000000000000 partitions"),
        (WHOLE, -1, "of -1 partitions"),
        ((), 0, "events/0 is there 0 times"),
        ((*WHOLE, entry("events", 1, path="events/other.records")), 2, "events/1 is there 2 times"),
        ((*WHOLE, entry("events", -1)), 2, "events/-1"),
        ((*WHOLE, entry("items", 0, path="../../etc/shadow")), 2, "not within it"),
        ((*WHOLE, entry("items", 0, path="/etc/shadow")), 2, "not within it"),
    ],
)
def test_what_cannot_be_is_refused(files, partitions, said, tmp_path):
    """A partition that is missing would lose its people in silence; a path may lead anywhere."""
    write_manifest(tmp_path, manifest(tuple(files), partitions))
    with pytest.raises(ArchiveError, match=said):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"format": 1}', b'{"format": "1"}']
)
def test_junk_is_named(junk, tmp_path):
    """Whatever stands there, the answer is a sentence with the file."""
    (tmp_path / MANIFEST).write_bytes(junk)
    with pytest.raises(ArchiveError, match=r"manifest\.json: damaged"):
        read_manifest(tmp_path)


def test_a_file_that_is_gone_or_changed_is_named(tmp_path):
    """Checksums are those of the bytes that were written."""
    with RecordFile(tmp_path, "items", 0) as file:
        file.append(Kept(0, 0, b"i1", b"{}"))
        written = file.finish()
    verify(tmp_path, manifest((written,)))
    (tmp_path / written.path).write_bytes(b"other")
    with pytest.raises(ArchiveError, match="wrong checksum"):
        verify(tmp_path, manifest((written,)))
    (tmp_path / written.path).unlink()
    with pytest.raises(ArchiveError, match="No such file"):
        verify(tmp_path, manifest((written,)))
