"""SIGTERM to any role at any time: status 0 in time, nothing half-written, nothing to be done again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from schemas.settings import ApiSettings, KafkaSettings, RedisSettings, Settings
from streams.app import DRAIN_SECONDS
from streams.kafka import admin, idempotent_producer
from streams.logs import members_of
from tests.conftest import free_port
from tests.faults.fleet import serves_all, settle
from tests.faults.load import Generator, deployment, in_background
from tests.faults.report import note
from tests.faults.watching import get, says
from tests.faults.worker import Worker
from tests.streams.clients.room import eventually
from tests.verdict import acquit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

GRACE_SECONDS = DRAIN_SECONDS + 10.0
"""What an orchestrator gives a process by default: the drain, and the end of all clients."""
RATE, LOAD_SECONDS = 200, 4.0
"""Events a second, and for how long around each SIGTERM."""
SLOW_RATE, LATE_SECONDS = 40, 0.3
"""Events a second where the broker is slow, and by how much all is late on its way there and back."""
PATIENT_SECONDS = 900.0
"""For shared models that never come: longer than this test may take."""


@pytest.fixture
async def settings(kafka: str, tmp_path: Path) -> Settings:
    return await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)


@pytest.fixture
def roles() -> Iterator[list[Worker]]:
    """Whatever is put here is ended with the test."""
    made: list[Worker] = []
    yield made
    for role in made:
        if role.runs:
            role.kill()


def add(roles: list[Worker], settings: Settings, directory: Path, verb: str = "stream") -> Worker:
    roles.append(Worker(settings, directory / f"{verb}-{len(roles)}", verb))
    return roles[-1]


@asynccontextmanager
async def loaded(generator: Generator, rate: int = RATE, trickle: int = 20) -> AsyncIterator[None]:
    """Events come while the block runs; after a while only a trickle."""
    count = round(rate * LOAD_SECONDS)
    async with (
        idempotent_producer(generator.settings.kafka) as producer,
        in_background(generator.see_lists(), generator.write(producer, count, LOAD_SECONDS, rate=trickle)),
    ):
        yield
        await generator.share_written.wait()


async def ends(role: Worker) -> float:
    """SIGTERM; seconds until it has ended, with status 0 and within the grace period."""
    told = monotonic()
    role.process.send_signal(signal.SIGTERM)
    status = await asyncio.to_thread(role.wait, GRACE_SECONDS)
    assert status == 0, f"status {status}\n{role.log.read_text()[-3000:]}"
    note("fault", name="SIGTERM", recovery_seconds=monotonic() - told, fell=0)
    return monotonic() - told


async def test_in_the_middle_of_load(settings, roles, tmp_path, short):
    """Again and again: everything counts once, and whoever comes next decides on nothing again."""
    kafka = msgspec.structs.replace(settings.kafka, session_seconds=60.0)  # a stall costs nobody partitions
    settings = msgspec.structs.replace(settings, kafka=kafka)
    worker, generator, took = add(roles, settings, tmp_path), Generator(settings, 51), []
    for n in range(2 if short else 6):
        worker.start()
        await asyncio.to_thread(worker.ready)
        async with loaded(generator):
            await serves_all(generator)
            await asyncio.sleep(0.13 * n)
            took.append(round(await ends(worker), 1))
    worker.start()
    wrong, counts = await settle(generator, roles)
    print({"ended after seconds": took})
    acquit(wrong)
    assert counts["decided_twice"] == 0


@pytest.mark.long_form("long form only: takes more than 40 s")
async def test_while_the_broker_is_slow(one, roles, tmp_path):
    """300 ms to the broker, 300 ms back: it drains in time, and its heir decides on nothing again."""
    settings = await deployment(KafkaSettings(bootstrap=one.bootstrap, session_seconds=6.0), tmp_path)
    through = msgspec.structs.replace(settings.kafka, bootstrap=one.proxied)
    slow = add(roles, msgspec.structs.replace(settings, kafka=through), tmp_path)
    heir, generator, took = add(roles, settings, tmp_path), Generator(settings, 55), []
    for _ in range(3):
        one.proxies[1].heal()
        slow.start()
        await asyncio.to_thread(slow.ready)
        one.proxies[1].delay = LATE_SECONDS
        async with loaded(generator, SLOW_RATE, SLOW_RATE):
            await serves_all(generator)
            took.append(round(await ends(slow), 1))
    heir.start()
    wrong, counts = await settle(generator, roles)
    print({"ended after seconds": took})
    acquit(wrong)
    assert counts["decided_twice"] == 0


async def rebalances(kafka: KafkaSettings, newcomer: Worker) -> None:
    """Return when the group is between two generations, or its two members have just left that.

    The group prepares until the elder's next heartbeat, which may come at once: who looks now and then may
    see it stable with one member, and next stable with two.
    """
    async with admin(kafka) as client:

        async def joined() -> bool:
            assert newcomer.runs, newcomer.said()
            (response,) = await client.describe_consumer_groups([kafka.group])
            (group,) = response.to_object()["groups"]
            return group["state"] != "Stable" or len(group["members"]) == 2

        await eventually(joined, 120)


@pytest.mark.parametrize("leaves", ["the elder", "the newcomer"])
async def test_while_the_group_rebalances(settings, roles, tmp_path, leaves, short):
    """A second worker joins; one of both is told to end at that moment, the other one serves all."""
    if short and leaves == "the newcomer":
        pytest.skip("long form only: the other case is in the short form")
    elder, newcomer = (add(roles, settings, tmp_path) for _ in range(2))
    generator = Generator(settings, 52)
    elder.start()
    await asyncio.to_thread(elder.ready)
    newcomer.start()
    async with loaded(generator):
        await rebalances(settings.kafka, newcomer)
        took = await ends(elder if leaves == "the elder" else newcomer)
        await serves_all(generator)
    wrong, _ = await settle(generator, roles)
    print({f"{leaves} ended after seconds": round(took, 1)})
    acquit(wrong)


def watched(settings: Settings) -> Settings:
    """The same with a port of its own to ask for readiness."""
    return msgspec.structs.replace(settings, api=ApiSettings(port=free_port(), metrics_port=free_port()))


async def test_while_it_waits_for_its_first_models(settings, roles, tmp_path):
    """No learner has published any yet: it ends at once, and has joined no group."""
    learner = msgspec.structs.replace(
        settings.learner, mode="shared", arena=str(tmp_path / "arena"), wait_seconds=PATIENT_SECONDS
    )
    waiting = watched(msgspec.structs.replace(settings, learner=learner))
    worker = add(roles, waiting, tmp_path)
    worker.start()
    await eventually(lambda: "no models published yet" in says(waiting, "learner"), 120)
    print({"ended after seconds": round(await ends(worker), 1)})
    assert await members_of(settings.kafka) == []


async def test_every_other_role_under_load(settings, roles, tmp_path, redis_url):
    """API, view, encoder, auditor and learner, all at work: no file is left half-written."""
    shared = msgspec.structs.replace(settings.learner, mode="shared", arena=str(tmp_path / "arena"))
    base = msgspec.structs.replace(settings, learner=shared, redis=RedisSettings(url=redis_url))
    verbs = ("learn", "api", "view", "encode", "audit")
    by_verb = {verb: watched(base) for verb in verbs}
    others = {verb: add(roles, of_role, tmp_path, verb) for verb, of_role in by_verb.items()}
    stream, generator = add(roles, base, tmp_path), Generator(settings, 54)
    for role in roles:
        role.start()
    for verb, role in others.items():
        api = by_verb[verb].api
        port = api.port if verb == "api" else api.metrics_port
        assert role.runs, role.log.read_text()[-2000:]
        await eventually(lambda port=port: get(port, "/readyz")[0] == 200, 150)
    async with loaded(generator):
        await serves_all(generator)
        took = await asyncio.gather(*(ends(role) for role in others.values()))
        await serves_all(generator)
    wrong, _ = await settle(generator, [stream])
    print(dict(zip(verbs, (round(seconds, 1) for seconds in took), strict=True)))
    acquit(wrong)
    assert half_written(tmp_path) == []


def half_written(directory: Path) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.suffix == ".draft"]
