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

from schemas.errors import MISSING, InvalidMessageError
from schemas.events import Click, Event, Feedback, Impression, Purchase, Request, Source
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


class Clean(NamedTuple):
    """The canonical events of one message, and whether its time was clamped."""

    events: list[Event]
    clamped: bool


def clean(
    message: Incoming,
    kind: FactType,
    *,
    source: Source,
    broker_ts: int,
    limits: Limits,
    ce_id: str | None = None,
) -> Clean:
    """Canonical events of a message.

    Parameters
    ----------
    source
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
    user = aligned(message.user_id or message.anonymous_id, "$.user_id", "send user_id or anonymous_id")
    ts, clamped = clock(message.ts, broker_ts, limits)
    event_id = ce_id or message.event_id or coordinates(source)
    if isinstance(message, IncomingRequest):
        return Clean([_request(message, event_id, user, ts, source)], clamped)
    if not isinstance(message, IncomingItem):
        raise TypeError(f"no canonical event for {type(message).__name__}")
    _refuse_outliers(message, limits)
    items = message.item_ids or (message.item_id,)
    events: list[Event] = []
    for index, item in enumerate(items):
        item_id = aligned(item, "$.item_id", "send item_id or item_ids")
        own = event_id if index == 0 else numbered(event_id, index)
        place = (
            source
            if index == 0
            else Source(source.topic, source.partition, source.incarnation, source.offset, index)
        )
        events.append(_about_item(message, kind, own, user, ts, item_id, place))
    return Clean(events, clamped)


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


def coordinates(source: Source) -> str:
    """An event id for a message without one: the same message, the same id."""
    return f"{source.topic}/{source.partition}/{source.incarnation}/{source.offset}"


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


def _request(message: IncomingRequest, event_id: str, user: str, ts: int, source: Source) -> Request:
    return Request(
        event_id=event_id,
        user_id=user,
        ts=ts,
        surface=message.surface,
        session_id=message.session_id,
        source=source,
        request_id=message.request_id or event_id,
        k=message.k,
        query=message.query,
        candidates=message.candidates,
        filters=message.filters,
    )


_SIMPLE: dict[FactType, type[Click] | type[Impression]] = {"click": Click, "impression": Impression}


def _about_item(
    message: IncomingItem, kind: FactType, event_id: str, user: str, ts: int, item: str, source: Source
) -> Event:
    if isinstance(message, IncomingPurchase):
        return Purchase(
            event_id=event_id,
            user_id=user,
            ts=ts,
            surface=message.surface,
            session_id=message.session_id,
            source=source,
            item_id=item,
            quantity=message.quantity,
            price=message.price,
            currency=message.currency,
            decision_id=message.decision_id,
            position=message.position,
        )
    if isinstance(message, IncomingFeedback):
        return Feedback(
            event_id=event_id,
            user_id=user,
            ts=ts,
            surface=message.surface,
            session_id=message.session_id,
            source=source,
            item_id=item,
            kind=message.kind,
            value=message.value,
            decision_id=message.decision_id,
            position=message.position,
        )
    return _SIMPLE[kind](
        event_id=event_id,
        user_id=user,
        ts=ts,
        surface=message.surface,
        session_id=message.session_id,
        source=source,
        item_id=item,
        decision_id=message.decision_id,
        position=message.position,
    )
