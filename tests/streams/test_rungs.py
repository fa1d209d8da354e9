"""The stream's rungs: reached by taking a dependency away, told, counted, and left again by themselves."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import numpy as np
import pytest

from models.engine import Engine
from schemas.embeddings import Embedding
from schemas.recommendations import Recommendation
from schemas.settings import ExperimentSettings, Settings
from schemas.topics import Topic
from streams.app import create_app, serve, wall_clock
from streams.learner import Learner, Snapshots
from streams.observer import NullObserver
from streams.overload import THRESHOLDS, Level, Overload
from streams.popular import path_of
from tests.faults.load import in_background
from tests.streams.clients.room import eventually, read, write
from tests.streams.test_learner import standing

SECONDS = 60.0
CLICKS = 600
"""Twenty of each person: enough to be in the midst of a session, which is a segment of its own."""


class Told(NullObserver):
    """What the stream counts of its lists."""

    def __init__(self) -> None:
        self.lists: Counter[str] = Counter()
        self.causes: Counter[tuple[str, str]] = Counter()

    def on_list(self, rung: str, seconds: float) -> None:
        self.lists[rung] += 1

    def on_degraded(self, rung: str, cause: str) -> None:
        self.causes[rung, cause] += 1


@asynccontextmanager
async def worker(settings: Settings, told: Told):
    """A worker that serves until the block ends, and then drains."""
    app = create_app(settings, Engine.of(settings), observer=told)
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(app, stop, started.set))
    try:
        await asyncio.wait({task, asyncio.ensure_future(started.wait())}, return_when="FIRST_COMPLETED")
        if task.done():
            task.result()
        await eventually(app.runtime.catalogue.caught_up.is_set, SECONDS)
        yield app
    finally:
        stop.set()
        await asyncio.wait_for(task, SECONDS)


@pytest.fixture
async def shop(deployment: Settings) -> Settings:
    """Twelve items, 600 clicks, nobody in the holdout, and time enough for whole lists."""
    settings = msgspec.structs.replace(
        deployment,
        experiment=ExperimentSettings(holdout=0.0),
        lists=msgspec.structs.replace(deployment.lists, deadline_ms=60_000.0),
    )
    items = [
        (f"i{n}".encode(), msgspec.json.encode({"item_id": f"i{n}", "title": f"t{n}"})) for n in range(12)
    ]
    await write(settings.kafka, Topic.ITEMS, items)
    await write(settings.kafka, Topic.CLICKS, [click(n) for n in range(CLICKS)])
    return settings


def click(n: int) -> tuple[bytes, bytes]:
    user = f"u{n % 30}"
    body = {"event_id": f"e{n}", "user_id": user, "item_id": f"i{n * n % 13 % 12}", "ts": wall_clock()}
    return user.encode(), msgspec.json.encode(body)


async def asked(settings: Settings, name: str, **fields: object) -> Recommendation:
    """The list that answers one more request."""
    body = {"request_id": name, "user_id": "u1", "ts": wall_clock(), "k": 5, **fields}
    await write(settings.kafka, Topic.REQUESTS, [(b"u1", msgspec.json.encode(body))])
    found: list[Recommendation] = []

    async def there() -> bool:
        records = await read(settings.kafka, Topic.RECOMMENDATIONS)
        lists = [msgspec.json.decode(r.value, type=Recommendation) for r in records]
        found[:] = [one for one in lists if one.trigger_id == name]
        return bool(found)

    await eventually(there, SECONDS)
    return found[0]


def mark(shown: Recommendation) -> tuple[str, str | None]:
    assert shown.items
    assert (shown.reason is None) == (shown.rung == "full")
    return shown.rung, shown.cause


async def learned(app: object) -> None:
    runtime = app.runtime

    def done() -> bool:
        return (
            runtime.learner.next_offset > 0
            and runtime.learner.lag == 0
            and runtime.engine.log.rows_learned >= CLICKS
        )

    await eventually(done, SECONDS)


def vectors(count: int) -> list[tuple[bytes, bytes | None]]:
    rng = np.random.default_rng(0)
    rest = {"model": "m", "version": "1", "modality": "text", "text_hash": "", "ts": 0}
    made = [
        Embedding.of(rng.normal(size=4).astype(np.float32), item_id=f"i{n}", **rest) for n in range(count)
    ]
    return [(one.item_id.encode(), msgspec.json.encode(one)) for one in made]


async def test_time_and_vectors(shop: Settings) -> None:
    """A deadline that cannot be met, an encoder whose vectors go: each list says so, the next is whole."""
    told = Told()
    async with worker(shop, told) as app:
        await learned(app)
        assert mark(await asked(shop, "q1")) == ("full", None)
        assert mark(await asked(shop, "q2", deadline_ms=0.001)) == ("segment-popular", "deadline")
        assert mark(await asked(shop, "q3")) == ("full", None)
        content = app.runtime.engine.content
        await write(shop.kafka, Topic.EMBEDDINGS, vectors(12))
        await eventually(lambda: content.n_encoded == 12, SECONDS)
        assert mark(await asked(shop, "q4")) == ("full", None)
        await write(shop.kafka, Topic.EMBEDDINGS, [(key, None) for key, _ in vectors(12)])
        await eventually(lambda: content.n_encoded == 0, SECONDS)
        assert mark(await asked(shop, "q5")) == ("no-vectors", "vectors")
        await write(shop.kafka, Topic.EMBEDDINGS, vectors(12))
        await eventually(lambda: content.n_encoded == 12, SECONDS)
        assert mark(await asked(shop, "q6")) == ("full", None)
    assert told.lists == {"full": 4, "segment-popular": 1, "no-vectors": 1}
    assert told.causes == {("segment-popular", "deadline"): 1, ("no-vectors", "vectors"): 1}


@contextmanager
def held(may_fold: threading.Event) -> Iterator[None]:
    """Nothing is folded in the block, and everything behind it: a worker's end waits 10 s for its learner."""
    may_fold.clear()
    try:
        yield
    finally:
        may_fold.set()


async def test_a_learner_that_stands_still(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its limit everybody gets what is popular; when it has caught up, whole lists."""
    may_fold = threading.Event()
    may_fold.set()
    monkeypatch.setattr(Learner, "_fold", standing(may_fold, Learner._fold))
    quick = msgspec.structs.replace(shop, learner=msgspec.structs.replace(shop.learner, max_lag_seconds=10.0))
    told = Told()
    async with worker(quick, told) as app:
        await learned(app)
        await eventually(lambda: app.runtime.guardrail.trusted, SECONDS)
        assert mark(await asked(quick, "q1")) == ("full", None)
        with held(may_fold):
            await write(quick.kafka, Topic.CLICKS, [click(n) for n in range(CLICKS, CLICKS + 10)])
            await eventually(lambda: not app.runtime.guardrail.trusted, SECONDS)
            assert app.runtime.ladder.why() == "lists are made on the rung global-popular: learner"
            assert mark(await asked(quick, "q2")) == ("global-popular", "learner")
        await eventually(lambda: app.runtime.guardrail.trusted, SECONDS)
        assert app.runtime.ladder.why() is None
        assert mark(await asked(quick, "q3")) == ("full", None)
    assert told.causes == {("global-popular", "learner"): 1}


async def test_models_that_are_gone(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No snapshot is left: the file of what is popular stands in until the log is learned again."""
    async with worker(shop, Told()) as app:
        await learned(app)
        path = path_of(shop.learner.directory, shop.kafka.namespace)
        await eventually(path.exists, SECONDS)
    before = path.read_bytes()
    for snapshot in Snapshots(path.parent, shop.kafka.namespace).paths():
        snapshot.unlink()
    may_fold = threading.Event()
    monkeypatch.setattr(Learner, "_fold", standing(may_fold, Learner._fold))
    told = Told()
    async with worker(shop, told) as app:
        with held(may_fold):
            assert app.runtime.ladder.why() == "lists are made on the rung global-popular: models"
            shown = await asked(shop, "q1")
            assert mark(shown) == ("global-popular", "models")
            assert path.read_bytes() == before
        await learned(app)
        await eventually(lambda: app.runtime.ladder.why() is None, SECONDS)
        assert mark(await asked(shop, "q2")) == ("full", None)
    assert told.causes == {("global-popular", "models"): 1}


async def press(overload: Overload, level: Level) -> None:
    """Something waits for so long that this level is entered, and no higher one, for ever."""
    while True:
        overload.note(THRESHOLDS[level])
        await asyncio.sleep(0.05)


async def test_overload(shop: Settings) -> None:
    """At the last level requests come from the segment; at the second, vectors wait and items do not."""
    told = Told()
    async with worker(shop, told) as app:
        await learned(app)
        overload, engine = app.runtime.overload, app.runtime.engine
        async with in_background(press(overload, Level.REQUESTS)):
            await eventually(lambda: overload.level is Level.REQUESTS, SECONDS)
            assert mark(await asked(shop, "q1")) == ("segment-popular", "overload")
        await eventually(lambda: overload.level <= Level.VECTORS, SECONDS)
        async with in_background(press(overload, Level.VECTORS)):
            await eventually(lambda: app.runtime.catalogue.resting, SECONDS)
            await write(shop.kafka, Topic.EMBEDDINGS, vectors(12))
            item = {"item_id": "new", "title": "new"}
            await write(shop.kafka, Topic.ITEMS, [(b"new", msgspec.json.encode(item))])
            await eventually(lambda: len(engine.content.tokens) == 13, SECONDS)
            shown = await asked(shop, "q2")
            assert mark(shown) == ("full", None)
            assert shown.without == ("explanations",)
            assert engine.content.n_encoded == 0
        await eventually(lambda: engine.content.n_encoded == 12, SECONDS)
        await eventually(lambda: overload.level is Level.NOTHING, SECONDS)
        last = await asked(shop, "q3")
        assert mark(last) == ("full", None)
        assert last.without == ()
    assert told.causes == {("segment-popular", "overload"): 1, ("full", "explanations"): 1}


async def test_a_damaged_file_is_no_floor_to_stand_on(shop: Settings) -> None:
    """It is passed over, and replaced by the next one."""
    path = path_of(shop.learner.directory, shop.kafka.namespace)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    async with worker(shop, Told()) as app:
        assert not app.runtime.popular.stands_in
        await learned(app)
        await eventually(lambda: path.read_bytes() != b"{}", SECONDS)
