"""Redis late, killed, silent, full and flushed: events and lists go on, and the view comes back by itself."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest
import redis

from schemas.recommendations import Recommendation
from schemas.settings import ApiSettings, KafkaSettings, RedisSettings, Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from streams.view import list_key
from tests.conftest import free_port, wait_for_port
from tests.faults.load import Generator, deployment, finished, in_background
from tests.faults.oracle import judge
from tests.faults.report import note
from tests.faults.watching import get, metrics, says
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]

NOBODY = "/v1/recommendations/nobody"


class Server:
    """A redis-server that can be started, killed, and stopped in its tracks; it keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"port": self.port, "save": "", "dir": self._directory, "bind": "127.0.0.1"}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server executable on the PATH")
    made = Server(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def roles(tmp_path: Path) -> Iterator[dict[str, Worker]]:
    """Whatever is put here is ended with the test."""
    made: dict[str, Worker] = {}
    yield made
    for role in made.values():
        if role.runs:
            role.kill()


async def everybodys(settings: Settings) -> dict[str, bytes]:
    """The newest recommendation of every person, from the topic: the message by its key in Redis."""
    newest: dict[str, tuple[int, bytes]] = {}
    for record in await read(settings.kafka, Topic.RECOMMENDATIONS):
        if record.value is not None:
            made = msgspec.json.decode(record.value, type=Recommendation)
            key = list_key(settings.kafka.namespace, made.surface, made.user_id)
            if key not in newest or newest[key][0] <= made.ts:
                newest[key] = made.ts, record.value
    return {key: value for key, (_, value) in newest.items()}


async def suffer(server: Server, settings: Settings) -> None:
    """Each fault of Redis once; what the view and the API say of it, and no longer say after it."""

    async def view_says(word: str) -> None:
        await eventually(lambda: word in says(settings, "redis"), 30)

    async def recovers_from(fault: str) -> None:
        ended = monotonic()
        await view_says("ok")
        note("fault", name=f"Redis {fault}", recovery_seconds=monotonic() - ended, fell=0)

    await view_says("ConnectionError")  # down at the start
    server.start()
    await recovers_from("late")
    server.kill()
    await view_says("ConnectionError")
    await eventually(lambda: get(settings.api.port, NOBODY)[0] == 404)
    await eventually(lambda: get(settings.api.port, "/readyz")[0] == 200)  # it may be just starting
    assert b"redis.url" in get(settings.api.port, "/readyz")[1]
    server.start()
    await recovers_from("killed, and empty")
    server.send(signal.SIGSTOP)
    await view_says("TimeoutError")
    server.send(signal.SIGCONT)
    await recovers_from("silent")
    with server.client() as client:
        client.config_set("maxmemory", "1")  # of bytes: nothing fits
        await view_says("OutOfMemoryError")
        client.config_set("maxmemory", "0")
        await recovers_from("full")
        client.flushall()
    await eventually(lambda: metrics(settings.api.metrics_port)["redis_view_losses_total"] >= 1)
    await recovers_from("flushed")


async def test_events_and_lists_do_not_depend_on_redis(kafka, tmp_path, server, roles, short):
    """Down, killed, silent, full, flushed under load: nothing is lost, and the view is complete again."""
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    api = ApiSettings(port=free_port(), metrics_port=free_port())
    settings = msgspec.structs.replace(plain, redis=RedisSettings(url=server.url), api=api)
    quiet = msgspec.structs.replace(settings, api=msgspec.structs.replace(api, metrics_port=0))
    roles |= {verb: Worker(settings, tmp_path / verb, verb) for verb in ("view", "api")}
    roles["stream"] = Worker(quiet, tmp_path / "stream")
    for role in roles.values():
        role.start()
    generator = Generator(settings, 21)
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(
            generator.see_lists(), generator.write(producer, *((2_000, 10.0) if short else (12_000, 60.0)))
        ),
    ):
        await asyncio.to_thread(roles["stream"].ready)
        await suffer(server, settings)
        await generator.share_written.wait()
    await eventually(lambda: finished(generator), 60)
    want = await everybodys(settings)
    with server.client() as client:

        def held() -> bool:
            complete = {key: client.hget(key, "list") for key in want} == want
            return complete and client.dbsize() == len(want) + 1  # and the position

        await eventually(held, 30)
    seen = metrics(api.metrics_port)
    assert [await asyncio.to_thread(roles[r].stop) for r in ("view", "api", "stream")] == [0, 0, 0]
    found, counts = await judge(settings, generator.sent)
    names = ("redis_view_failures_total", "redis_view_losses_total")
    print(counts | {"people in the view": len(want)} | {name: seen[name] for name in names})
    assert found.wrong() == {}
    assert seen["redis_view_failures_total"] >= 4
