"""A restore into other numbers of partitions: what had been read stays read, what had not is read."""

from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from schemas.settings import AuditSettings, KafkaSettings, LearnerSettings, Settings
from schemas.topics import Topic
from streams.archive import FileEntry, Place, RecordFile, write_manifest
from streams.incarnations import committed_by
from streams.restoring import restore_backup
from streams.rewrite import Kept
from tests.streams.clients.room import read
from tests.streams.test_archive import manifest, written

pytestmark = pytest.mark.kafka


def people(directory: Path, partition: int, names: str) -> FileEntry:
    """A partition of ``users``: erasures of these people."""
    with RecordFile(directory, "users", partition) as file:
        for offset, name in enumerate(names):
            file.append(Kept(offset, 0, name.encode(), None))
        return file.finish()


async def test_partitions_that_are_put_together_skip_nothing_that_was_unread(kafka, tmp_path):
    """Else an erasure that intake had not read yet would be forgotten, or an old one come again."""
    name = f"together-{tmp_path.parent.name}"
    settings = Settings(
        kafka=KafkaSettings(bootstrap=kafka, namespace=name, group=name, partitions=1),
        learner=LearnerSettings(directory=str(tmp_path / "models")),
        audit=AuditSettings(directory=str(tmp_path / "books")),
    )
    files = (*written(tmp_path), people(tmp_path, 0, "abc"), people(tmp_path, 1, "xyz"))
    known = Place("users", 0, 1, ""), Place("users", 1, 2, "")
    write_manifest(tmp_path, msgspec.structs.replace(manifest(files), committed=known))
    await restore_backup(settings, tmp_path, now=0)
    records = await read(settings.kafka, Topic.USERS)
    assert b"".join(r.key for r in records) == b"axybcz"
    place = TopicPartition(settings.kafka.topic(Topic.USERS), 0)
    assert (await committed_by(settings, [place]))[place].offset == 3
