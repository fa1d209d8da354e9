"""A worker that is restarted under load, and has a lasting name, takes nothing from the others."""

import msgspec
import pytest

from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.provision import provision
from tests.streams.clients.room import eventually, read, write
from tests.streams.conftest import deployment_on
from tests.streams.test_repartition import learned, shown_for
from tests.streams.test_worker import ask, click, furnish, worker

pytestmark = pytest.mark.kafka


def named(settings, name: str):
    """The settings of a worker with a lasting name, and snapshots of its own."""
    kafka = msgspec.structs.replace(settings.kafka, instance=name)
    learner = msgspec.structs.replace(settings.learner, directory=f"{settings.learner.directory}-{name}")
    return msgspec.structs.replace(settings, kafka=kafka, learner=learner)


@pytest.mark.timeout(300)
async def test_a_rolling_restart_moves_no_partition(kafka, tmp_path):
    """The other worker keeps its partitions, in the same generation; all is answered and counted once."""
    settings = deployment_on(KafkaSettings(bootstrap=kafka, session_seconds=30.0), tmp_path)
    await provision(settings)
    await furnish(settings)

    async def shop(first: int) -> None:
        clicks = [click(f"u{n % 40}", "i1", n) for n in range(first, first + 100)]
        await write(settings.kafka, Topic.CLICKS, clicks)
        await write(settings.kafka, Topic.REQUESTS, [ask(f"u{n % 40}", n) for n in range(first, first + 20)])

    async def share(*workers) -> None:
        def ready() -> bool:
            return all(len(w.runtime.users.partitions) == 1 and w.runtime.users.ready for w in workers)

        await eventually(ready, 90)

    async with worker(named(settings, "a")) as stays:
        async with worker(named(settings, "b")) as goes:
            await share(stays, goes)
            await shop(0)
            before, generation = list(stays.runtime.users.partitions), stays.generation
            left = [p.number for p in goes.runtime.users.partitions]
        await shop(1000)
        assert stays.runtime.users.partitions == before
        async with worker(named(settings, "b")) as back:
            await share(stays, back)
            await shop(2000)
            asked = {f"q{n}" for first in (0, 1000, 2000) for n in range(first, first + 20)}

            async def answered() -> bool:
                return set(await shown_for(settings)) >= asked

            await eventually(answered, 90)
            assert [p.number for p in back.runtime.users.partitions] == left
            assert stays.runtime.users.partitions == before
            assert stays.generation == back.generation == generation
    assert sorted(await shown_for(settings)) == sorted(asked)
    assert learned(settings, await read(settings.kafka, Topic.SIGNALS)) == 300
