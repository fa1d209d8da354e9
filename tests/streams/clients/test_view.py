"""The Redis view: the newest list of everybody, rebuilt whenever Redis lost it, in nobody's way."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
import redis
import redis.asyncio

from schemas.errors import UnavailableError
from schemas.settings import RedisSettings
from schemas.topics import Topic
from streams.view import NullViewObserver, RedisView, connect, list_key, position_key, read_list
from tests.conftest import wait_for_port
from tests.streams.clients.lists import made, record
from tests.streams.clients.room import eventually, furnish, running, write

pytestmark = pytest.mark.redis

TTL = 3600


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved Redis answers late: what it stored and was not believed would be read, and told, again."""
    monkeypatch.setattr("streams.view.REDIS_TIMEOUT_SECONDS", 30.0)


class Facts(NullViewObserver):
    def __init__(self):
        self.stored = self.refused = self.lost = self.failed = 0

    def lists_stored(self, lists):
        self.stored += lists

    def list_refused(self):
        self.refused += 1

    def view_lost(self):
        self.lost += 1

    def redis_failed(self, reason):
        self.failed += 1


@asynccontextmanager
async def viewing(kafka, url: str) -> AsyncIterator[Facts]:
    """A view that is kept until the block ends."""
    facts, stop = Facts(), asyncio.Event()
    settings = RedisSettings(url=url, ttl_seconds=TTL)
    async with running(RedisView(kafka, settings, clock_ms=now, observer=facts).run(stop), stop):
        yield facts


async def shown(kafka, url: str, user: str, surface: str = "home"):
    """What the view says of a person; None while Redis is away."""
    client = connect(RedisSettings(url=url))
    try:
        return await read_list(client, kafka.namespace, user, surface)
    except UnavailableError:
        return None
    finally:
        await client.aclose()


def passed(kafka, url: str) -> int:
    """Records that are behind the position in Redis."""
    with redis.Redis.from_url(url) as client:
        position = client.get(position_key(kafka.namespace)) or b""
    try:
        return sum(msgspec.json.decode(position, type=dict[int, int]).values())
    except msgspec.DecodeError:  # none, or garbage
        return 0


@contextmanager
def server(port: int, folder: Path) -> Iterator[None]:
    """A redis-server on a known port; what it holds ends with it."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server executable on the PATH")
    command = [found, "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for_port(port)
        try:
            yield
        finally:
            process.terminate()


async def test_the_newest_list_is_shown_and_expires(any_broker, redis_url):
    """Each person's newest list per surface, byte for byte the message, with a time to live from its ts."""
    kafka, ts = await furnish(any_broker), now()
    await write(
        kafka,
        Topic.RECOMMENDATIONS,
        [
            record("u1", ts - 5, first="old"),
            record("u2", ts),
            record("u1", ts, first="new"),
            record("u1", ts, surface="mail"),
        ],
    )
    async with viewing(kafka, redis_url):
        await eventually(lambda: passed(kafka, redis_url) == 4)
        assert await shown(kafka, redis_url, "u1") == made("u1", ts, first="new")
        assert await shown(kafka, redis_url, "u1", "mail") == made("u1", ts, surface="mail")
        assert await shown(kafka, redis_url, "nobody") is None
    with redis.Redis.from_url(redis_url) as client:
        key = list_key(kafka.namespace, "home", "u1")
        assert client.hget(key, "list") == record("u1", ts, first="new")[1]
        assert client.pexpiretime(key) == ts + 1000 * TTL


async def test_an_older_list_never_replaces_a_newer_one(any_broker, redis_url):
    """A list that arrives late (a replay, another partition order) loses to the newer one."""
    kafka, ts = await furnish(any_broker), now()
    async with viewing(kafka, redis_url):
        await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts)])
        await eventually(lambda: passed(kafka, redis_url) == 1)
        await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts - 1, first="late"), record("u2", ts)])
        await eventually(lambda: passed(kafka, redis_url) == 3)
        assert await shown(kafka, redis_url, "u2") == made("u2", ts)
        assert await shown(kafka, redis_url, "u1") == made("u1", ts)


async def test_a_list_past_its_life_is_not_shown(any_broker, redis_url):
    """Rebuilding from an old log does not bring expired lists back."""
    kafka, ts = await furnish(any_broker), now()
    await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts - 1000 * TTL - 1), record("u2", ts)])
    async with viewing(kafka, redis_url):
        await eventually(lambda: shown(kafka, redis_url, "u2"))
    assert await shown(kafka, redis_url, "u1") is None


async def test_the_view_comes_back_after_flushall(any_broker, redis_url):
    """FLUSHALL: within a poll the loss is noticed, and every living list is written again."""
    kafka, ts = await furnish(any_broker), now()
    await write(kafka, Topic.RECOMMENDATIONS, [record(f"u{i}", ts + i) for i in range(700)])
    async with viewing(kafka, redis_url) as facts:
        await eventually(lambda: passed(kafka, redis_url) == 700)
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
            await eventually(lambda: len(client.keys()) == 701)
        assert facts.lost == 1
        assert await shown(kafka, redis_url, "u0") == made("u0", ts)


async def test_a_restored_backup_is_caught_up(any_broker, redis_url):
    """Redis goes back to an older state: the view goes on from the position that this state holds."""
    kafka, ts = await furnish(any_broker), now()
    position = position_key(kafka.namespace)
    async with viewing(kafka, redis_url) as facts:
        with redis.Redis.from_url(redis_url) as client:
            await eventually(lambda: client.exists(position))
            old = client.get(position)
            await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts)])
            await eventually(lambda: passed(kafka, redis_url) == 1)
            client.set(position, old)
            client.delete(list_key(kafka.namespace, "home", "u1"))
        await eventually(lambda: shown(kafka, redis_url, "u1"))
        assert facts.lost == 1


async def test_a_restart_reads_only_what_is_new(any_broker, redis_url):
    """The position stands in Redis beside the lists: a new writer goes on there."""
    kafka, ts = await furnish(any_broker), now()
    await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts)])
    async with viewing(kafka, redis_url):
        await eventually(lambda: passed(kafka, redis_url) == 1)
    await write(kafka, Topic.RECOMMENDATIONS, [record("u2", ts)])
    async with viewing(kafka, redis_url) as facts:
        await eventually(lambda: shown(kafka, redis_url, "u2"))
    assert facts.stored == 1


async def test_what_cannot_be_read_is_passed_over(any_broker, redis_url):
    """Garbage on the topic costs itself, not its neighbours; garbage at the position is rebuilt over."""
    kafka, ts = await furnish(any_broker), now()
    with redis.Redis.from_url(redis_url) as client:
        client.set(position_key(kafka.namespace), "garbage")
    await write(kafka, Topic.RECOMMENDATIONS, [(b"x", b"garbage"), (b"y", None), record("u1", ts)])
    async with viewing(kafka, redis_url) as facts:
        await eventually(lambda: passed(kafka, redis_url) == 3)
        assert await shown(kafka, redis_url, "u1") == made("u1", ts)
    assert facts.refused == 2


async def test_redis_may_come_late_and_come_back_empty(any_broker, tmp_path, unused_tcp_port):
    """No Redis at the start, then one, then an empty one: the view is complete each time Redis is there."""
    kafka, ts = await furnish(any_broker), now()
    url = f"redis://127.0.0.1:{unused_tcp_port}/0"
    await write(kafka, Topic.RECOMMENDATIONS, [record("u1", ts)])
    async with viewing(kafka, url) as facts:
        await eventually(lambda: facts.failed > 0)
        for _ in range(2):
            with server(unused_tcp_port, tmp_path):
                assert await eventually(lambda: shown(kafka, url, "u1")) == made("u1", ts)


async def test_a_silent_redis_holds_nobody_back(any_broker, monkeypatch):
    """A Redis that accepts and never answers: the view ends when told to, and a reader gets an error."""
    monkeypatch.setattr("streams.view.REDIS_TIMEOUT_SECONDS", 2.0)
    kafka = await furnish(any_broker)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with viewing(kafka, url) as facts:
            await eventually(lambda: facts.failed > 0)
        client = connect(RedisSettings(url=url))
        with pytest.raises(UnavailableError, match=r"redis.url: TimeoutError"):
            await read_list(client, "", "u1")
        await client.aclose()


def test_the_message_in_redis_is_what_consumers_of_the_topic_read():
    """The stored bytes decode with the public struct."""
    assert msgspec.json.decode(record("u", 5)[1], type=type(made("u", 5))) == made("u", 5)
