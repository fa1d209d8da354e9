"""Bodies of requests: read strictly, with errors that name the field, the value and the remedy."""

from collections.abc import Callable

import msgspec

from schemas.errors import InvalidMessageError
from schemas.events import Click, Feedback, Impression, ListLength, Purchase, Request, Surface, decode
from schemas.ids import EventKey, ItemKey, Millis, UserKey
from schemas.settings import IntakeSettings

Postable = Click | Purchase | Impression | Feedback | Request
MAX_EVENTS = 1_000
DAY_MS = 86_400_000

_postables: "msgspec.json.Decoder[Postable | list[Postable]]" = msgspec.json.Decoder(
    Postable | list[Postable]
)


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asks for a list and waits for it.

    Parameters
    ----------
    request_id
        The caller's idempotency key and the answer's ``trigger_id``; made up if left out.
    k
        Length of the list; the service's own if left out.
    candidates
        Rank only these items.
    filters
        Item attributes that must be equal.
    """

    user_id: UserKey
    request_id: EventKey | None = None
    ts: Millis | None = None
    surface: Surface = "home"
    session_id: str | None = None
    k: ListLength | None = None
    query: str | None = None
    candidates: tuple[ItemKey, ...] | None = None
    filters: dict[str, str] | None = None


_asks: "msgspec.json.Decoder[Ask]" = msgspec.json.Decoder(Ask)


def read_events(data: bytes, now: int, limits: IntakeSettings) -> list[Postable]:
    """The events of a body: one canonical event, or an array of them; all or none.

    Parameters
    ----------
    now
        Milliseconds since the epoch, to judge timestamps by.

    Raises
    ------
    InvalidMessageError
        Names field, value and remedy.

    Examples
    --------
    >>> body = b'[{"type":"click","event_id":"e1","user_id":"u1","ts":1000,"item_id":"i1"}]'
    >>> [event.item_id for event in read_events(body, 1_000, IntakeSettings())]
    ['i1']
    >>> read_events(b'{"type":"clack"}', 1_000, IntakeSettings())
    Traceback (most recent call last):
    ...
    schemas.errors.InvalidMessageError: $.type: 'clack': send one of click, ...
    """
    found = decode(_postables, data)
    events = found if isinstance(found, list) else [found]
    if not 1 <= len(events) <= MAX_EVENTS:
        raise InvalidMessageError("$", f"{len(events)} events", f"send 1 to {MAX_EVENTS} events at a time")
    for index, event in enumerate(events):
        _check(event, f"$[{index}]" if isinstance(found, list) else "$", now, limits)
    return events


def read_ask(data: bytes, now: int, limits: IntakeSettings, new_id: Callable[[], str], k: int) -> Request:
    """The canonical request of a body; what the caller left out is filled in.

    Raises
    ------
    InvalidMessageError
        Names field, value and remedy.

    Examples
    --------
    >>> read_ask(b'{"user_id": "u1"}', 7, IntakeSettings(), lambda: "r1", k=10).request_id
    'r1'
    """
    ask = decode(_asks, data)
    request_id = ask.request_id or new_id()
    request = Request(
        event_id=request_id,
        request_id=request_id,
        user_id=ask.user_id,
        ts=now if ask.ts is None else ask.ts,
        surface=ask.surface,
        session_id=ask.session_id,
        k=ask.k or k,
        query=ask.query,
        candidates=ask.candidates,
        filters=ask.filters,
    )
    _check(request, "$", now, limits)
    return request


def _check(event: Postable, path: str, now: int, limits: IntakeSettings) -> None:
    """What the types cannot say: clocks, prices, and fields that are not the sender's."""
    ahead = now + int(limits.max_future_seconds * 1000)
    if event.ts > ahead:
        remedy = f"send the time of the event in ms, at most {limits.max_future_seconds:g} s ahead of {now}"
        raise InvalidMessageError(f"{path}.ts", event.ts, remedy)
    if event.ts < now - limits.max_age_days * DAY_MS:
        remedy = f"send ms since the epoch, at most {limits.max_age_days:g} days ago; import older events"
        raise InvalidMessageError(f"{path}.ts", event.ts, remedy)
    if event.source is not None:
        raise InvalidMessageError(f"{path}.source", event.source, "leave it out: intake alone sets it")
    if isinstance(event, Purchase) and event.price is not None and event.price > limits.max_price:
        raise InvalidMessageError(f"{path}.price", event.price, f"send at most {limits.max_price:g} per unit")
