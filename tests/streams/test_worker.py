"""The event process on a real broker: what goes in comes out once, and bad input harms nobody."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from models.engine import Engine
from schemas.control import PolicySwitch
from schemas.deadletters import DeadLetter
from schemas.embeddings import Embedding
from schemas.errors import IncarnationError, InvalidMessageError, UnavailableError
from schemas.events import Click, Decision, Tick, decode_event
from schemas.ids import partition_of
from schemas.recommendations import Recommendation
from schemas.settings import KafkaSettings, Settings
from schemas.signals import decode_block
from schemas.topics import Topic, topic_name
from streams.app import create_app, serve, wall_clock
from streams.encode import EncodeStage
from streams.incarnations import reopen
from streams.kafka import admin
from streams.provision import provision
from streams.state_store import restore
from streams.tail import latest_list
from tests.streams.clients.room import eventually, read, write
from tests.streams.conftest import deployment_on
from tests.workers.encoder.letters import LetterEncoder
from workers.encoder.pool import EncoderPool

pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
"""A worker that is made to fail leaves sockets that aiokafka closes when they are collected."""


def engine_of(settings: Settings) -> Engine:
    return Engine.of(settings)


@asynccontextmanager
async def worker(settings: Settings):
    """A worker that serves until the block ends, and then drains."""
    app = create_app(settings, engine_of(settings))
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(app, stop, started.set))
    try:
        done, _ = await asyncio.wait(
            {task, asyncio.ensure_future(started.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if task in done:
            task.result()
        yield app
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


def click(user: str, item: str, n: int, **more) -> tuple[bytes, bytes]:
    body = {"event_id": f"e{n}", "user_id": user, "item_id": item, "ts": wall_clock(), **more}
    return user.encode(), msgspec.json.encode(body)


async def test_clicks_become_events_and_signals(deployment):
    """Every click is routed to its person's partition and gives one interaction row."""
    clicks = [click(f"u{n % 7}", f"i{n % 5}", n) for n in range(200)]
    await write(deployment.kafka, Topic.CLICKS, clicks)
    async with worker(deployment):
        await eventually(lambda: all_have_rows(deployment, 200))
        events = await read(deployment.kafka, Topic.EVENTS)
        found = [decode_event(r.value) for r in events]
        placed = [(r.partition, e) for r, e in zip(events, found, strict=True) if not isinstance(e, Tick)]
        assert all(partition == partition_of(e.user_id, 2) for partition, e in placed)
        assert {e.event_id for e in found if isinstance(e, Click)} == {f"e{n}" for n in range(200)}


async def all_have_rows(settings: Settings, count: int) -> bool:
    blocks = [decode_block(r.value) for r in await read(settings.kafka, Topic.SIGNALS)]
    return sum(len(b.interactions) for b in blocks) == count


async def decisions_of(settings: Settings) -> list[Decision]:
    found = [decode_event(r.value) for r in await read(settings.kafka, Topic.EVENTS)]
    return [e for e in found if isinstance(e, Decision)]


async def lists_of(settings: Settings) -> list[Recommendation]:
    records = await read(settings.kafka, Topic.RECOMMENDATIONS)
    return [msgspec.json.decode(r.value, type=Recommendation) for r in records]


async def furnish(settings: Settings) -> None:
    """A catalogue of twelve items."""
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"t{n}"})) for n in range(12)
    ]
    await write(settings.kafka, Topic.ITEMS, items)


def ask(user: str, n: int) -> tuple[bytes, bytes]:
    body = {"event_id": f"r{n}", "request_id": f"q{n}", "user_id": user, "ts": wall_clock(), "k": 3}
    return user.encode(), msgspec.json.encode(body)


async def answered(settings: Settings, requests: set[str]) -> bool:
    return {one.trigger_id for one in await lists_of(settings)} >= requests


async def test_each_request_gets_one_list_that_was_logged_first(deployment):
    """Lists equal their logged decisions, and reading these back asks for no further list."""
    await furnish(deployment)
    await write(deployment.kafka, Topic.CLICKS, [click(f"u{n % 7}", f"i{n % 12}", n) for n in range(60)])
    async with worker(deployment) as app:
        # before anything is learned, lists are those of a shop that opens
        await eventually(lambda: app.runtime.engine.log.rows_learned == 60)
        await write(deployment.kafka, Topic.REQUESTS, [ask(f"u{n % 7}", n) for n in range(20)])
        await eventually(lambda: answered(deployment, {f"q{n}" for n in range(20)}))
    logged, shown = await decisions_of(deployment), await lists_of(deployment)
    assert len(logged) == len(shown) == 20
    by_id = {d.recommendation.decision_id: d.recommendation for d in logged}
    assert all(by_id[one.decision_id] == one for one in shown)
    assert [(one.rung, one.reason) for one in shown if len(one.items) != 3] == []


async def test_lists_of_restricted_requests_say_so(deployment):
    """Candidates, filters and queries mark their lists; a plain request's list is the person's newest."""
    await furnish(deployment)
    asked = {"candidates": ["i1", "i2"], "filters": {"category": "c1"}, "query": "tea", "plain": None}
    async with worker(deployment):
        for name, value in asked.items():
            body = {"request_id": name, "user_id": "u1", "k": 3} | ({name: value} if value else {})
            await write(deployment.kafka, Topic.REQUESTS, [(b"u1", msgspec.json.encode(body))])
            await eventually(lambda name=name: answered(deployment, {name}))
    assert {one.trigger_id: one.restricted for one in await lists_of(deployment)} == {
        name: name != "plain" for name in asked
    }
    newest = await latest_list(deployment.kafka, "u1")
    assert newest is not None
    assert newest.trigger_id == "plain"


async def test_a_restarted_worker_goes_on_where_the_log_says(deployment):
    """After a drain and a restart nothing is decided, counted or signalled again."""
    await furnish(deployment)
    await write(deployment.kafka, Topic.CLICKS, [click(f"u{n % 7}", f"i{n % 12}", n) for n in range(100)])
    await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 1)])
    async with worker(deployment):
        await eventually(lambda: answered(deployment, {"q1"}))
        await eventually(lambda: all_have_rows(deployment, 100))
    before = len(await read(deployment.kafka, Topic.SIGNALS))
    async with worker(deployment) as app:
        await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 2)])
        await eventually(lambda: answered(deployment, {"q2"}))
        await eventually(lambda: len(app.runtime.users.partitions) == 2 and app.runtime.users.ready)
        people = sum(len(p.shard) for p in app.runtime.users.partitions)
        clicks = sum(
            p.shard.counts_of(f"u{n}").get("click", 0) for p in app.runtime.users.partitions for n in range(7)
        )
    assert (people, clicks) == (7, 100)
    assert len(await decisions_of(deployment)) == 2
    blocks = [decode_block(r.value) for r in (await read(deployment.kafka, Topic.SIGNALS))[before:]]
    assert sum(len(b.interactions) for b in blocks) == 0


async def test_a_checkpoint_in_slices_is_one_state(deployment, monkeypatch):
    """Whatever comes while blocks are encoded: blocks and row of a checkpoint are the fold of one prefix."""
    monkeypatch.setattr("streams.pace.SLICE_SECONDS", 0.0)  # a slice for each block
    people, rounds = 3000, 4
    hasty = msgspec.structs.replace(
        deployment, users=msgspec.structs.replace(deployment.users, checkpoint_seconds=0.05)
    )
    async with worker(hasty):
        for n in range(rounds):
            clicks = [click(f"u{u}", f"i{(u + n) % 12}", n * people + u) for u in range(people)]
            await write(hasty.kafka, Topic.CLICKS, clicks)
            for partition in range(2):
                await compare_with_a_fold(hasty, partition)
        await eventually(lambda: all_are_kept(hasty, people * rounds))
    assert await all_are_kept(hasty, people * rounds)
    async with worker(hasty) as app:  # takes over both partitions at once, a block at a time
        await eventually(lambda: len(app.runtime.users.partitions) == 2 and app.runtime.users.ready)
        assert sum(len(p.shard) for p in app.runtime.users.partitions) == people


async def all_are_kept(settings: Settings, clicks: int) -> bool:
    """Whether so many are in the newest checkpoints."""
    return sum([await compare_with_a_fold(settings, partition) for partition in range(2)]) == clicks


async def compare_with_a_fold(settings: Settings, partition: int) -> int:
    """The newest checkpoint of a partition, person by person; the clicks in it."""
    found = await restore(settings.kafka, partition)
    if found.checkpoint is None:
        return 0
    kept, fold = engine_of(settings).open_shard(partition), engine_of(settings).open_shard(partition)
    kept.load_checkpoint(found.checkpoint.shard)
    for block in found.blocks.values():
        kept.load_block(block)
    log = [r for r in await read(settings.kafka, Topic.EVENTS) if r.partition == partition]
    log = [r for r in log if r.offset <= found.checkpoint.applied]
    offsets, times = np.array([r.offset for r in log]), np.array([r.timestamp for r in log])
    events = [decode_event(r.value) for r in log]
    fold.apply(events, offsets, times)
    assert len(kept) == len(fold)
    people = {e.user_id for e in events if isinstance(e, Click)}
    assert all(kept.counts_of(u) == fold.counts_of(u) for u in people)
    return sum(kept.counts_of(u)["click"] for u in people)


BAD = {
    Topic.CLICKS: b'{"user_id": 7, "item_id": "a"}',
    Topic.PURCHASES: b'{"user_id": "u", "item_id": "a", "price": "dear"}',
    Topic.IMPRESSIONS: b'{"user_id": "u"}',
    Topic.FEEDBACK: b"\xff\xfe",
    Topic.REQUESTS: b'{"user_id": "u", "k": 100000}',
    Topic.USERS: b"[]",
    Topic.EVENTS: b'{"type": "click"}',
    Topic.ITEMS: b'{"item_id": 5}',
    Topic.EMBEDDINGS: b'{"item_id": "i1"}',
}


async def test_what_cannot_be_read_is_kept_and_harms_nobody(deployment):
    """Bad and oversized messages of every topic become dead letters; their good neighbours pass."""
    huge = msgspec.json.encode({"user_id": "u", "item_id": "a", "session_id": "x" * (1 << 20)})
    for topic, value in BAD.items():
        await write(deployment.kafka, topic, [(b"u1", value)])
    await write(deployment.kafka, Topic.CLICKS, [(b"u1", huge), click("u1", "i1", 1)])
    async with worker(deployment):

        async def kept() -> bool:
            return len(await read(deployment.kafka, Topic.DEAD_LETTERS)) >= len(BAD) + 1

        await eventually(kept)
        await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: answered(deployment, {"q1"}))
    letters = await read(deployment.kafka, Topic.DEAD_LETTERS)
    assert sorted(r.value for r in letters) == sorted([*BAD.values(), huge])
    assert all(r.key == b"u1" for r in letters)
    for letter in letters:
        why = DeadLetter.from_headers(letter.headers)
        assert why.field
        assert why.offset >= 0
        assert why.stage == {"events": "users"}.get(why.topic.split(".")[1], "intake")
    assert {e.event_id for e in map(decode_event_of, await read(deployment.kafka, Topic.EVENTS)) if e} >= {
        "e1"
    }


def decode_event_of(record):
    try:
        event = decode_event(record.value)
    except InvalidMessageError:
        return None
    return event if isinstance(event, Click) else None


async def test_a_bad_item_is_one_dead_letter_whoever_reads_it(deployment):
    """Intake, the catalogue and the encoder read it, one says so; a restart says nothing again."""
    bad = (b"i1", b'{"item_id": "i1", "title": 5}')
    await write(deployment.kafka, Topic.ITEMS, [bad])
    pool = EncoderPool([LetterEncoder()], clock=time.perf_counter)
    stop = asyncio.Event()
    encoding = asyncio.create_task(EncodeStage(deployment.kafka, pool).run(stop))

    async def letters() -> int:
        return len(await read(deployment.kafka, Topic.DEAD_LETTERS))

    async def done() -> bool:
        return await committed_of(deployment, Topic.ITEMS, partitions=1) == 1

    async with worker(deployment) as one:
        await eventually(one.runtime.catalogue.caught_up.is_set)
        await eventually(letters)
        await eventually(done)
    stop.set()
    await encoding
    await asyncio.to_thread(pool.close)
    async with worker(deployment) as again:
        await eventually(again.runtime.catalogue.caught_up.is_set)
        await eventually(lambda: again.runtime.users.ready)
    assert await letters() == 1


async def test_a_tombstone_of_a_vector_removes_it_at_once(deployment):
    """Not at the next restart."""
    vector = Embedding.of(
        np.ones(4, np.float32), item_id="i1", model="m", version="1", modality="text", text_hash="", ts=0
    )
    async with worker(deployment) as app:
        content = app.runtime.engine.content
        await write(deployment.kafka, Topic.EMBEDDINGS, [(b"i1", msgspec.json.encode(vector))])
        await eventually(lambda: content.n_encoded == 1)
        await write(deployment.kafka, Topic.EMBEDDINGS, [(b"i1", None)])
        await eventually(lambda: content.n_encoded == 0)


@pytest.mark.kafka
async def test_dead_letters_that_cannot_be_written_stop_the_worker(kafka, tmp_path):
    """A poison message that dead-letters refuses is neither dropped nor committed: the worker ends."""
    deployment = deployment_on(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    await provision(deployment)
    async with admin(deployment.kafka) as client:
        name = topic_name(Topic.DEAD_LETTERS, deployment.kafka.namespace)
        limit = ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "500"})
        await client.alter_configs([limit])
    await write(deployment.kafka, Topic.CLICKS, [(b"u", b"x" * 2000)])
    with pytest.raises(UnavailableError, match="dead-letters"):
        async with worker(deployment) as app:
            await asyncio.wait([app.runtime.failed], timeout=60)
    assert await committed_of(deployment, Topic.CLICKS) == 0


async def committed_of(settings: Settings, topic: Topic, partitions: int | None = None) -> int:
    async with admin(settings.kafka) as client:
        name = topic_name(topic, settings.kafka.namespace)
        numbers = range(settings.kafka.partitions if partitions is None else partitions)
        partitions = [TopicPartition(name, p) for p in numbers]
        found = await client.list_consumer_group_offsets(settings.kafka.group, partitions=partitions)
    return sum(max(0, known.offset) for known in found.values())


@pytest.mark.parametrize("junk", [None, b"", b"SWB1junk"], ids=["tombstone", "empty", "junk"])
async def test_junk_on_the_signals_log_harms_nobody(deployment, junk):
    """What is no block is passed over by the learner, and lists go on."""
    await furnish(deployment)
    async with worker(deployment) as app:
        await write(deployment.kafka, Topic.SIGNALS, [(b"control", junk)])
        await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: answered(deployment, {"q1"}))
        await eventually(lambda: app.runtime.learner.lag == 0 and app.runtime.learner.corrupt == 1)


async def test_a_switch_of_policy_is_obeyed_from_the_next_batch(deployment):
    """A control row of the signals log changes who serves; a stale one changes nothing."""
    await furnish(deployment)
    async with worker(deployment) as app:
        await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 1)])
        await eventually(lambda: answered(deployment, {"q1"}))
        name = deployment.experiment.name
        switches = [PolicySwitch(name, e, e + 1, "safe", "a test", ts=wall_clock()) for e in (0, 5)]
        await app.runtime.signals.control(tuple(switches))
        await eventually(lambda: app.runtime.learner.lag == 0 and app.runtime.engine.policy.view.epoch == 1)
        await write(deployment.kafka, Topic.REQUESTS, [ask("u1", 2)])
        await eventually(lambda: answered(deployment, {"q2"}))
    epochs = {one.trigger_id: one.epoch for one in await lists_of(deployment)}
    assert epochs == {"q1": 0, "q2": 1}


async def test_a_second_worker_takes_its_share(deployment):
    """Both live through the rebalance, and both go on."""
    async with worker(deployment) as one:
        await eventually(lambda: len(one.runtime.users.partitions) == 2 and one.runtime.users.ready)
        async with worker(deployment) as two:
            await eventually(lambda: two.runtime.users.partitions and two.runtime.users.ready)

            def shared() -> bool:
                return sorted(p.number for w in (one, two) for p in w.runtime.users.partitions) == [0, 1]

            await eventually(shared)  # at the end of a rebalance one may hear of it before the other
            assert not one.runtime.failed.done()


async def test_an_idle_partition_is_told_the_time(deployment):
    """Without events, ticks are appended, so that windows close by records."""
    async with worker(deployment):

        async def ticked() -> bool:
            found = [decode_event(r.value) for r in await read(deployment.kafka, Topic.EVENTS)]
            return sum(isinstance(e, Tick) for e in found) >= 2

        await eventually(ticked)


@pytest.mark.kafka
async def test_a_topic_that_was_recreated_is_named(kafka, tmp_path):
    """Offsets of the former life mean nothing in the new one: the worker refuses to start, and says why.

    (The embedded broker lets nobody set offsets of a group that once had members.)
    """
    deployment = deployment_on(KafkaSettings(bootstrap=kafka, session_seconds=6.0), tmp_path)
    await provision(deployment)
    await write(deployment.kafka, Topic.CLICKS, [click(f"u{n}", "i1", n) for n in range(50)])
    async with worker(deployment):

        async def committed() -> bool:
            return await committed_of(deployment, Topic.CLICKS) == 50

        await eventually(committed)
    name = topic_name(Topic.CLICKS, deployment.kafka.namespace)
    async with admin(deployment.kafka) as client:
        await client.delete_topics([name])

        async def gone() -> bool:
            return name not in await client.list_topics()

        await eventually(gone)
    await provision(deployment)
    await write(deployment.kafka, Topic.CLICKS, [click(f"u{n}", "i2", 1000 + n) for n in range(80)])
    with pytest.raises(IncarnationError, match="streamwise topics --reopen"):
        async with worker(deployment):
            pass
    await reopen(deployment, name)
    async with worker(deployment):

        async def taken() -> bool:
            found = [decode_event(r.value) for r in await read(deployment.kafka, Topic.EVENTS)]
            return sum(isinstance(e, Click) and e.source.incarnation == 1 for e in found) == 80

        await eventually(taken)
