"""The HTTP side as a server, on a broker: events written, lists awaited, pages fed, and a good end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.api.server import serve
from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from schemas.errors import UnavailableError
from schemas.events import Click, Request, decode_event
from schemas.ids import partition_of
from schemas.settings import ApiSettings, KafkaSettings, LearnerSettings, Settings
from streams.connection import consumer_options
from streams.kafka import idempotent_producer
from streams.provision import provision
from tests.conftest import free_port
from tests.deploy.api.conftest import listed
from tests.deploy.api.test_page import messages
from tests.streams.clients.room import eventually

pytestmark = pytest.mark.embedded

PARTITIONS = 3
PATIENT = "/v1/requests?deadline_ms=20000"


def settings_of(broker: EmbeddedBroker, directory: Path) -> Settings:
    kafka = KafkaSettings(**broker.settings(), partitions=PARTITIONS)
    learner = LearnerSettings(directory=str(directory / "snapshots"))
    return Settings(kafka=kafka, api=ApiSettings(port=0), learner=learner)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A server, and a client of it."""
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop, listening=listening.set_result))
    await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.result()}", timeout=20) as client:
            yield client
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def until_ready(client: httpx.AsyncClient, status: int = 200) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    """A broker with all topics."""
    install()
    with EmbeddedBroker(log=tmp_path / "broker.log") as broker:
        found = settings_of(broker, tmp_path)
        await provision(found)
        yield found


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A ready server on it."""
    async with serving(settings) as client:
        await until_ready(client)
        yield client


@pytest.fixture
async def answering(settings: Settings) -> AsyncIterator[None]:
    """Somebody who reads ``events`` and publishes a list for every request and click."""
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka))
    producer = idempotent_producer(settings.kafka)
    await consumer.start()
    await producer.start()
    consumer.assign([TopicPartition("events", p) for p in range(PARTITIONS)])

    async def answer() -> None:
        async for record in consumer:
            event = decode_event(record.value)
            if isinstance(event, Request | Click):
                trigger = event.request_id if isinstance(event, Request) else event.event_id
                made = listed(event.user_id, "tea", getattr(event, "item_id", "jam"), trigger=trigger)
                await producer.send("recommendations", msgspec.json.encode(made), partition=record.partition)

    task = asyncio.create_task(answer())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await consumer.stop()
    await producer.stop()


def click(user: str, event_id: str) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    return {"type": "click", "event_id": event_id, "user_id": user, "item_id": "bread", "ts": now}


async def posted(client: httpx.AsyncClient, events: object) -> httpx.Response:
    """The answer to events, sent again for a while if the broker, new to them, does not take them in time."""
    deadline = time.monotonic() + 60
    while True:
        answer = await client.post("/v1/events", json=events)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(0.2)


async def written(settings: Settings) -> list[tuple[int, Any]]:
    """Everything in ``events``: partition and event."""
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka))
    await consumer.start()
    try:
        places = [TopicPartition("events", p) for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[int, Any]] = []
        while len(found) < sum(ends.values()):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [(place.partition, decode_event(r.value)) for r in records]
        return found
    finally:
        await consumer.stop()


async def test_events_land_in_the_log_by_our_partitioner(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """One event or many, each in its person's partition; a repeat is accepted and left to the fold."""
    one = await posted(client, click("ann", "e-1"))
    assert (one.status_code, one.json()) == (202, {"accepted": 1, "event_ids": ["e-1"]})
    many = [click(f"user-{n}", f"e-{n}") for n in range(20)]
    assert (await posted(client, many)).json()["accepted"] == 20
    assert (await posted(client, click("ann", "e-1"))).status_code == 202
    bad = [click("bob", "e-bad"), {"type": "click"}]
    assert (await client.post("/v1/events", json=bad)).status_code == 400
    found = await written(settings)
    # What is sent again after a 503 may stand there more than once.
    assert len(found) >= 22
    sent = {("ann", "e-1")} | {(f"user-{n}", f"e-{n}") for n in range(20)}
    assert {(event.user_id, event.event_id) for _, event in found} == sent
    assert all(partition == partition_of(event.user_id, PARTITIONS) for partition, event in found)
    assert all(event.source is None for _, event in found)


async def test_a_request_is_answered(client: httpx.AsyncClient, answering: None) -> None:
    """The list that comes back names the request; asking again by the same id gives the same list."""
    asked = {"user_id": "ann", "request_id": "r-1"}
    first = await client.post(PATIENT, json=asked)
    assert first.status_code == 200
    assert first.json()["trigger_id"] == "r-1"
    assert (await client.post(PATIENT, json=asked)).json() == first.json()
    assert (await client.get("/v1/recommendations/ann")).json() == first.json()


async def test_many_wait_for_their_own(client: httpx.AsyncClient, answering: None) -> None:
    """Concurrent requests get each their own person's list."""
    asks = [client.post(PATIENT, json={"user_id": f"u-{n}"}) for n in range(30)]
    answers = await asyncio.gather(*asks)
    assert [a.json()["user_id"] for a in answers] == [f"u-{n}" for n in range(30)]


async def test_the_deadline_decides(client: httpx.AsyncClient, settings: Settings) -> None:
    """Nobody answers: 503 with nothing that could stand for the list, last-good with an older one."""
    late = await client.post("/v1/requests?deadline_ms=300", json={"user_id": "ann"})
    assert late.status_code == 503
    assert late.json()["error"]["value"].startswith("'no answer within 300 ms")
    producer = idempotent_producer(settings.kafka)
    await producer.start()
    old = listed("ann", "tea", trigger="old")
    await producer.send_and_wait("recommendations", msgspec.json.encode(old))
    await producer.stop()
    async with asyncio.timeout(60):
        while (await client.get("/v1/recommendations/ann")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answer = (await client.post("/v1/requests?deadline_ms=300", json={"user_id": "ann"})).json()
    assert (answer["trigger_id"], answer["rung"]) == ("old", "last-good")
    assert answer["reason"] == "no answer within 300 ms"
    only = {"user_id": "ann", "candidates": ["cup"]}
    refused = await client.post("/v1/requests?deadline_ms=300", json=only)
    assert refused.status_code == 504


async def test_a_page_sees_its_visitors_click_change_the_list(
    client: httpx.AsyncClient, answering: None
) -> None:
    """From the form to the fragment, over the wire: the first list comes by itself, the click changes it."""
    await client.get("/")
    async with asyncio.timeout(90), client.stream("GET", "/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = fragments(stream)
        await until(seen, "you", "tea")
        answer = await client.post("/act", data={"kind": "click", "item_id": "bread"})
        assert answer.status_code == 204
        news = await until(seen, "news", "bread")
    assert 'id="you-trigger">click-' in news


async def fragments(stream: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Fragments as they come."""
    buffer = ""
    async for text in stream.aiter_text():
        *blocks, buffer = (buffer + text).split("\n\n")
        for block in blocks:
            if block.startswith("event: fragment"):
                for found in messages(block.encode()).items():
                    yield found


async def until(seen: AsyncIterator[tuple[str, str]], name: str, word: str) -> str:
    """The first fragment of this name with this word."""
    async for found, html in seen:
        if found == name and word in html:
            return html
    pytest.fail(f"the stream ended before {name} said {word}")


async def test_a_broker_that_comes_later_and_goes(tmp_path: Path) -> None:
    """Without a broker it is alive, not ready, and says why; with one it serves until that goes."""
    install()
    broker = EmbeddedBroker(free_port(), log=tmp_path / "broker.log")
    settings = settings_of(broker, tmp_path)
    async with serving(settings) as client:
        assert (await client.get("/livez")).status_code == 200
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"].keys() == {"reader", "gateway", "event-loop"}
        assert (await client.post("/v1/events", json=click("ann", "e-1"))).status_code == 503
        with broker:
            await provision(settings)
            await until_ready(client)
            assert (await posted(client, click("ann", "e-1"))).status_code == 202
        await eventually(lambda: silent(client), 60)
        await until_ready(client, 503)
        assert (await client.post("/v1/events", json=click("ann", "e-2"))).status_code == 503


async def silent(client: httpx.AsyncClient) -> bool:
    """Whether the gateway says so of the broker, or what its client said; other checks may say it first."""
    said = (await client.get("/readyz")).json()["checks"]["gateway"]
    return bool(said == "the broker does not answer" or said.startswith("broker: "))


async def test_a_taken_port_is_named(settings: Settings) -> None:
    """The second server on a port ends with the setting to change."""
    port = free_port()
    fixed = msgspec.structs.replace(settings, api=ApiSettings(port=port))
    async with serving(fixed):
        with pytest.raises(UnavailableError, match=f"api.port: 127.0.0.1:{port}"):
            await serve(fixed, asyncio.Event())
