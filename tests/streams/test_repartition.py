"""Another number of partitions: everybody is who they were, and nothing is counted or answered twice."""

import asyncio

import msgspec
import pytest

from models.engine import Engine
from schemas.errors import IncarnationError, SettingsError, UnavailableError
from schemas.events import Decision, decode_event
from schemas.ids import partition_of, stable_hash
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic
from streams import repartition as module
from streams.app import wall_clock
from streams.kafka import idempotent_producer
from streams.layout import Layout, layout_of, next_generation
from streams.partitions import all_topics
from streams.provision import provision
from streams.repartition import abandon, repartition
from streams.state_store import restore
from tests.faults.load import Generator, deployment, finished, in_background
from tests.faults.stored import kept_of, stored
from tests.models.users.plain import PlainShard
from tests.streams.clients.room import eventually, read, write
from tests.streams.test_worker import ask, click, furnish, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
async def settings(kafka, tmp_path):
    return await deployment(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)


def moved_to(settings: Settings, partitions: int) -> Settings:
    """What the operator sets afterwards."""
    kafka = msgspec.structs.replace(next_generation(settings.kafka), partitions=partitions)
    return msgspec.structs.replace(settings, kafka=kafka)


async def shopping(settings: Settings, generator: Generator, count: int) -> None:
    """A worker serves ``count`` messages, and drains."""
    async with worker(settings), idempotent_producer(settings.kafka) as producer:
        async with in_background(generator.see_lists(), generator.write(producer, count, 4.0)):
            await generator.share_written.wait()
        await eventually(lambda: finished(generator), 90)


def learned(settings: Settings, records: list) -> int:
    """Rows that a learner counts that reads the whole log; a gap would stop it."""
    engine = Engine.of(settings)
    for record in records:
        engine.learn(decode_block(record.value))
    return engine.log.rows_learned


async def compare_with_plain(settings: Settings) -> int:
    """State of every person against a plain fold of ``events`` from its beginning; the people."""
    states, events = await stored(settings.kafka), await read(settings.kafka, Topic.EVENTS)
    total = 0
    for number, state in states.items():
        plain = PlainShard(settings.users.attribution_seconds)
        hashes = {}
        for record in events:
            if record.partition == number and record.offset <= state.applied:
                event = decode_event(record.value)
                plain.apply(event, record.offset, record.timestamp)
                if isinstance(event, Decision):
                    name = event.recommendation.decision_id
                    hashes[name] = stable_hash(name)
        assert plain.people.keys() == state.people.keys()
        for name, person in plain.people.items():
            assert partition_of(name, settings.kafka.partitions) == number
            assert kept_of(person, plain.clock, plain.window, hashes) == state.people[name]
        total += len(state.people)
    return total


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("partitions", [7, 3])
async def test_people_move_with_everything_that_is_known_of_them(settings, partitions):
    """From 4 partitions to more or fewer: state is the plain fold, counts go on, nobody is answered twice."""
    generator = Generator(settings, 11)
    await shopping(settings, generator, 1200)
    signals = await read(settings.kafka, Topic.SIGNALS)
    before, people = learned(settings, signals), await compare_with_plain(settings)
    decisions = await decided(settings)
    assert before == len(generator.sent.interactions)

    planned = await repartition(settings, partitions, now=wall_clock(), dry_run=True)
    assert planned.written is None
    made = await repartition(settings, partitions, now=wall_clock())
    assert made.people == people

    later = moved_to(settings, partitions)
    assert await compare_with_plain(later) == people
    assert len(await read(settings.kafka, Topic.SIGNALS)) == len(signals)
    assert await decided(later) == decisions
    await in_order(later, generator)

    generator.settings = later
    await shopping(later, generator, 600)
    await compare_with_plain(later)
    assert learned(later, await read(later.kafka, Topic.SIGNALS)) == len(generator.sent.interactions)
    assert sorted(await shown_for(later)) == sorted(generator.sent.requests)
    with pytest.raises(IncarnationError, match=f"kafka.generation = 2 and kafka.partitions = {partitions}"):
        async with worker(settings):
            pass
    with pytest.raises(IncarnationError, match="was repartitioned"):
        await repartition(settings, 9, now=wall_clock())


async def decided(settings: Settings) -> set[str]:
    """Ids of all decisions in the log."""
    events = [decode_event(r.value) for r in await read(settings.kafka, Topic.EVENTS)]
    return {e.recommendation.decision_id for e in events if isinstance(e, Decision)}


async def shown_for(settings: Settings) -> list[str]:
    """Which triggers got lists; published again counts again."""
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    return [msgspec.json.decode(r.value, type=Recommendation).trigger_id for r in records if r.value]


async def answered(settings: Settings, request: str) -> bool:
    return request in await shown_for(settings)


async def in_order(settings: Settings, generator: Generator) -> None:
    """Everybody's events stand in the order of sending."""
    number = {event_id: n for n, event_id in enumerate(generator.sent.interactions)}
    last: dict[str, int] = {}
    for record in await read(settings.kafka, Topic.EVENTS):
        event = decode_event(record.value)
        if (at := number.get(getattr(event, "event_id", ""))) is not None:
            assert at > last.get(event.user_id, -1)
            last[event.user_id] = at


async def test_it_refuses_while_somebody_works(settings):
    """A member of the group, an unknown count, the present count: nothing is touched."""
    quick = msgspec.structs.replace(
        settings, kafka=msgspec.structs.replace(settings.kafka, session_seconds=1.0)
    )
    async with worker(settings):
        with pytest.raises(UnavailableError, match="stop all `streamwise stream`"):
            await repartition(quick, 8, now=wall_clock())
    with pytest.raises(SettingsError, match="choose another number"):
        await repartition(settings, 4, now=wall_clock())
    assert settings.kafka.topic(Topic.EVENTS) + "-2" not in await all_topics(settings.kafka)


async def test_a_deployment_that_did_not_drain_is_refused(settings):
    """Learned beyond the checkpoint: the rows would be derived again and counted twice."""
    await furnish(settings)
    users = msgspec.structs.replace(settings.users, checkpoint_seconds=999.0)
    await write(settings.kafka, Topic.CLICKS, [click(f"u{n}", "i1", n) for n in range(50)])
    async with worker(msgspec.structs.replace(settings, users=users)) as app:
        await eventually(lambda: app.runtime.engine.log.rows_learned == 50)

        async def killed(_commit) -> None:
            """It ends without a drain."""

        app.runtime.drain = killed
    with pytest.raises(IncarnationError, match="did not drain"):
        await repartition(settings, 8, now=wall_clock())
    async with worker(settings) as app:
        await eventually(lambda: app.runtime.users.ready)
        await eventually(lambda: checkpoints(settings))
    await repartition(settings, 8, now=wall_clock())
    assert learned(settings, await read(settings.kafka, Topic.SIGNALS)) == 50


async def checkpoints(settings: Settings) -> bool:
    found = [await restore(settings.kafka, n) for n in range(settings.kafka.partitions)]
    return any(f.checkpoint is not None for f in found)


@pytest.mark.slow
async def test_an_interrupted_run_changes_nothing_and_is_run_again(settings, monkeypatch):
    """Cut off before its last record: nobody starts on either topics, until it is run again or given up."""
    await furnish(settings)
    await write(settings.kafka, Topic.CLICKS, [click(f"u{n}", "i1", n) for n in range(50)])
    async with worker(settings) as app:
        await eventually(lambda: app.runtime.engine.log.rows_learned == 50)

    async def cut_off(*_args):
        raise asyncio.CancelledError

    later = moved_to(settings, 8)
    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await repartition(settings, 8, now=wall_clock())
    assert await layout_of(later.kafka) == Layout("building", 8)
    with pytest.raises(IncarnationError, match="begun and has not ended"):
        async with worker(settings):
            pass
    with pytest.raises(IncarnationError, match="its writing has not ended"):
        async with worker(later):
            pass
    assert await abandon(settings)
    assert not await abandon(settings)
    async with worker(settings):
        await write(settings.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: answered(settings, "q1"))
    await repartition(settings, 8, now=wall_clock())
    async with worker(later):
        await write(later.kafka, Topic.REQUESTS, [ask("u1", 2)])
        await eventually(lambda: answered(later, "q2"))
    with pytest.raises(IncarnationError, match="was repartitioned"):
        await abandon(settings)


async def test_no_process_makes_a_generation(kafka, tmp_path):
    """A generation that is set by mistake creates no topics."""
    settings = await deployment(KafkaSettings(bootstrap=kafka), tmp_path)
    with pytest.raises(SettingsError, match="streamwise repartition"):
        await provision(moved_to(settings, 8))
    assert moved_to(settings, 8).kafka.topic(Topic.STATE) not in await all_topics(settings.kafka)
