"""The API's rungs: reached by taking away the stream, then the person's list, then the learner's file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from deploy.api.app import create_api
from deploy.api.context import ApiContext
from deploy.api.gateway import MAX_WAITING_BYTES
from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from models.experiments import Experiment
from schemas.catalogue import Item
from schemas.popular import SEGMENTS, PopularItem, PopularLists
from schemas.recommendations import Recommendation
from schemas.settings import ExperimentSettings, Settings
from schemas.signals import Arm
from schemas.topics import Topic
from streams.popular import path_of, write
from streams.provision import provision
from tests.conftest import free_port
from tests.deploy.api.conftest import NOW, Filled, listed
from tests.deploy.api.test_serving import PATIENT, click, posted, serving, settings_of, until_ready
from tests.streams.clients.room import eventually
from tests.streams.clients.room import write as append
from tests.streams.test_rungs import Told, worker

Make = Callable[..., ApiContext]
AWAY = "no connection to the broker (the producer has not connected yet)"
CLICKS = 120


def served(context: ApiContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_api(context)), base_url="http://shop.test")


def items(*names: str) -> tuple[PopularItem, ...]:
    return tuple(PopularItem(name, 5.0 - n) for n, name in enumerate(names))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The learner's file: strangers take s-items, those who come back r-items, all of them e-items."""
    segments = {name: items(*(f"{name[0]}{n}" for n in range(5))) for name in SEGMENTS}
    lists = PopularLists(ts=NOW, model="r9", everybody=items("e0", "e1", "e2"), segments=segments)
    path = path_of(str(tmp_path), "")
    write(path, lists)
    return path


def treated() -> str:
    """Somebody who is not in the holdout."""
    experiment = Experiment.of(Settings().experiment)
    return next(f"p{n}" for n in range(99) if experiment.arm_of(f"p{n}") is Arm.TREATMENT)


async def ask(client: httpx.AsyncClient, user: str, **fields: object) -> httpx.Response:
    return await client.post("/v1/requests?deadline_ms=200", json={"user_id": user, "k": 3} | fields)


async def rung_of(client: httpx.AsyncClient, user: str, request_id: str) -> tuple[str, str | None]:
    """Where a list that is not waited for comes from."""
    answer = (await ask(client, user, request_id=request_id)).json()
    return answer["rung"], answer["cause"]


async def whole(client: httpx.AsyncClient, user: str, request_id: str) -> None:
    """Ask, wait, and see that the stream answered in full."""
    body = {"user_id": user, "k": 3, "request_id": request_id}
    answer = await client.post(PATIENT, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    made = msgspec.json.decode(answer.content, type=Recommendation)
    assert (made.rung, made.cause, made.reason, made.unlogged) == ("full", None, None, False)
    assert made.trigger_id == request_id
    assert len(made.items) == 3


def counted(context: ApiContext, rung: str, cause: str) -> float | None:
    labels = {"rung": rung, "cause": cause}
    value: float | None = context.view.observer._degraded.labels(**labels)._value.get()  # type: ignore[attr-defined]
    return value


async def test_the_stream_is_away(make_context: Make, filled: Filled, file: Path) -> None:
    """Rung by rung down, each marked and counted; a list that is young enough is good again."""
    context, user = make_context(), treated()
    async with served(context) as client:
        filled.list(listed(user, "tea", "jam", trigger="old"))
        answer = (await ask(client, user)).json()
        assert (answer["rung"], answer["cause"], answer["reason"]) == ("last-good", "stream", AWAY)
        assert (answer["trigger_id"], answer.get("unlogged")) == ("old", None)
        assert counted(context, "last-good", "stream") == 1

        filled.now = NOW + 86_400_001  # the list is a day old
        answer = (await ask(client, user)).json()
        assert (answer["rung"], answer["cause"]) == ("segment-popular", "stream")
        assert [i["item_id"] for i in answer["items"]] == ["r0", "r1", "r2"]
        answer = (await ask(client, "p-new", request_id="r-7")).json()
        assert [i["item_id"] for i in answer["items"]] == ["s0", "s1", "s2"]
        assert (answer["trigger_id"], answer["unlogged"]) == ("r-7", True)
        assert {i["propensity"] for i in answer["items"]} == {1.0}

        filled.take(Topic.ITEMS, Item(item_id="s1", stock=0), key="s1")
        filled.view.take(Topic.ITEMS, b"s2", None, NOW, NOW)
        assert [i["item_id"] for i in (await ask(client, "p-new")).json()["items"]] == ["s0", "s3", "s4"]
        filled.view.take(Topic.ITEMS, b"s3", None, NOW, NOW)
        answer = (await ask(client, "p-new")).json()
        assert (answer["rung"], [i["item_id"] for i in answer["items"]]) == (
            "global-popular",
            ["e0", "e1", "e2"],
        )
        assert counted(context, "global-popular", "stream") == 1

        filled.now = NOW
        assert (await ask(client, user)).json()["rung"] == "last-good"


@pytest.fixture
def away(tmp_path: Path) -> EmbeddedBroker:
    """A broker that does not run yet."""
    install()
    return EmbeddedBroker(free_port(), log=tmp_path / "broker.log")


async def answers(client: httpx.AsyncClient, user: str) -> bool:
    """Whether anything can stand for this person's list."""
    return (await ask(client, user)).status_code == 200


async def learned(client: httpx.AsyncClient, settings: Settings, app: Any) -> None:
    """Thirty people click, the worker learns it, and what is popular is written down."""
    clicks = [click(f"u{n % 30}", f"e-{n}") | {"item_id": f"i{n * n % 13 % 12}"} for n in range(CLICKS)]
    assert (await posted(client, clicks)).status_code == 202
    await eventually(lambda: app.runtime.engine.log.rows_learned >= CLICKS, 60)
    await eventually(path_of(settings.learner.directory, "").exists, 60)


@pytest.mark.embedded
async def test_the_stream_comes_back(away: EmbeddedBroker, tmp_path: Path) -> None:
    """Broker and worker away, there, away, there: 503 and each lower rung are left by themselves."""
    plain, user = settings_of(away, tmp_path), "ann"
    learner = msgspec.structs.replace(plain.learner, snapshot_seconds=1.0)
    # Worker, API and client share a loop here: that one turns late is no overload.
    lists = msgspec.structs.replace(plain.lists, deadline_ms=60_000.0)
    experiment = ExperimentSettings(holdout=0.0)
    settings = msgspec.structs.replace(plain, learner=learner, lists=lists, experiment=experiment)
    things = [Item(item_id=f"i{n}", title=f"thing {n}") for n in range(12)]
    async with serving(settings) as client:
        refused = await ask(client, user)
        assert refused.status_code == 503
        assert "no connection to the broker" in refused.json()["error"]["value"]
        with away:
            await provision(settings)
            rows = [(item.item_id.encode(), msgspec.json.encode(item)) for item in things]
            await append(settings.kafka, Topic.ITEMS, rows)
            await until_ready(client)
            refused = await ask(client, user)
            assert refused.status_code == 503
            assert "no answer within 200 ms" in refused.json()["error"]["value"]
            async with worker(settings, Told()) as app:
                await learned(client, settings, app)
                await whole(client, user, "r-1")
            assert await rung_of(client, user, "r-2") == ("last-good", "deadline")
            await eventually(lambda: answers(client, "p-new"))
            assert await rung_of(client, "p-new", "r-3") == ("segment-popular", "deadline")
            async with worker(settings, Told()):
                await whole(client, user, "r-4")
                await whole(client, "p-new", "r-5")


async def test_the_holdout_gets_what_everybody_takes(make_context: Make, file: Path) -> None:
    """Its policy is popularity, also here."""
    experiment = Experiment.of(Settings().experiment)
    held = next(f"p{n}" for n in range(99) if experiment.arm_of(f"p{n}") is Arm.HOLDOUT)
    async with served(make_context()) as client:
        answer = (await ask(client, held)).json()
    assert (answer["rung"], answer["arm"], answer["items"][0]["item_id"]) == (
        "global-popular",
        "holdout",
        "e0",
    )


async def test_nothing_is_left(make_context: Make) -> None:
    """No list, no file: 503 with the reason."""
    async with served(make_context()) as client:
        answer = await ask(client, "ann")
        assert answer.status_code == 503
        assert "no connection to the broker" in answer.json()["error"]["value"]


async def test_a_damaged_file_is_as_good_as_none(make_context: Make, file: Path) -> None:
    """And is said, in the log; the answer is an error and no traceback."""
    file.write_bytes(b"\xff{")  # noqa: ASYNC240  two bytes
    async with served(make_context()) as client:
        assert (await ask(client, "ann")).status_code == 503


async def test_what_may_be_listed_is_not_given_up(make_context: Make, filled: Filled, file: Path) -> None:
    """Candidates, filters and queries are answered by their own list or by nothing."""
    filled.list(listed("ann", "tea"))
    async with served(make_context()) as client:
        for field, value in {"candidates": ["cup"], "filters": {"a": "b"}, "query": "tea"}.items():
            assert (await ask(client, "ann", **{field: value})).status_code == 503


async def test_redis_holds_what_this_process_has_not_seen(make_context: Make, file: Path) -> None:
    """A last good list of another process; too old, it does not stand for anything."""
    stored = {"ann": listed("ann", "tea"), "bob": msgspec.structs.replace(listed("bob", "tea"), ts=5)}

    async def look(user: str, surface: str) -> Recommendation | None:
        return stored.get(user)

    async with served(make_context(stored=look)) as client:
        assert (await ask(client, "ann")).json()["rung"] == "last-good"
        assert (await ask(client, "bob")).json()["rung"] in {"segment-popular", "global-popular"}


async def test_the_waiting_room_is_bounded(make_context: Make, filled: Filled) -> None:
    """When it is full a request is answered from below at once, and nothing is held."""
    context = make_context()
    filled.list(listed("ann", "tea"))
    async with served(context) as client:
        context.gateway.waiting = MAX_WAITING_BYTES
        answer = (await ask(client, "ann")).json()
        assert (answer["rung"], answer["cause"]) == ("last-good", "overload")
        context.gateway.waiting = 0
        assert (await ask(client, "ann")).json()["cause"] == "stream"
    assert context.gateway.waiting == 0
