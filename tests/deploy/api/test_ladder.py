"""The API's rungs: reached by taking away the stream, then the person's list, then the learner's file."""

from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from deploy.api.app import create_api
from deploy.api.context import ApiContext
from deploy.api.gateway import MAX_WAITING_BYTES
from models.experiments import Experiment
from schemas.catalogue import Item
from schemas.popular import SEGMENTS, PopularItem, PopularLists
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from schemas.signals import Arm
from schemas.topics import Topic
from streams.popular import path_of, write
from tests.deploy.api.conftest import NOW, Filled, listed

Make = Callable[..., ApiContext]
AWAY = "no connection to the broker (the producer has not connected yet)"


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


def counted(context: ApiContext, rung: str, cause: str) -> float | None:
    labels = {"rung": rung, "cause": cause}
    value: float | None = context.view.observer._degraded.labels(**labels)._value.get()  # type: ignore[attr-defined]
    return value


async def test_the_stream_is_away(make_context: Make, filled: Filled, file: Path) -> None:
    """Rung by rung down, each marked and counted, and up again when what was missing is there."""
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
