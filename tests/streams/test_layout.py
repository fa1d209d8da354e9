"""Which writing of a deployment is in force, told by what stands on the broker."""

import msgspec
import pytest

from schemas.errors import ArchiveError, IncarnationError
from schemas.settings import AuditSettings, KafkaSettings, LearnerSettings, Settings
from schemas.topics import Topic
from streams.archive import write_manifest
from streams.kafka import admin
from streams.layout import Layout, layout_of, refuse_former, write_layout
from streams.provision import create, provision, wanted
from streams.repartition import abandon, repartition
from streams.restoring import restore_backup
from tests.faults.load import deployment
from tests.streams.test_archive import manifest, written

pytestmark = pytest.mark.kafka


def of_generation(settings: Settings, generation: int, partitions: int = 1) -> Settings:
    kafka = msgspec.structs.replace(settings.kafka, generation=generation, partitions=partitions)
    return msgspec.structs.replace(settings, kafka=kafka)


async def make(settings: Settings, status: str) -> None:
    """``state`` of a generation, as a repartition leaves it."""
    async with admin(settings.kafka) as client:
        for name, spec in wanted(settings):
            if spec.topic is Topic.STATE:
                await create(client, name, spec, settings)
    await write_layout(settings.kafka, Layout(status, settings.kafka.partitions))


async def test_generations_between_may_have_been_deleted(kafka, tmp_path):
    """After two moves nobody starts on the first topics, even where the second ones are gone."""
    settings = await deployment(KafkaSettings(bootstrap=kafka), tmp_path)
    await refuse_former(settings.kafka)
    await make(of_generation(settings, 3, 2), "ready")
    for former in (settings, of_generation(settings, 2)):
        with pytest.raises(IncarnationError, match=r"kafka\.generation = 3 and kafka\.partitions = 2"):
            await refuse_former(former.kafka)
    for work in (repartition(settings, 9, now=0), abandon(settings)):
        with pytest.raises(IncarnationError, match=r"kafka\.generation = 3"):
            await work
    await refuse_former(of_generation(settings, 3).kafka)

    await make(of_generation(settings, 4), "building")
    with pytest.raises(IncarnationError, match="begun and has not ended"):
        await refuse_former(of_generation(settings, 3).kafka)
    with pytest.raises(IncarnationError, match=r"kafka\.generation = 3"):
        await refuse_former(settings.kafka)
    assert await layout_of(of_generation(settings, 4).kafka) == Layout("building", 1)


async def test_nothing_is_restored_under_a_later_generation(kafka, tmp_path):
    """No worker would start on it."""
    name = f"under{tmp_path.parent.name}".replace("_", "-")
    settings = Settings(
        kafka=KafkaSettings(bootstrap=kafka, namespace=name, group=name),
        learner=LearnerSettings(directory=str(tmp_path / "models")),
        audit=AuditSettings(directory=str(tmp_path / "books")),
    )
    await provision(settings)
    write_manifest(tmp_path, manifest(written(tmp_path)))
    await restore_backup(settings, tmp_path, now=0, dry_run=True)
    await make(of_generation(settings, 2), "ready")
    with pytest.raises(ArchiveError, match=r"state-2: is of a later generation"):
        await restore_backup(settings, tmp_path, now=0, dry_run=True)
