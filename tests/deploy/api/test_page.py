"""The page without a browser: what it says, and what it never contains."""

import re
from collections.abc import Callable
from importlib.resources import files
from xml.etree import ElementTree as ET

import httpx
import msgspec
import pytest

from deploy.api.context import ApiContext
from deploy.api.page import fragments
from deploy.api.page.stream import Viewers
from schemas.reports import Gate
from schemas.topics import Topic
from tests.deploy.api.conftest import NOW, Filled, listed
from tests.deploy.api.test_live import report

ASSETS = files("deploy.api.page") / "assets"
YOU = "visitor-1"
EVIL = '<script>alert("1")</script>'


def parsed(html: str) -> ET.Element:
    """The fragment as a tree: it must be well-formed."""
    return ET.fromstring(f"<div>{html}</div>")  # noqa: S314  our own


def fill(filled: Filled) -> None:
    """A person whose click changed their list, a report of each kind, titles."""
    filled.title("bread", "Rye bread")
    filled.title("tea", "Green tea")
    filled.list(listed(YOU, "salt", "tea", "jam", trigger="r-1"))
    filled.click(YOU, "bread", "click-7", at=NOW)
    filled.list(listed(YOU, "tea", "salt", "oats", trigger="click-7"), at=NOW + 38)
    filled.take(Topic.CAUSAL_REPORTS, report(1, verdict="win"))
    gate = Gate(name="events", passed=False, reason="3 of 50 first rewards")
    withheld = {"estimate": None, "lower": None, "upper": None, "verdict": "insufficient", "gates": (gate,)}
    filled.take(Topic.CAUSAL_REPORTS, report(2, metric="purchase", **withheld))


def test_the_visitor_reads_by_which_event_and_how_fast(filled: Filled) -> None:
    """One sentence: what was done, how long the list took, what changed, and the trigger's id."""
    fill(filled)
    news = fragments.news(filled.view, YOU)
    words = " ".join("".join(parsed(news).itertext()).split())
    assert "You opened Rye bread at" in words
    assert "38 ms later your list had 1 new and 1 risen products" in words
    assert words.endswith("by event click-7")


def test_a_list_shows_moves_parts_and_exact_probabilities(filled: Filled) -> None:
    """Each row has its place, move, parts, probability and buttons; dropped items stay on the left."""
    fill(filled)
    tree = parsed(fragments.list_of(filled.view, YOU, acts=True))
    rows = tree.findall(".//ol[@class='after']/li")
    assert [row.get("data-item") for row in rows] == ["tea", "salt", "oats"]
    moves = [row.find("span[@class='move up']") is not None for row in rows]
    assert moves == [True, False, False]
    assert rows[2].find("span[@class='move new']") is not None
    assert rows[0].find("span[@class='prob']").get("title") == "propensity 0.5"  # type: ignore[union-attr]
    label = rows[0].find("svg").get("aria-label")  # type: ignore[union-attr]
    assert label == "transitions +2.50, diversity -0.50"
    assert len(rows[0].findall(".//button")) == 2
    gone = [li for li in tree.findall(".//ol[@class='before']/li") if li.get("class") == "gone"]
    assert ["".join(li.itertext()) for li in gone] == ["jam"]


def test_bars_share_one_scale(filled: Filled) -> None:
    """Twice the part is twice the width, in whatever row it stands."""
    fill(filled)
    tree = parsed(fragments.list_of(filled.view, YOU, acts=False))
    widths = [float(r.get("width") or 0) for r in tree.findall(".//rect[@class='p0']")]
    assert widths[0] / widths[2] == pytest.approx(2.5 / 0.5, rel=0.02)


def test_a_withheld_figure_is_not_shown(filled: Filled) -> None:
    """Where a gate forbids a figure the page says so, with the reason, and shows no number for it."""
    fill(filled)
    words = "".join(parsed(fragments.causal(filled.view)).itertext())
    assert "+10.0 %" in words
    assert "withheld" in words
    assert "events: 3 of 50 first rewards" in words


def test_nothing_that_producers_send_becomes_markup(filled: Filled) -> None:
    """Titles, ids, kinds, policies and reasons are text, wherever they appear."""
    filled.title("bread", EVIL)
    filled.title(EVIL, EVIL)
    filled.click(EVIL, EVIL, EVIL)
    filled.take(Topic.EVENTS, {"type": EVIL, "event_id": "x", "user_id": EVIL, "kind": EVIL})
    filled.list(listed(EVIL, EVIL, "bread", trigger=EVIL, policy=EVIL, arm=EVIL, rung=EVIL))
    filled.list(listed(EVIL, "bread", EVIL, trigger="t-2", policy=EVIL))
    gate = Gate(name=EVIL, passed=False, reason=EVIL)
    filled.take(Topic.CAUSAL_REPORTS, report(1, gates=(gate,), experiment=EVIL))
    found = fragments.shared(filled.view, NOW) | fragments.personal(filled.view, EVIL, EVIL)
    found["shelf"] = fragments.shelf(filled.view.titles.search("script"), EVIL)
    for name, html in found.items():
        assert "<script" not in html, name
        parsed(html)


def test_an_empty_page_says_what_it_waits_for(filled: Filled) -> None:
    """Before anything has come, every panel has a sentence and nothing fails."""
    for html in (fragments.shared(filled.view, NOW) | fragments.personal(filled.view, YOU, "")).values():
        assert "".join(parsed(html).itertext()).strip()


async def test_the_page_is_whole_without_its_script(client: httpx.AsyncClient, filled: Filled) -> None:
    """The first answer holds everything that is known, and makes the visitor one by a cookie."""
    filled.title("tea", "Green tea")
    answer = await client.get("/?q=green")
    assert "Green tea" in answer.text
    assert "$" not in answer.text.replace("$pulse", "")
    cookie = answer.headers["set-cookie"]
    assert re.match(r"visitor=visitor-[0-9a-f]{12};", cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


async def test_nothing_comes_from_elsewhere(client: httpx.AsyncClient) -> None:
    """No asset, style or script names another host; no inline script or style needs an exception."""
    page = (await client.get("/")).text
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page)
    assert "<script>" not in page
    assert "style=" not in page
    for name in ("page.css", "page.js"):
        assert "http" not in (ASSETS / name).read_text("utf-8")


def test_the_script_is_ours_and_short() -> None:
    """Under 100 lines, and it only ever inserts what the server rendered."""
    script = (ASSETS / "page.js").read_text("utf-8")
    assert len(script.splitlines()) < 100
    assert script.count("innerHTML") == 1


async def test_another_site_cannot_act(client: httpx.AsyncClient) -> None:
    """A form on a foreign page is refused even with the visitor's cookie."""
    answer = await client.post(
        "/act",
        data={"kind": "click", "item_id": "tea"},
        headers={"origin": "https://elsewhere.test", "cookie": "visitor=visitor-1"},
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["field"] == "origin"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"kind": "steal", "item_id": "tea"}, "kind"),
        ({"kind": "click"}, "$.item_id"),
        ({"kind": "click", "item_id": "x" * 2_000}, "$.item_id"),
        ({"kind": "click", "item_id": "tea", "position": "first"}, "position"),
        ({"kind": "click", "item_id": "tea", "position": "9" * 30}, "$.position"),
    ],
)
async def test_bad_deeds(client: httpx.AsyncClient, form: dict[str, str], field: str) -> None:
    """What a visitor's form gets wrong is named."""
    answer = await client.post("/act", data=form, headers={"cookie": "visitor=visitor-1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field


async def test_a_stream_sends_what_changed_and_only_that(
    filled: Filled, make_context: Callable[..., ApiContext]
) -> None:
    """First everything; after the visitor's list has changed, at once the fragments that differ."""
    fill(filled)
    viewers = Viewers(make_context())
    stream = viewers.stream(YOU, "")
    assert (await anext(stream)).startswith(b"retry")
    first = messages(await anext(stream))
    assert first.keys() == {"pulse", "news", "you", "tape", "spotlight", "scores", "causal", "latency"}
    filled.list(listed(YOU, "oats", trigger="click-8"))
    second = messages(await anext(stream))
    assert second.keys() == {"news", "you"}
    assert "click-8" in second["news"]
    await viewers.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_open_pages_are_counted_and_limited(
    filled: Filled, make_context: Callable[..., ApiContext]
) -> None:
    """A closed page leaves its place to the next one."""
    viewers = Viewers(make_context(), limit=1)
    stream = viewers.stream(YOU, "")
    await anext(stream)
    assert viewers.full
    await stream.aclose()
    assert not viewers.full


def messages(data: bytes) -> dict[str, str]:
    """Fragments by id, from server-sent events."""
    found = {}
    for block in data.decode().strip().split("\n\n"):
        kind, _, body = block.partition("\n")
        assert kind == "event: fragment"
        one = msgspec.json.decode(body.removeprefix("data: "))
        found[one["id"]] = one["html"]
    return found
