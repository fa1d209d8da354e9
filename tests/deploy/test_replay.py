"""Logs become messages row by row; a bad row is named, and nothing of it is sent."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.cli.main import run
from deploy.embedded.broker import EmbeddedBroker
from deploy.embedded.compat import install
from deploy.replay import BadRowError, Columns, Sent, facts, send
from schemas.errors import InvalidMessageError
from schemas.events import Click, Fact, Feedback, Impression, Purchase
from schemas.settings import KafkaSettings
from streams.kafka import connect

CSV = """user,item,t,type,value
1,tea,1500000000,click,
1,tea,1500000001,purchase,2
2,"soap, green",1500000002500,rating,4.5
2,tea,2017-07-14T02:40:03Z,impression,
"""


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_rows_become_messages(tmp_path: Path) -> None:
    """Types by column, three spellings of time, quantities and ratings; ids from file and line."""
    click, purchase, rating, impression = facts(write(tmp_path, CSV), Columns())
    assert click == Click(event_id="log.csv:2", user_id="1", item_id="tea", ts=1_500_000_000_000)
    assert isinstance(purchase, Purchase)
    assert purchase.quantity == 2.0
    assert isinstance(rating, Feedback)
    assert (rating.item_id, rating.kind, rating.value) == ("soap, green", "rating", 4.5)
    assert isinstance(impression, Impression)
    assert impression.ts == 1_500_000_003_000


def test_json_lines_and_own_column_names(tmp_path: Path) -> None:
    """The same from JSON, under other names; blank lines are nothing."""
    text = '{"who":7,"what":"tea","when":1500000000,"n":3}\n\n{"who":8,"what":"tea","when":1500000001}\n'
    columns = Columns(user="who", item="what", time="when", value="n", kind="purchase", unit="s")
    first, second = facts(write(tmp_path, text, "log.jsonl"), columns)
    assert isinstance(first, Purchase)
    assert isinstance(second, Purchase)
    assert (first.user_id, first.quantity, second.quantity) == ("7", 3.0, 1.0)
    assert second.event_id == "log.jsonl:3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3,tea,yesterday,click,", "log.csv:6: t: 'yesterday': give seconds"),
        ("3,tea,1500000009,stole,", "log.csv:6: type: 'stole': give one of click"),
        ("3,tea,1500000009,purchase,many", "log.csv:6: value: 'many': give a number"),
        ("3,tea,1500000009,purchase,0", "log.csv:6: quantity: 0.0: Expected `float` > 0"),
        (",tea,1500000009,click,", "log.csv:6: user_id: '': Expected `str` of length >= 1"),
        ("3,tea,-9,click,", "log.csv:6: ts: -9000: Expected `int` >= 0"),
        ("3,tea,nan,click,", "log.csv:6: t: 'nan': give a timestamp"),
        ("3,tea", "log.csv:6: {'user': '3'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    """Line, field, value and remedy; exit code 2; the dry run finds it before anything is sent."""
    assert run(["replay", str(write(tmp_path, CSV + line + "\n")), "--dry-run"]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, name: str) -> None:
    """No traceback of the codec."""
    path = tmp_path / name
    path.write_bytes(b"user,item,t\n\xff\xfe\x00,1,2\n")
    with pytest.raises(InvalidMessageError, match=name):
        list(facts(path, Columns()))


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    """The remedy is the option."""
    with pytest.raises(BadRowError, match=r"uid: \['item', 't', 'type', 'user', 'value'\]: .*--user"):
        list(facts(write(tmp_path, CSV), Columns(user="uid")))


def test_no_broker_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and no traceback where nothing listens."""
    monkeypatch.setenv("STREAMWISE_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    assert run(["replay", str(write(tmp_path, CSV))]) == 1
    assert "error:" in capsys.readouterr().err


async def sent_to(
    bootstrap: str, log: list[Fact], speed: float, stop_after: int = 0
) -> tuple[Sent, list[bytes]]:
    """Replay a log, and read back what is in ``clicks``."""
    kafka = KafkaSettings(bootstrap=bootstrap, dialect="tansu")
    stop, rows = asyncio.Event(), 0

    def advance() -> None:
        nonlocal rows
        rows += 1
        if rows == stop_after:
            stop.set()

    sent = await send(kafka, log, speed=speed, advance=advance, stop=stop)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=10)
    await connect(consumer)
    places = [TopicPartition("clicks", p) for p in range(4)]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    found: list[bytes] = []
    while len(found) < sent.rows:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found += [r.value for r in records]
    await consumer.stop()
    return sent, found


def clicks(n: int) -> list[Fact]:
    return [
        Click(event_id=str(i), user_id=f"u{i}", item_id="tea", ts=1_500_000_000_000 + 100 * i)
        for i in range(n)
    ]


@pytest.mark.embedded
async def test_a_replay_keeps_the_pace_and_arrives_whole() -> None:
    """Two seconds of log at speed 4 take half a second; every message arrives as it was."""
    install()
    log = clicks(21)
    with EmbeddedBroker() as broker:
        sent, found = await sent_to(broker.bootstrap, log, 4.0)
    assert sent.seconds >= 0.5
    assert (sent.rows, sent.by_topic) == (21, {"clicks": 21})
    assert sorted(found) == sorted(msgspec.json.encode(fact) for fact in log)


@pytest.mark.embedded
async def test_a_stopped_replay_has_sent_what_it_says() -> None:
    """Ctrl-C after the fifth row: five are on the topic, though the log would last for hours."""
    install()
    with EmbeddedBroker() as broker:
        async with asyncio.timeout(20):
            sent, found = await sent_to(broker.bootstrap, clicks(100_000), 1.0, stop_after=5)
    assert sent.rows == 5
    assert len(found) == 5
