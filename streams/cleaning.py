"""Cleaning: what is missing is filled in, what is impossible is refused, clocks and ids are aligned.

* missing: a person without ``user_id`` is known by ``anonymous_id``; an event without an id gets its
  CloudEvents ``ce_id`` or its coordinates; an event without a time gets the broker's.
* clock skew: a time ahead of the broker's by more than is allowed is clamped to the broker's.
* outliers: a price above the limit, a time older than the limit, a share outside 0 to 1 are refused.
* alignment: ids lose surrounding white space, times are whole milliseconds, UTC.

Repeats are recognised later, where the person's state is: by coordinates without limit, by event id
within the stated horizon.
"""

from typing import NamedTuple

import msgspec

from schemas.errors import MISSING, InvalidMessageError
from schemas.ids import MAX_ID_LENGTH, stable_hash
from schemas.settings import IntakeSettings
from streams.mapping import (
    FactType,
    Incoming,
    IncomingFeedback,
    IncomingItem,
    IncomingPurchase,
    IncomingRequest,
)

DAY_MS = 86_400_000

_encode = msgspec.json.Encoder().encode


class Limits(NamedTuple):
    """What intake lets through, in the units of the messages."""

    future_ms: int
    age_ms: int
    price: float

    @classmethod
    def of(cls, settings: IntakeSettings) -> "Limits":
        """From the settings."""
        age = int(settings.max_age_days * DAY_MS)
        return cls(int(settings.max_future_seconds * 1000), age, settings.max_price)


class Place:
    """Where a run of messages comes from, and how their canonical events begin.

    Examples
    --------
    >>> place = Place("click", "clicks", 2, 0)
    >>> place.opening(17, 1), place.event_id(17)
    (b'{"type":"click","source":["clicks",2,0,17,1],', 'clicks/2/0/17')
    """

    __slots__ = ("_head", "_where")

    def __init__(self, kind: FactType, topic: str, partition: int, incarnation: int) -> None:
        self._where = f"{topic}/{partition}/{incarnation}"
        start = b'{"type":"%b","source":[%b,' % (kind.encode(), _encode(topic))
        self._head = start + b"%d,%d," % (partition, incarnation)

    def opening(self, offset: int, index: int = 0) -> bytes:
        """First bytes of the event that message ``offset`` became: its type and its source."""
        return self._head + b"%d,%d]," % (offset, index)

    def event_id(self, offset: int) -> str:
        """An event id for a message without one: the same message, the same id."""
        return f"{self._where}/{offset}"


Clean = tuple[str, list[bytes], bool]
"""What a message became: its person, bytes of its canonical events, whether its time was in the future."""


def clean(
    message: Incoming, place: Place, offset: int, broker_ts: int, limits: Limits, ce_id: str | None = None
) -> Clean:
    """Canonical events of a message, which is cleaned in place and encoded as it stands.

    Parameters
    ----------
    place, offset
        Coordinates of the message; each event gets its index.
    broker_ts
        When the broker received it, ms.
    ce_id
        The CloudEvents header; it wins over the message's own ``event_id``.

    Raises
    ------
    InvalidMessageError
        Names the field, the value and the remedy.
    """
    name = message.user_id or message.anonymous_id
    user = message.user_id = aligned(name, "$.user_id", "send user_id or anonymous_id")
    message.anonymous_id = None
    ts, clamped = message.ts, False
    if ts is None or not -limits.age_ms <= ts - broker_ts <= limits.future_ms:
        message.ts, clamped = clock(ts, broker_ts, limits)
    message.event_id = ce_id or message.event_id or place.event_id(offset)
    if isinstance(message, IncomingItem):
        if message.__class__ is not IncomingItem:
            _refuse_outliers(message, limits)
        if message.item_ids:
            return user, _one_by_one(message, place, offset), clamped
        message.item_id = aligned(message.item_id, "$.item_id", "send item_id or item_ids")
    elif isinstance(message, IncomingRequest):
        message.request_id = message.request_id or message.event_id
    return user, [place.opening(offset) + _encode(message)[1:]], clamped


def _one_by_one(message: IncomingItem, place: Place, offset: int) -> list[bytes]:
    """An event for each of several items."""
    items, message.item_ids = message.item_ids or (), None
    first = message.event_id or ""
    events: list[bytes] = []
    for index, item in enumerate(items):
        message.item_id = aligned(item, "$.item_id", "send item_id or item_ids")
        message.event_id = numbered(first, index) if index else first
        events.append(place.opening(offset, index) + _encode(message)[1:])
    return events


def aligned(text: str | None, field: str, remedy: str) -> str:
    """An id without surrounding white space.

    Examples
    --------
    >>> aligned(" u1 ", "$.user_id", "")
    'u1'
    """
    found = (text or "").strip()
    if not found:
        raise InvalidMessageError(field, MISSING if text is None else text, remedy)
    return found


def clock(ts: int | None, broker_ts: int, limits: Limits) -> tuple[int, bool]:
    """The event's time, and whether it was clamped to the broker's.

    Examples
    --------
    >>> limits = Limits(future_ms=1_000, age_ms=10_000, price=1e9)
    >>> clock(None, 50_000, limits), clock(50_900, 50_000, limits), clock(60_000, 50_000, limits)
    ((50000, False), (50900, False), (50000, True))
    >>> clock(50, 50_000, limits)
    Traceback (most recent call last):
    ...
    schemas.errors.InvalidMessageError: $.ts: 50: older than 10 s before its arrival: send ms since 1970, UTC
    """
    if ts is None:
        return broker_ts, False
    if ts > broker_ts + limits.future_ms:
        return broker_ts, True
    if ts < broker_ts - limits.age_ms:
        age = limits.age_ms // 1000
        raise InvalidMessageError(
            "$.ts", ts, f"older than {age} s before its arrival: send ms since 1970, UTC"
        )
    return ts, False


def numbered(event_id: str, index: int) -> str:
    """The id of a further event of one message; of an id that leaves no room its hash stands in.

    Examples
    --------
    >>> numbered("e1", 2)
    'e1#2'
    >>> len(numbered("x" * 1024, 2))
    18
    """
    own = f"{event_id}#{index}"
    return own if len(own) <= MAX_ID_LENGTH else f"{stable_hash(event_id):016x}#{index}"


def _refuse_outliers(message: IncomingItem, limits: Limits) -> None:
    if isinstance(message, IncomingPurchase) and message.price is not None and message.price > limits.price:
        raise InvalidMessageError("$.price", message.price, f"at most {limits.price:g} per unit")
    if isinstance(message, IncomingFeedback):
        if message.kind in {"rating", "play"} and message.value is None:
            raise InvalidMessageError("$.value", MISSING, f"a {message.kind} has a value")
        if message.kind == "play" and not 0 <= (message.value or 0.0) <= 1:
            raise InvalidMessageError("$.value", message.value, "the share that was played: 0 to 1")
