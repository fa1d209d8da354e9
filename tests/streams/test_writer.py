"""Appending: order is the order of ``put``, futures tell the truth, a failure stops everything behind it."""

import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.errors import UnavailableError
from schemas.topics import Topic, topic_name
from streams.kafka import idempotent_producer
from streams.writer import LogWriter, Outgoing
from tests.streams.clients.room import read


async def test_records_stand_in_the_order_in_which_they_were_put(deployment):
    """Small runs, large runs and single large records keep one order per partition."""
    runs = [[Outgoing(b"k", b"%d.%d" % (n, i)) for i in range(n % 50)] for n in range(120)]
    runs.append([Outgoing(b"k", b"x" * 900_000), Outgoing(b"k", b"last")])
    async with idempotent_producer(deployment.kafka) as producer:
        writer = LogWriter(producer, topic_name(Topic.EVENTS, deployment.kafka.namespace))
        await asyncio.gather(*(writer.put(1, run) for run in runs))
        assert writer.bytes_waiting == 0
        await writer.stop()
    found = [r.value for r in await read(deployment.kafka, Topic.EVENTS)]
    assert found == [out.value for run in runs for out in run]


class Breaks:
    """A producer that fails when a batch is handed to it, or never answers, as ``how`` says."""

    def __init__(self, real, how):
        self.create_batch = real.create_batch
        self._how = how

    async def send_batch(self, batch, topic, *, partition):
        if self._how == "raises":
            raise KafkaTimeoutError
        if self._how == "breaks":
            raise AssertionError("a defect of the client")
        future = asyncio.get_running_loop().create_future()
        if self._how == "gives up":
            future.cancel()
        return future


@pytest.mark.parametrize("how", ["raises", "breaks", "gives up"])
async def test_nobody_waits_for_ever(deployment, how):
    """Whatever becomes of a batch inside the client, those who wait for it hear of it."""
    async with idempotent_producer(deployment.kafka) as producer:
        writer = LogWriter(Breaks(producer, how), topic_name(Topic.EVENTS, deployment.kafka.namespace))
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError, match=writer.topic):
                await writer.put(0, [Outgoing(None, b"only")])
        with pytest.raises(UnavailableError):
            writer.put(0, [Outgoing(None, b"later")])
        await writer.stop()


async def test_a_record_that_cannot_be_packed_harms_nobody_in_silence(deployment):
    """Who came before it in the same batch hears of it, too."""
    async with idempotent_producer(deployment.kafka) as producer:
        writer = LogWriter(producer, topic_name(Topic.EVENTS, deployment.kafka.namespace))
        both = [writer.put(0, [Outgoing(None, value)]) for value in (b"good", "not bytes")]
        async with asyncio.timeout(5):
            found = await asyncio.gather(*both, return_exceptions=True)
        assert [type(error) for error in found] == [UnavailableError] * 2
        await writer.stop()


async def test_what_is_on_its_way_when_the_writer_stops_says_so(deployment):
    """Nobody can tell whether it landed: that is no success."""
    async with idempotent_producer(deployment.kafka) as producer:
        silent = Breaks(producer, "is silent")
        writer = LogWriter(silent, topic_name(Topic.EVENTS, deployment.kafka.namespace))
        sent = writer.put(0, [Outgoing(None, b"only")])
        await asyncio.sleep(0.05)
        await writer.stop()
        with pytest.raises(UnavailableError, match="the writer was stopped"):
            await sent


class Refuses:
    """A producer whose second batch is refused: what a broker may do, and a real one seldom does."""

    def __init__(self, real):
        self.real = real
        self.batches = 0

    def create_batch(self):
        return self.real.create_batch()

    async def send_batch(self, batch, topic, *, partition):
        self.batches += 1
        if self.batches < 2:
            return await self.real.send_batch(batch, topic, partition=partition)
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KafkaTimeoutError())
        return future


async def test_after_a_failure_nothing_more_is_taken(deployment):
    """What was behind the failure fails too, and later puts are refused: no hole is ever jumped."""
    async with idempotent_producer(deployment.kafka) as producer:
        writer = LogWriter(Refuses(producer), topic_name(Topic.EVENTS, deployment.kafka.namespace))
        await writer.put(0, [Outgoing(None, b"first")])
        second = writer.put(0, [Outgoing(None, b"second")])
        with pytest.raises(UnavailableError):
            await second
        with pytest.raises(UnavailableError):
            writer.put(0, [Outgoing(None, b"third")])
        with pytest.raises(UnavailableError):
            await writer.room()
        await writer.stop()


async def test_room_waits_while_too_much_is_on_its_way(deployment):
    """The byte bound holds whoever asks for room back until acknowledgements have come."""
    async with idempotent_producer(deployment.kafka) as producer:
        topic = topic_name(Topic.EVENTS, deployment.kafka.namespace)
        writer = LogWriter(producer, topic, max_bytes=10_000)
        landed = writer.put(0, [Outgoing(None, b"x" * 20_000)])
        assert writer.bytes_waiting > 10_000
        await writer.room()
        assert landed.done() or writer.bytes_waiting < 10_000
        await landed
        await writer.stop()
