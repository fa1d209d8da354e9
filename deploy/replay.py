"""Logs of what people did, read from tables and sent to Kafka at a pace.

Every row becomes one message of the topic of its type.  Its ``event_id`` comes from the file's name and
the row's number, so a log that is replayed twice counts once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec
from aiokafka import AIOKafkaProducer

from deploy.tables import Row, rows
from schemas.errors import InvalidMessageError
from schemas.events import Click, Fact, Feedback, Impression, Purchase
from schemas.settings import KafkaSettings
from schemas.topics import Topic, topic_name
from streams.connection import client_options
from streams.kafka import connect
from streams.tasks import closed

Unit = Literal["auto", "s", "ms", "us", "iso"]
Kind = Literal["click", "purchase", "impression", "rating"]
UNITS: tuple[str, ...] = get_args(Unit)
KINDS: tuple[str, ...] = get_args(Kind)
TOPICS = {
    "click": Topic.CLICKS,
    "purchase": Topic.PURCHASES,
    "impression": Topic.IMPRESSIONS,
    "rating": Topic.FEEDBACK,
}
FLUSH_EVERY = 500


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which column means what, and what a row is.

    Parameters
    ----------
    user, item, time
        Columns of the ids and of the timestamp.
    value
        Column of the quantity (purchases) or rating (ratings); "" if there is none.
    kind
        What every row is; a column named ``kind_column`` overrides it row by row.
    unit
        Of the timestamp; ``"auto"`` takes text that is no number for ISO 8601, and tells seconds,
        milliseconds and microseconds apart by size.
    """

    user: str = "user"
    item: str = "item"
    time: str = "t"
    value: str = "value"
    kind: Kind = "click"
    kind_column: str = "type"
    unit: Unit = "auto"


class BadRowError(InvalidMessageError):
    """A row of a log that is no message: the message's error, and the line it stands on."""

    def __init__(self, place: str, error: InvalidMessageError) -> None:
        super().__init__(error.field, error.value, error.remedy)
        self.args = (f"{place}: {error}",)


def facts(path: Path, columns: Columns) -> Iterator[Fact]:
    """The log's rows as messages.

    Raises
    ------
    InvalidMessageError
        Names line, column and value of the first row that is not one.
    """
    for number, row in rows(path):
        try:
            yield fact(row, columns, f"{path.name}:{number}")
        except InvalidMessageError as error:
            raise BadRowError(f"{path}:{number}", error) from error


def fact(row: Row, columns: Columns, event_id: str) -> Fact:
    """One row as a message.

    Examples
    --------
    >>> fact({"user": "7", "item": "tea", "t": "1500000000"}, Columns(), "log.csv:2")
    Click(event_id='log.csv:2', user_id='7', ts=1500000000000, ..., item_id='tea', ...)
    """
    kind = str(row.get(columns.kind_column) or columns.kind)
    if kind not in KINDS:
        raise InvalidMessageError(columns.kind_column, kind, f"give one of {', '.join(KINDS)}")
    fields: Row = {
        "event_id": event_id,
        "user_id": _cell(row, columns.user),
        "item_id": _cell(row, columns.item),
        "ts": _millis(row, columns.time, columns.unit),
    }
    value = _number(row, columns.value)
    if kind == "purchase" and value is not None:
        fields["quantity"] = value
    if kind == "rating":
        fields |= {"kind": "rating", "value": value}
    types: dict[str, type[Fact]] = {
        "click": Click,
        "purchase": Purchase,
        "impression": Impression,
        "rating": Feedback,
    }
    try:
        return msgspec.convert({"type": _tag(kind), **fields}, types[kind])
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        raise InvalidMessageError(name or "row", fields.get(name, row), message) from error


def _tag(kind: str) -> str:
    return "feedback" if kind == "rating" else kind


def _cell(row: Row, column: str) -> str:
    if column not in row:
        raise InvalidMessageError(column, sorted(row), "no such column: name it by --user, --item or --time")
    return str(row[column])


def _number(row: Row, column: str) -> float | None:
    text = row.get(column)
    if text is None or text == "":
        return None
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise InvalidMessageError(column, text, "give a number") from error


def _millis(row: Row, column: str, unit: Unit) -> int:
    """A timestamp as milliseconds since the epoch.

    Examples
    --------
    >>> _millis({"t": "2017-01-01T12:00:00Z"}, "t", "auto"), _millis({"t": 1483272000}, "t", "auto")
    (1483272000000, 1483272000000)
    """
    text = _cell(row, column)
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is None and unit in {"auto", "iso"}:
        return _iso(column, text)
    if number is None or unit == "iso" or not abs(number) < 1e18:
        remedy = f"give a timestamp ({unit}); --unit is one of {', '.join(UNITS)}"
        raise InvalidMessageError(column, text, remedy)
    if unit == "auto":
        unit = "s" if number < 1e11 else "ms" if number < 1e14 else "us"
    return round(number * {"s": 1000.0, "ms": 1.0, "us": 0.001}[unit])


def _iso(column: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidMessageError(column, text, "give seconds since the epoch, or ISO 8601") from error
    return round(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class Sent(msgspec.Struct, frozen=True):
    """What a replay did.

    Parameters
    ----------
    first_ts, last_ts
        Of the log, ms; None for an empty one.
    """

    rows: int
    seconds: float
    by_topic: dict[str, int]
    first_ts: int | None
    last_ts: int | None


async def send(
    kafka: KafkaSettings,
    log: Iterable[Fact],
    *,
    speed: float,
    advance: Callable[[], None],
    stop: asyncio.Event,
) -> Sent:
    """Send a log in its order.

    Parameters
    ----------
    speed
        1 replays in the time that it took, 60 an hour in a minute, 0 as fast as the broker takes it.
    advance
        Called after each row.
    stop
        Ends the replay early; what was sent is sent.
    """
    producer = AIOKafkaProducer(**client_options(kafka), linger_ms=5, acks="all", enable_idempotence=True)
    await connect(producer)
    started, counts, first, last = time.monotonic(), dict[str, int](), None, None
    try:
        for number, item in enumerate(log):
            first = item.ts if first is None else first
            last = item.ts
            due = started + (item.ts - first) / 1000 / speed if speed else 0.0
            if await _wait(due, stop):
                break
            topic = topic_of(item)
            await producer.send(
                topic_name(topic, kafka.namespace), msgspec.json.encode(item), key=item.user_id.encode()
            )
            counts[topic.value] = counts.get(topic.value, 0) + 1
            advance()
            if number % FLUSH_EVERY == 0:
                await asyncio.sleep(0)
        await producer.flush()
    finally:
        await closed(producer.stop())
    return Sent(sum(counts.values()), round(time.monotonic() - started, 3), counts, first, last)


async def _wait(due: float, stop: asyncio.Event) -> bool:
    """Wait until a monotonic second; True if stopped."""
    left = due - time.monotonic()
    if left <= 0:
        return stop.is_set()
    try:
        async with asyncio.timeout(left):
            await stop.wait()
    except TimeoutError:  # due
        return False
    return True


def topic_of(item: Fact) -> Topic:
    """Where a message goes."""
    return {
        Click: Topic.CLICKS,
        Purchase: Topic.PURCHASES,
        Impression: Topic.IMPRESSIONS,
        Feedback: Topic.FEEDBACK,
    }[type(item)]
