"""The state topic: whole sweeps or nothing, only by the owner."""

from types import SimpleNamespace

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import PolicyViolationError
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CorruptBlockError, FencedError, IncarnationError
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.kafka import admin, idempotent_producer, patiently
from streams.provision import provision
from streams.state_store import BLOCK, CHECKPOINT_KEY, Checkpoint, Sweeps, block_row, restore, take_over
from streams.writer import LogWriter
from tests.streams.conftest import deployment_on


def checkpoint(applied: int) -> Checkpoint:
    return Checkpoint(applied=applied, mark="", incarnation=0, cover=-1)


def row(number: int, data: bytes, sweep: int):
    out = block_row(number, data, sweep)
    return SimpleNamespace(key=out.key, value=out.value, headers=out.headers)


def end(applied: int):
    return SimpleNamespace(key=CHECKPOINT_KEY, value=msgspec.msgpack.encode(checkpoint(applied)), headers=())


def restored(*records):
    sweeps = Sweeps()
    for record in records:
        sweeps.take(record)
    return sweeps.restored()


def test_a_sweep_without_its_end_does_not_count():
    """Blocks behind the last checkpoint row are ignored, and named if they hide an older version."""
    found = restored(row(1, b"old", 10), row(2, b"x", 10), end(10), row(1, b"new", 20), row(3, b"y", 20))
    assert found.blocks == {1: b"old", 2: b"x"}
    assert found.unfinished == {1}
    assert found.checkpoint.applied == 10


def test_a_block_of_an_unfinished_sweep_never_joins_a_later_one():
    """After a crash in sweep 30, a sweep that ends at 20 does not adopt its blocks."""
    found = restored(row(1, b"old", 10), end(10), row(1, b"crashed", 30), row(2, b"x", 20), end(20))
    assert found.blocks == {1: b"old", 2: b"x"}


@pytest.mark.parametrize("key", [BLOCK, BLOCK + b"x", BLOCK + b"-1"])
def test_a_record_that_no_worker_wrote_is_named(key):
    """Junk on the state topic stops a takeover with a sentence, not with a traceback."""
    with pytest.raises(CorruptBlockError, match="state key"):
        restored(SimpleNamespace(key=key, value=b"junk", headers=[]))


@pytest.mark.parametrize("value", [None, b"", b"junk"])
def test_a_checkpoint_row_without_content_is_named(value):
    """A tombstone or junk under the checkpoint's key is damage, and said to be."""
    with pytest.raises(CorruptBlockError, match="checkpoint"):
        restored(SimpleNamespace(key=CHECKPOINT_KEY, value=value, headers=[]))


def test_records_of_others_are_passed_over():
    """A record without a key is nobody's state."""
    assert restored(SimpleNamespace(key=None, value=None, headers=[])).blocks == {}


def test_compaction_may_remove_all_but_the_last_of_each_key():
    """Blocks of old sweeps count although their own checkpoint rows are gone."""
    found = restored(row(1, b"a", 10), row(2, b"b", 30), end(50))
    assert found.blocks == {1: b"a", 2: b"b"}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=4)), max_size=30), st.integers(0, 30)
)
def test_a_cut_log_gives_the_last_whole_sweep(blocks, length):
    """However the log is cut off, what is restored is the state of the last checkpoint row in it."""
    records, states, state = [], [{}], {}
    for sweep, (number, data) in enumerate(blocks):
        records += [row(number, data, sweep), end(sweep)]
        state = state | {number: data}
        states.append(state)
    kept = records[:length]
    assert restored(*kept).blocks == states[len(kept) // 2]


async def test_what_is_written_is_restored(deployment):
    """Blocks and checkpoint come back as they were, the newest version of each."""
    async with idempotent_producer(deployment.kafka) as producer:
        writer = LogWriter(producer, topic_name(Topic.STATE, deployment.kafka.namespace))
        store = await take_over(deployment.kafka, 1, writer)
        assert (await restore(deployment.kafka, 1)).checkpoint is None
        await store.write({0: b"a" * 100_000, 3: b"b"}, checkpoint(7))
        await store.write({3: b"c"}, checkpoint(9))
        again = await restore(deployment.kafka, 1)
        assert again.blocks == {0: b"a" * 100_000, 3: b"c"}
        assert again.checkpoint == checkpoint(9)
        await store.stop()
        await writer.stop()


@pytest.mark.kafka
async def test_a_stale_owner_is_fenced(kafka, tmp_path):
    """Once another worker took the partition over, the former owner's write fails and changes nothing."""
    settings = deployment_on(KafkaSettings(bootstrap=kafka), tmp_path)
    await provision(settings)
    async with idempotent_producer(settings.kafka) as producer:
        writer = LogWriter(producer, topic_name(Topic.STATE, settings.kafka.namespace))
        zombie = await take_over(settings.kafka, 0, writer)
        await zombie.write({0: b"zombie"}, checkpoint(1))
        owner = await take_over(settings.kafka, 0, writer)
        await owner.write({0: b"owner"}, checkpoint(2))
        with pytest.raises(FencedError):
            await zombie.write({0: b"late"}, checkpoint(3))
        found = await restore(settings.kafka, 0)
        assert (found.blocks, found.checkpoint) == ({0: b"owner"}, checkpoint(2))
        await owner.stop()
        await zombie.stop()


@pytest.mark.kafka
async def test_a_state_topic_that_lost_its_head_is_refused_by_name(kafka, tmp_path):
    """Somebody set a retention on it, or deleted records: it is said how many blocks are missing."""
    settings = deployment_on(KafkaSettings(bootstrap=kafka), tmp_path)
    await provision(settings)
    topic = topic_name(Topic.STATE, settings.kafka.namespace)
    async with idempotent_producer(settings.kafka) as producer:
        owner = await take_over(settings.kafka, 0, LogWriter(producer, topic))
        await owner.write({0: b"first", 1: b"second"}, counted(1, 2))
        await owner.write({1: b"newer"}, counted(2, 2))
        await owner.stop()
    assert (await restore(settings.kafka, 0)).blocks == {0: b"first", 1: b"newer"}
    async with admin(settings.kafka) as client:
        policy = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "compact,delete"})
        await client.alter_configs([policy])
        beginning = {TopicPartition(topic, 0): RecordsToDelete(before_offset=2)}
        # refused until the policy has reached the broker's log
        await patiently(
            lambda: client.delete_records(beginning),
            seconds=60.0,
            again=lambda error: isinstance(error, PolicyViolationError),
        )
    with pytest.raises(IncarnationError, match=r"state/0: 1 of 2 blocks of people are there"):
        await restore(settings.kafka, 0)


def counted(applied: int, blocks: int) -> Checkpoint:
    """A row that says how many blocks there are."""
    return msgspec.structs.replace(checkpoint(applied), blocks=blocks)
