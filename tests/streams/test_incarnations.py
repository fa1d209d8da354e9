"""Workers that start at the same time on a deployment that nobody has read yet."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic, topic_name
from streams import incarnations
from streams.connection import consumer_options
from streams.incarnations import check_group, commit
from streams.provision import provision
from tests.streams.conftest import deployment_on

pytestmark = pytest.mark.kafka


@pytest.fixture
async def settings(kafka, tmp_path):
    made = deployment_on(KafkaSettings(bootstrap=kafka, session_seconds=1.0), tmp_path)
    await provision(made)
    return made


async def test_workers_that_start_together_open_one_group(settings, monkeypatch):
    """One opens the group while another has just read it: that one sees no topic that was recreated."""
    topics = [topic_name(t, settings.kafka.namespace) for t in (Topic.CLICKS, Topic.REQUESTS, Topic.EVENTS)]
    read, faster = incarnations.committed_by, []

    async def overtaken(*args):
        found = await read(*args)
        if not faster:
            faster.append(None)
            faster.append(await incarnations.open_group(settings, topics))
        return found

    monkeypatch.setattr(incarnations, "committed_by", overtaken)
    assert await incarnations.open_group(settings, topics) == faster[1]
    assert len(faster[1]) == 4


async def test_who_comes_later_is_content_with_the_beginnings_that_are_there(settings):
    """The group has members already: its offsets stand, and whoever insists is told why they do."""
    name = topic_name(Topic.CLICKS, settings.kafka.namespace)
    beginnings = {TopicPartition(name, n): OffsetAndMetadata(0, "0:") for n in range(2)}
    await commit(settings, beginnings)
    options = consumer_options(settings.kafka) | {"group_id": settings.kafka.group}
    async with AIOKafkaConsumer(name, **options) as member:
        await member.getmany(timeout_ms=1000)  # joined
        await commit(settings, beginnings, unless_there=True)
        with pytest.raises(UnavailableError, match="stop its workers first"):
            await commit(settings, beginnings)


async def test_looks_that_never_succeed_are_told_once(monkeypatch, caplog):
    """Whoever may not ask would trust a check that is never made."""
    monkeypatch.setattr(incarnations, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(incarnations, "TOLD_AFTER", 2)
    nobody = Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1"))
    tries, enough = [], asyncio.Event()

    def counted(*args, **more):
        tries.append(None)
        if len(tries) == 5:
            enough.set()
        return reader(*args, **more)

    reader = incarnations.reader
    monkeypatch.setattr(incarnations, "reader", counted)
    looking = asyncio.create_task(check_group(nobody, ["clicks"], []))
    await enough.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert caplog.text.count("logs are not checked") == 1
