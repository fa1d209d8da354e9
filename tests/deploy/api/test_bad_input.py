"""Whatever is wrong with a request, the answer names the field, the value and the remedy."""

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.api.bodies import read_ask, read_events
from schemas.errors import InvalidMessageError
from schemas.settings import IntakeSettings
from tests.deploy.api.conftest import NOW

CLICK = {"type": "click", "event_id": "e-1", "user_id": "u-1", "item_id": "i-1", "ts": NOW}
PURCHASE = CLICK | {"type": "purchase"}


def without(name: str) -> dict[str, object]:
    return {k: v for k, v in CLICK.items() if k != name}


BAD_EVENTS = {
    "empty": (b"", 400, "$", "complete JSON"),
    "not json": (b"{click}", 400, "$", "JSON is malformed"),
    "cut off": (b'{"type":"click"', 400, "$", "complete JSON"),
    "not utf-8": (b"\xff\xfe{}", 400, "$", "malformed"),
    "lone surrogate": (b'{"type":"click","event_id":"\\ud800","a":"bcdef"}', 400, "$", "malformed"),
    "deep nesting": (b"[" * 5_000, 400, "$[0]", "object"),
    "a number": (b"5", 400, "$", "object"),
    "no events": (b"[]", 400, "$", "1 to 1000 events"),
    "too many events": ([CLICK] * 1_001, 400, "$", "1 to 1000 events"),
    "no type": (without("type"), 400, "$.type", "click, purchase"),
    "unknown type": (CLICK | {"type": "clack"}, 400, "$.type", "click, purchase"),
    "our own type": (CLICK | {"type": "decision"}, 400, "$.type", "click, purchase"),
    "no event id": (without("event_id"), 400, "$.event_id", "add the field `event_id`"),
    "no time": (without("ts"), 400, "$.ts", "add the field `ts`"),
    "time in words": (CLICK | {"ts": "now"}, 400, "$.ts", "Expected `int`"),
    "time in seconds": (CLICK | {"ts": NOW // 1000}, 400, "$.ts", "ms since the epoch"),
    "negative time": (CLICK | {"ts": -1}, 400, "$.ts", ">= 0"),
    "future": (CLICK | {"ts": NOW + 3_600_000}, 400, "$.ts", "at most 60 s ahead"),
    "empty user": (CLICK | {"user_id": ""}, 400, "$.user_id", "length"),
    "long item": (CLICK | {"item_id": "x" * 1_025}, 400, "$.item_id", "length"),
    "item is a number": (CLICK | {"item_id": 7}, 400, "$.item_id", "Expected `str`"),
    "negative position": (CLICK | {"position": -1}, 400, "$.position", ">= 0"),
    "quantity 0": (PURCHASE | {"quantity": 0}, 400, "$.quantity", "> 0"),
    "absurd price": (PURCHASE | {"price": 9e11}, 400, "$.price", "at most 1e+09"),
    "huge number": (b'{"type":"purchase","price":1e999}', 400, "$.price", "out of range"),
    "own coordinates": (CLICK | {"source": ["clicks", 0, 0, 5, 0]}, 400, "$.source", "leave it out"),
    "second of two": ([CLICK, CLICK | {"ts": "x"}], 400, "$[1].ts", "Expected `int`"),
    "second from the future": ([CLICK, CLICK | {"ts": NOW + 10**9}], 400, "$[1].ts", "ahead"),
    "second lacks a field": ([CLICK, without("item_id")], 400, "$[1].item_id", "add the field `item_id`"),
    "oversized": (b'{"type":"click","event_id":"' + b"x" * (1 << 20) + b'"}', 413, "$", "1048576 bytes"),
}

BAD_ASKS = {
    "no user": ({}, 400, "$.user_id", "add the field `user_id`"),
    "list of 0": ({"user_id": "u", "k": 0}, 400, "$.k", ">= 1"),
    "list of 1000": ({"user_id": "u", "k": 1_000}, 400, "$.k", "<= 200"),
    "candidates is a word": ({"user_id": "u", "candidates": "tea"}, 400, "$.candidates", "array"),
    "future": ({"user_id": "u", "ts": NOW + 10**8}, 400, "$.ts", "ahead"),
    "oversized": (b" " * ((1 << 20) + 1), 413, "$", "1048576 bytes"),
}


def encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def check(answer: httpx.Response, status: int, field: str, remedy: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"field", "value", "remedy"}
    assert error["field"] == field
    assert error["value"]
    assert remedy in error["remedy"]


@pytest.mark.parametrize(("body", "status", "field", "remedy"), BAD_EVENTS.values(), ids=BAD_EVENTS)
async def test_bad_event(
    client: httpx.AsyncClient, body: object, status: int, field: str, remedy: str
) -> None:
    """A bad event is refused with its field, value and remedy; nothing of the body is written."""
    answer = await client.post(
        "/v1/events", content=encoded(body), headers={"content-type": "application/json"}
    )
    check(answer, status, field, remedy)


@pytest.mark.parametrize(("body", "status", "field", "remedy"), BAD_ASKS.values(), ids=BAD_ASKS)
async def test_bad_ask(client: httpx.AsyncClient, body: object, status: int, field: str, remedy: str) -> None:
    """A bad request for a list is refused with its field, value and remedy."""
    answer = await client.post(
        "/v1/requests", content=encoded(body), headers={"content-type": "application/json"}
    )
    check(answer, status, field, remedy)


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/nowhere", 404, "path"),
        ("DELETE", "/v1/events", 405, "method"),
        ("GET", "/v1/recommendations/nobody", 404, "user"),
        ("GET", "/v1/recommendations/nobody/why/tea", 404, "user"),
        ("POST", "/v1/requests?deadline_ms=soon", 400, "deadline_ms"),
        ("POST", "/v1/requests?deadline_ms=0", 400, "deadline_ms"),
        ("POST", "/v1/requests?deadline_ms=nan", 400, "deadline_ms"),
        ("GET", "/assets/..%2Fpage.py", 404, "path"),
        ("POST", "/act", 400, "cookie"),
    ],
)
async def test_bad_route(client: httpx.AsyncClient, method: str, path: str, status: int, field: str) -> None:
    """Wrong paths, methods and parameters get the same kind of answer."""
    answer = await client.request(method, path, headers={"content-type": "application/json"}, content=b"{}")
    check(answer, status, field, "")


async def test_other_content_types_are_refused(client: httpx.AsyncClient) -> None:
    """What is not declared as JSON is refused, so that a foreign page's form cannot post events."""
    answer = await client.post("/v1/events", content=encoded(CLICK), headers={"content-type": "text/plain"})
    check(answer, 415, "content-type", "application/json")


async def test_without_a_broker_the_answer_says_so(client: httpx.AsyncClient) -> None:
    """A good event that cannot be written is 503, not lost in silence."""
    answer = await client.post("/v1/events", json=CLICK)
    check(answer, 503, "service", "try again")


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever the bytes, reading a body raises our own error and nothing else."""
    for read in (
        lambda: read_events(data, NOW, IntakeSettings()),
        lambda: read_ask(data, NOW, IntakeSettings(), lambda: "r-1", 10),
    ):
        with pytest.raises(InvalidMessageError):
            read()
