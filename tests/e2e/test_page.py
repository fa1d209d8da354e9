"""The live page in a real browser, on the whole stack: a visitor's click raises its neighbours."""

import asyncio
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from deploy.supervisor import Supervisor
from schemas.catalogue import Item
from schemas.settings import (
    ApiSettings,
    ExperimentSettings,
    KafkaSettings,
    LearnerSettings,
    ListSettings,
    PolicySettings,
    Settings,
)
from streams.kafka import idempotent_producer
from tests.conftest import free_port

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(480)]

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1560,1400"
)
AISLES = ("bread", "milk", "soap", "beans", "fruit", "paint")
TEA, NEIGHBOURS = "jasmine-tea", {"honey", "tea-pot", "tea-strainer"}
OPENED = re.compile(r"You opened Jasmine tea at .*?(\d+ ms|\d+\.\d s) later")
SECONDS = 90.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Broker, stream and API without any exploration, taught by 240 people; the address of the page."""
    directory = tmp_path_factory.mktemp("shop")
    with EmbeddedBroker(log=directory / "broker.log") as broker:
        settings = Settings(
            kafka=KafkaSettings(**broker.settings()),
            policy=PolicySettings(epsilon=0.0, temperature=0.001, thompson=0.0, variety=0.0),
            experiment=ExperimentSettings(holdout=0.0),
            # Teaching must not count as overload, which sheds the list that a click brings.
            lists=ListSettings(deadline_ms=60_000.0),
            learner=LearnerSettings(directory=str(directory / "snapshots"), snapshot_seconds=2.0),
            api=ApiSettings(port=free_port(), metrics_port=free_port()),
        )
        with Supervisor(directory, settings, broker) as roles:
            roles.start("stream")
            roles.start("api")
            page = f"http://127.0.0.1:{settings.api.port}"
            operations = f"http://127.0.0.1:{settings.api.metrics_port}"
            for place in (operations, page):
                until(lambda place=place: ok(f"{place}/readyz"), f"{place} is ready", roles)  # type: ignore[misc]
            asyncio.run(stock(settings.kafka))
            rows = teach(page)
            until(lambda: learned(operations) >= rows, "the models have learned", roles)
            until(lambda: ok(f"{operations}/readyz"), "the stream is ready again", roles)
            yield page


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Headless Chromium with a profile of its own."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


def test_a_click_raises_the_neighbours(shop: str, browser: Any) -> None:
    """By keyboard: find a product, open it; its neighbours rise, and the page says by what and how fast."""
    browser.get(shop)
    until(lambda: len(listed(browser)) == 10, "the first list is shown")
    before = listed(browser)
    assert not NEIGHBOURS & set(before)

    find = browser.find_element("id", "q")
    find.send_keys("jasmine")
    found = f'#shelf [data-item="{TEA}"]'
    until(lambda: browser.find_elements("css selector", found), "the product is found")
    find.send_keys("\ue004\ue007")  # Tab, Enter

    until(lambda: set(listed(browser)) >= NEIGHBOURS, "the neighbours are listed")
    until(lambda: OPENED.search(on_page(browser)["news"]), "the page says by what and how fast")
    visitor = browser.get_cookie("visitor")["value"]
    page, shown = agreeing(browser, f"{shop}/v1/recommendations/{visitor}")
    assert set(page["items"][:4]) >= NEIGHBOURS
    assert page["trigger"].startswith("click-")
    assert [item["item_id"] for item in shown["items"]] == page["items"]
    # Behind them goods of one score stand in any order, and the one drawn before its equal is marked.
    assert not [item for item in shown["items"] if item["item_id"] in NEIGHBOURS and item.get("explored")]


def test_the_page_lives(shop: str, browser: Any) -> None:
    """Events, scores, latencies and the visitor's list appear; nothing is reported on the console."""
    browser.get(shop)
    for panel in ("#tape li", "#scores li", "#you .after li", "#latency .hist rect", "#latency .rungs li"):
        until(lambda panel=panel: browser.find_elements("css selector", panel), panel)  # type: ignore[misc]
    until(lambda: browser.find_element("id", "line").text == "live", "the stream is open")
    assert browser.find_element("id", "news").get_attribute("aria-live") == "polite"
    assert {"fused", "rank fusion", "content"} <= set(texts(browser, "#scores .name"))
    assert any(text.endswith("%") for text in texts(browser, "#scores .overlap"))
    metrics = urllib.request.urlopen(f"{shop}/metrics", timeout=30).read().decode()
    assert 'streamwise_component_overlap_ratio{component="fused"}' in metrics
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_running_shop_says_what_resembles_an_item(shop: str) -> None:
    """From the stream's own snapshot: who is bought together is similar; an even shop has no trend."""
    address = f"{shop}/v1/items/{TEA}/similar?k=3"
    until(lambda: {item["item_id"] for item in similar(address)} == NEIGHBOURS, "the snapshot has it all")
    found = get(address)["items"]
    assert {item["item_id"] for item in found} == NEIGHBOURS
    assert all(item["parts"]["transitions"] > 0 for item in found)
    assert get(f"{shop}/v1/trending")["items"] == []


@pytest.mark.parametrize("width", [380, 900, 1560])
def test_it_fits_every_screen(shop: str, browser: Any, width: int) -> None:
    """Phone, tablet and desk: nothing runs out of the page sideways."""
    device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.get(shop)
    until(lambda: len(listed(browser)) == 10, "the list is shown")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


async def stock(kafka: KafkaSettings) -> None:
    """The catalogue, as a producer of ``items`` writes it."""
    install()
    producer = idempotent_producer(kafka)
    await producer.start()
    for item in [TEA, *NEIGHBOURS, *(f"{aisle}-{n}" for aisle in AISLES for n in range(5))]:
        title = item.replace("-", " ").capitalize()
        value = msgspec.json.encode(Item(item_id=item, title=title, categories=(item.partition("-")[0],)))
        await producer.send("items", value, key=item.encode())
    await producer.stop()


def teach(page: str) -> int:
    """People who buy along the aisles; how many events were sent.

    Who takes jasmine tea takes its three neighbours next, and nobody else does; the other aisles are
    bought more, so that a newcomer's list, which is what is popular, has none of them.
    """
    now = time.time_ns() // 1_000_000 - 3_600_000
    events = []
    for person in range(240):
        if person % 8 == 0:
            basket = [TEA, *sorted(NEIGHBOURS)]
        else:
            aisle = AISLES[person % len(AISLES)]
            basket = [f"{aisle}-{(person + step) % 5}" for step in range(5)]
        for step, item in enumerate(basket):
            events.append(
                {
                    "type": "purchase",
                    "event_id": f"taught-{person}-{step}",
                    "user_id": f"person-{person}",
                    "item_id": item,
                    "ts": now + 60_000 * step + person,
                }
            )
    for start in range(0, len(events), 100):
        answer = post(f"{page}/v1/events", events[start : start + 100])
        assert answer["accepted"] == len(events[start : start + 100])
    return len(events)


def listed(browser: Any) -> list[str]:
    """Item ids of the visitor's list as it is shown."""
    script = "return [...document.querySelectorAll('#you .after li')].map(li => li.dataset.item)"
    found: list[str] = browser.execute_script(script)
    return found


def on_page(browser: Any) -> dict[str, Any]:
    """News, and the visitor's list with its trigger, as the page shows them at one moment."""
    script = """
        const one = (css) => document.querySelector(css);
        return {
            news: one("#news").innerText,
            told: one("#you-trigger")?.innerText,
            trigger: one("#you .facts code")?.title,
            items: [...document.querySelectorAll("#you .after li")].map((li) => li.dataset.item),
        };
    """
    found: dict[str, Any] = browser.execute_script(script)
    return found


def agreeing(browser: Any, address: str) -> tuple[dict[str, Any], Any]:
    """What the page shows and what the API answers, once news, list and answer are of one trigger."""
    found: list[tuple[dict[str, Any], Any]] = []

    def agree() -> bool:
        page, answer = on_page(browser), get(address)
        found.append((page, answer))
        return bool(page["told"] == page["trigger"] == answer["trigger_id"])

    until(agree, "page and API show the same list")
    return found[-1]


def texts(browser: Any, css: str) -> list[str]:
    """What the elements say at one moment: they are replaced whenever the stream brings new ones."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
    found: list[str] = browser.execute_script(script, css)
    return found


def similar(address: str) -> list[dict[str, Any]]:
    """The similar items; none while there is no snapshot."""
    try:
        found: list[dict[str, Any]] = get(address)["items"]
    except OSError:  # it is not written yet
        return []
    return found


def learned(operations: str) -> int:
    """Rows that the folds of the stream have taken."""
    try:
        with urllib.request.urlopen(f"{operations}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:  # the process has ended: whoever waits says why
        return 0
    return int(float(text.split("\nstreamwise_learned_rows_total ")[1].split()[0]))


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def post(url: str, body: object) -> Any:
    """The answer; sent again for a while if the broker, new to the topics, does not take it in time."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503 or time.monotonic() > deadline:
                    raise
        time.sleep(0.2)


def ok(url: str) -> bool:
    try:
        get(url)
    except OSError:  # nobody listens yet, or it is not ready
        return False
    return True


def until(holds: Callable[[], object], what: str, roles: Supervisor | None = None) -> None:
    """Return when it holds; fail when it does not in time, or when a process has ended."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if holds():
            return
        if roles and (gone := roles.ended()):
            pytest.fail(f"while waiting until {what}: {gone}")
        time.sleep(0.1)
    pytest.fail(f"not within {SECONDS:.0f} s: {what}")
