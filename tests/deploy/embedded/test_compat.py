"""With the work-arounds the embedded broker answers as Kafka does, where we rely on it."""

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer.fetcher import Fetcher

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install

pytestmark = pytest.mark.embedded

TP = TopicPartition("ends", 0)


@pytest.fixture
def bootstrap() -> Iterator[str]:
    install()
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


async def create(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("ends", 1, 1)])
    finally:
        await admin.close()


async def append(bootstrap: str, batches: int, size: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all") as producer:
        for number in range(batches):
            batch = producer.create_batch()
            for i in range(size):
                assert batch.append(key=None, value=f"{number}-{i}".encode(), timestamp=None)
            await (await producer.send_batch(batch, "ends", partition=0))


async def test_the_end_of_a_partition_is_after_its_last_record(bootstrap: str) -> None:
    """``end_offsets`` counts every record of the last batch, not only its first; empty is 0."""
    await create(bootstrap)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=10) as consumer:
        assert await consumer.end_offsets([TP]) == {TP: 0}
        await append(bootstrap, batches=3, size=100)
        assert await consumer.end_offsets([TP]) == {TP: 300}
        assert await consumer.beginning_offsets([TP]) == {TP: 0}


async def test_a_reader_from_the_end_sees_only_what_comes(bootstrap: str) -> None:
    """Seeking to the end goes to the true end, and the next record read is the next one written."""
    await create(bootstrap)
    await append(bootstrap, batches=1, size=50)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=10) as consumer:
        consumer.assign([TP])
        await consumer.seek_to_end(TP)
        assert await consumer.position(TP) == 50
        await append(bootstrap, batches=1, size=1)
        record = await consumer.getone()
        assert (record.offset, record.value) == (50, b"0-0")


async def test_transactions_commit(bootstrap: str) -> None:
    """A transactional producer starts, commits, and a second one of the same id takes over."""
    await create(bootstrap)
    for _ in range(2):
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="t")
        async with producer, producer.transaction():
            await producer.send_and_wait("ends", b"x", partition=0)
    async with AIOKafkaConsumer(
        "ends", bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        values = [(await consumer.getone()).value for _ in range(2)]
    assert values == [b"x", b"x"]


def test_installing_twice_changes_nothing() -> None:
    """The patch does not wrap itself."""
    install()
    first = Fetcher._proc_offset_request
    install()
    assert Fetcher._proc_offset_request is first
