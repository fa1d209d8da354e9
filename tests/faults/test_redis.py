"""Redis late, killed, silent, full, flushed, slow: events and lists go on, the view comes back by itself."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import httpx
import msgspec
import pytest
import redis

from schemas.recommendations import Recommendation
from schemas.settings import ApiSettings, KafkaSettings, RedisSettings, Settings
from schemas.topics import Topic
from streams.kafka import idempotent_producer
from streams.view import REDIS_TIMEOUT_SECONDS, list_key
from tests.conftest import free_port, wait_for_port
from tests.faults.fleet import serves_all, worked_off
from tests.faults.load import Generator, deployment, in_background
from tests.faults.oracle import judge
from tests.faults.proxy import Proxy
from tests.faults.report import note
from tests.faults.watching import get, metrics, says
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually, read
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(1200)]

NOBODY = "/v1/recommendations/nobody"
SLOW, TOO_SLOW = 0.3, 1.5
"""Seconds each way: an answer in 0.6 s comes in time, one in 3 s is given up after 2 s."""


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
def proxy(server: Server) -> Iterator[Proxy]:
    """Stands before the server and makes it slow."""
    made = Proxy(server.port)
    made.start()
    yield made
    made.stop()


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
        await eventually(lambda: word in says(settings, "redis"), 120)

    def serves_without() -> bool:
        status, body = get(settings.api.port, "/readyz")
        return status == 200 and b"redis.url" in body

    def setbacks() -> float:
        """Losses that the view noticed, and answers that did not come: a poll given up then goes back too."""
        seen = metrics(settings.api.metrics_port)
        return seen.get("redis_view_losses_total", 0) + seen.get("redis_view_failures_total", 0)

    async def recovers_from(fault: str) -> None:
        ended = monotonic()
        await view_says("ok")
        note("fault", name=f"Redis {fault}", recovery_seconds=monotonic() - ended, fell=0)

    await view_says("ConnectionError")  # down at the start
    server.start()
    await recovers_from("late")
    server.kill()
    await view_says("ConnectionError")
    await eventually(lambda: get(settings.api.port, NOBODY)[0] == 404, 120)  # it may be just starting
    await eventually(serves_without, 120)
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
        before = await eventually(setbacks, 120)
        client.flushall()
    await eventually(lambda: setbacks() > before, 120)
    await recovers_from("flushed")


async def furnished(kafka: str, tmp_path: Path, url: str, roles: dict[str, Worker]) -> Settings:
    """A deployment whose view and API find Redis there; its three roles are started."""
    plain = await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    api = ApiSettings(port=free_port(), metrics_port=free_port())
    settings = msgspec.structs.replace(plain, redis=RedisSettings(url=url), api=api)
    quiet = msgspec.structs.replace(settings, api=msgspec.structs.replace(api, metrics_port=0))
    roles |= {verb: Worker(settings, tmp_path / verb, verb) for verb in ("view", "api")}
    roles["stream"] = Worker(quiet, tmp_path / "stream")
    for role in roles.values():
        role.start()
    return settings


async def ends_well(server: Server, generator: Generator, roles: dict[str, Worker]) -> dict[str, float]:
    """The view holds everybody's newest list and no other, nothing is lost; what the view counted."""
    settings = generator.settings
    await worked_off(generator)
    want = await everybodys(settings)
    with server.client() as client:

        def held() -> bool:
            complete = {key: client.hget(key, "list") for key in want} == want
            return complete and client.dbsize() == len(want) + 1  # and the position

        await eventually(held, 120)
    seen: dict[str, float] = await eventually(lambda: metrics(settings.api.metrics_port))
    assert [await asyncio.to_thread(roles[r].stop) for r in ("view", "api", "stream")] == [0, 0, 0]
    found, counts = await judge(settings, generator.sent)
    names = ("redis_view_failures_total", "redis_view_losses_total")
    print(counts | {"people in the view": len(want)} | {name: seen[name] for name in names})
    acquit(found.wrong())
    return seen


async def test_events_and_lists_do_not_depend_on_redis(kafka, tmp_path, server, roles, short):
    """Down, killed, silent, full, flushed under load: nothing is lost, and the view is complete again."""
    settings = await furnished(kafka, tmp_path, server.url, roles)
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
    seen = await ends_well(server, generator, roles)
    assert seen["redis_view_failures_total"] >= 4


async def request(generator: Generator, name: str) -> None:
    """Ask over HTTP: the list that comes is the stream's answer to this request, and nothing older."""
    body = {"user_id": "asks", "request_id": name, "k": 5}
    url = f"http://127.0.0.1:{generator.settings.api.port}/v1/requests?deadline_ms=30000"
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(url, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["trigger_id"] == name
    generator.sent.requests.add(name)


async def catches_up(server: Server, settings: Settings) -> None:
    """Return when the view holds everybody's list of now, or a newer one."""
    want = {key: msgspec.json.decode(value)["ts"] for key, value in (await everybodys(settings)).items()}
    assert want
    with server.client() as client:
        await eventually(lambda: all(int(client.hget(k, "ts") or 0) >= ts for k, ts in want.items()), 30)


async def slowed(server: Server, proxy: Proxy, generator: Generator, delay: float, says_view: str) -> None:
    """Redis late by so much each way: what goes on meanwhile, and how long until the view has caught up."""
    settings, began = generator.settings, monotonic()
    proxy.delay = delay
    await asyncio.to_thread(get, settings.api.port, NOBODY)
    assert monotonic() - began >= min(2 * delay, REDIS_TIMEOUT_SECONDS), "it did not go through the proxy"
    await eventually(lambda: says_view in says(settings, "redis"), 30)
    await asyncio.sleep(4.0)
    await serves_all(generator)
    await request(generator, f"slow-{delay}")
    assert get(settings.api.port, NOBODY)[0] == 404
    assert get(settings.api.port, "/readyz")[0] == 200
    assert says_view in says(settings, "redis")
    if says_view == "ok":
        await catches_up(server, settings)  # slow is no reason to fall behind
    proxy.heal()
    ended = monotonic()
    await catches_up(server, settings)
    await eventually(lambda: says(settings, "redis") == "ok", 30)
    name = f"Redis slow: {1000 * delay:.0f} ms each way"
    note("fault", name=name, recovery_seconds=monotonic() - ended, fell=0)


@pytest.mark.long_form("long form only: takes more than 20 s")
async def test_a_slow_redis_keeps_nobody_waiting(kafka, tmp_path, server, proxy, roles):
    """Late answers, then none in time, under load: lists come from the stream, and the view catches up."""
    server.start()
    url = f"redis://127.0.0.1:{proxy.port}/0"
    settings = await furnished(kafka, tmp_path, url, roles)
    generator = Generator(settings, 28)
    async with (
        idempotent_producer(settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, 4_000, 25.0)),
    ):
        await asyncio.to_thread(roles["stream"].ready)
        await serves_all(generator)
        await eventually(lambda: get(settings.api.port, "/readyz")[0] == 200, 120)
        await catches_up(server, settings)
        await slowed(server, proxy, generator, SLOW, "ok")
        await slowed(server, proxy, generator, TOO_SLOW, "TimeoutError")
        await generator.share_written.wait()
    seen = await ends_well(server, generator, roles)
    assert seen["redis_view_failures_total"] >= 1
