"""Similar items and trends over HTTP: from the learner's newest snapshot, and what is said without one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from deploy.api import related
from deploy.api.app import create_api
from deploy.api.context import ApiContext
from deploy.api.live import LiveView
from deploy.api.related import RelatedItems
from models.engine import Engine
from schemas.catalogue import Item
from schemas.events import Click
from schemas.settings import EngineSettings, ExperimentSettings, LearnerSettings, Settings
from schemas.topics import Topic
from streams.learner import Snapshots
from tests.models.conftest import feed

NOW = 1_800_000_000_000


class Learner:
    """An engine that learns and writes snapshots, as the stream does."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(
            engine=EngineSettings(factors=16, seed=1),
            experiment=ExperimentSettings(holdout=0.0),
            learner=LearnerSettings(directory=str(directory)),
        )
        self.engine = Engine.of(self.settings)
        self.shard = self.engine.open_shard(0)
        self.snapshots = Snapshots(directory, self.settings.kafka.namespace)

    def surge(self, item: str, n: int) -> None:
        """``n`` people click on one item."""
        for _ in range(n):
            at = self.shard.applied + 1
            click = Click(event_id=f"s{at}", user_id=f"s{at}", item_id=item, ts=10**9 + at)
            block = self.engine.observe(self.shard, [click], np.array([at]), broker_ts=np.array([click.ts]))
            self.engine.learn(block)

    def write(self) -> None:
        """A snapshot."""
        self.snapshots.write(self.shard.applied, self.engine.snapshot())


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    """One that has learned 400 events and written nothing."""
    made = Learner(tmp_path / "snapshots")
    feed(made.engine, made.shard)
    return made


@pytest.fixture
async def shop(
    learner: Learner, make_context: Callable[..., ApiContext], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[httpx.AsyncClient, LiveView]]:
    """A client of the application whose view feeds the catalogue; it looks for snapshots at every ask."""
    monkeypatch.setattr(related, "LOOK_SECONDS", 0.0)
    answers = RelatedItems(learner.settings)
    view = LiveView(catalogue=answers.put)
    transport = httpx.ASGITransport(create_api(make_context(related=answers, view=view)))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client, view


def plain(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def describe(view: LiveView, item: Item) -> None:
    view.take(Topic.ITEMS, item.item_id.encode(), msgspec.json.encode(item), NOW, NOW)


async def test_answers_are_the_engines_own(learner, shop) -> None:
    """The same items, scores and parts as the learner's engine gives, of the newest snapshot."""
    client, _ = shop
    learner.write()
    got = await client.get("/v1/items/i10/similar?k=5")
    assert got.status_code == 200
    assert got.json() == plain(learner.engine.similar("i10", 5))
    assert (await client.get("/v1/trending")).json()["items"] == []
    learner.surge("i7", 60)
    learner.write()
    got = await client.get("/v1/trending?k=3")
    assert got.json() == plain(learner.engine.trending(3))
    assert [item["item_id"] for item in got.json()["items"]] == ["i7"]


async def test_the_catalogue_is_obeyed(learner, shop) -> None:
    """Delisted items go at once, described ones come back, an item with a text alone has neighbours."""
    client, view = shop
    learner.write()
    first = (await client.get("/v1/items/i10/similar")).json()["items"][0]["item_id"]
    view.take(Topic.ITEMS, first.encode(), None, NOW, NOW)
    describe(view, Item(item_id="new/1", title="green tea"))
    describe(view, Item(item_id="i3", title="green tea, loose"))
    shown = [item["item_id"] for item in (await client.get("/v1/items/i10/similar?k=200")).json()["items"]]
    assert first not in shown
    got = await client.get("/v1/items/i3/similar?k=200")
    assert {i["item_id"]: i for i in got.json()["items"]}["new/1"]["parts"]["content"] > 0
    describe(view, Item(item_id=first, title="back"))
    shown = [item["item_id"] for item in (await client.get("/v1/items/i10/similar?k=200")).json()["items"]]
    assert first in shown


@pytest.mark.parametrize(
    ("path", "status", "field", "remedy"),
    [
        ("/v1/items/i77/similar", 404, "item", "the nearest are i7, i27, i17"),
        ("/v1/items/i7/similar?k=0", 400, "k", "ask for 1 to 200 items"),
        ("/v1/trending?k=201", 400, "k", "ask for 1 to 200 items"),
        ("/v1/trending?k=many", 400, "k", ""),
    ],
)
async def test_errors_name_the_remedy(learner, shop, path: str, status: int, field: str, remedy: str) -> None:
    """In the one form of all errors."""
    client, _ = shop
    learner.write()
    got = await client.get(path)
    assert got.status_code == status
    assert got.json()["error"]["field"] == field
    assert remedy in got.json()["error"]["remedy"]


async def test_without_a_snapshot_it_says_which_directory(learner, shop) -> None:
    """503 with the setting's name, and 200 as soon as there is one; a damaged one is passed over."""
    client, _ = shop
    got = await client.get("/v1/trending")
    assert got.status_code == 503
    assert "learner.directory" in got.json()["error"]["value"]
    learner.write()
    assert (await client.get("/v1/trending")).status_code == 200
    learner.surge("i7", 1)
    learner.write()
    newest = learner.snapshots.paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-3])
    got = await client.get("/v1/trending")
    assert got.status_code == 200
    assert got.json()["model"] == "r400"


async def test_the_document_describes_them(shop) -> None:
    """OpenAPI has both routes, with our structs as answers."""
    client, _ = shop
    document = (await client.get("/openapi.json")).json()
    for path, kind in (("/v1/items/{item}/similar", "SimilarItems"), ("/v1/trending", "TrendingItems")):
        answer = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert answer["$ref"].endswith(kind)


def test_what_waits_for_a_question_is_bounded_by_bytes(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the bound further items are passed over; a newer description of one takes its place."""
    monkeypatch.setattr(related, "MAX_BYTES", 3_000)
    answers = RelatedItems(learner.settings)
    for n in range(100):
        answers.put(f"i{n % 50}", b"x" * 50)
        assert 0 < answers.size <= 3_000
    before = answers.size
    answers.put("i0", None)
    assert answers.size == before - 50
