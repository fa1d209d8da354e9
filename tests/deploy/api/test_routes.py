"""Lists, their reasons, and what every answer carries."""

from collections.abc import Callable

import httpx
import msgspec

from deploy.api.app import create_api
from deploy.api.context import ApiContext
from deploy.api.security import HEADERS
from schemas.recommendations import Recommendation
from tests.deploy.api.conftest import Filled, listed


async def test_newest_list(client: httpx.AsyncClient, filled: Filled) -> None:
    """The newest list of a person is returned whole, bit for bit."""
    filled.list(listed("u", "tea", "jam", trigger="t-1"))
    newest = listed("u", "jam", "tea", trigger="t-2")
    filled.list(newest)
    answer = await client.get("/v1/recommendations/u")
    assert msgspec.json.decode(answer.content, type=Recommendation) == newest


async def test_surfaces_are_apart(client: httpx.AsyncClient, filled: Filled) -> None:
    """A list for the mail is not a list for the home page."""
    filled.list(listed("u", "tea", surface="mail"))
    assert (await client.get("/v1/recommendations/u")).status_code == 404
    assert (await client.get("/v1/recommendations/u?surface=mail")).json()["surface"] == "mail"


async def test_ids_of_any_kind(client: httpx.AsyncClient, filled: Filled) -> None:
    """User and item ids with spaces and other alphabets can be asked for."""
    filled.list(listed("Žofie 7", "čaj & med"))
    answer = await client.get("/v1/recommendations/%C5%BDofie%207/why/%C4%8Daj%20%26%20med")
    assert answer.json()["item_id"] == "čaj & med"


async def test_why(client: httpx.AsyncClient, filled: Filled) -> None:
    """Why an item is listed: parts that add up to the score, history in words, exact probability."""
    filled.title("bread", "Rye bread")
    filled.list(listed("u", "tea", "jam"))
    why = (await client.get("/v1/recommendations/u/why/jam")).json()
    assert sum(why["parts"].values()) == why["score"]
    assert why["propensity"] == 0.5
    assert why["sentence"] == (
        "transitions +1.50, diversity -0.50; because of Rye bread; chosen with probability 0.5"
    )


async def test_why_of_an_item_that_is_not_listed(client: httpx.AsyncClient, filled: Filled) -> None:
    """The answer names the items that could be asked for."""
    filled.list(listed("u", "tea", "jam"))
    answer = await client.get("/v1/recommendations/u/why/salt")
    assert answer.status_code == 404
    assert "tea, jam" in answer.json()["error"]["remedy"]


async def test_the_redis_view_is_asked_second(make_context: Callable[..., ApiContext]) -> None:
    """A person whom this process has not seen is looked up in the view."""

    async def stored(user: str, surface: str) -> Recommendation:
        return listed(user, "tea", surface=surface)

    transport = httpx.ASGITransport(create_api(make_context(stored=stored)))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.get("/v1/recommendations/u9")).json()["user_id"] == "u9"


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    """Answers, errors and assets alike; and no answer invites other origins."""
    for path in ("/", "/livez", "/nowhere", "/assets/page.css", "/openapi.json", "/metrics"):
        answer = await client.get(path, headers={"origin": "https://elsewhere.test"})
        assert HEADERS.items() <= dict(answer.headers).items(), path
        assert "access-control-allow-origin" not in answer.headers


async def test_preflights_allow_nothing(client: httpx.AsyncClient) -> None:
    """A foreign page may not ask to post JSON."""
    answer = await client.options(
        "/v1/events",
        headers={"origin": "https://elsewhere.test", "access-control-request-method": "POST"},
    )
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_openapi_describes_bodies_and_errors(client: httpx.AsyncClient) -> None:
    """The document has our structs as bodies, and every reference resolves."""
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["oneOf"][1]["type"] == "array"
    assert {"Click", "Purchase", "Impression", "Feedback", "Request", "Ask", "ErrorBody"} <= schemas.keys()
    text = msgspec.json.encode(document).decode()
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= schemas.keys()
    assert "cdn" not in text


async def test_answers_are_measured_by_route_not_by_value(filled: Filled, client: httpx.AsyncClient) -> None:
    """The label is the route's template: no id reaches the metrics."""
    await client.get("/v1/recommendations/somebody")
    registry = filled.view.observer._http.collect()  # type: ignore[attr-defined]
    routes = {sample.labels["route"] for metric in registry for sample in metric.samples}
    assert routes == {"/v1/recommendations/{user}"}
