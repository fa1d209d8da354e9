"""From a producer's message to ours: by field names of their own, and with the gaps filled in.

Every source topic has a wire type here, more lenient than the canonical event: ids may be missing
(the CloudEvents ``ce_id`` header or the record's coordinates stand in), a person may be known by an
``anonymous_id`` only, several items may come in one message, and the time may be missing (the broker's
stands in).  What is there is checked as strictly as everywhere.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schemas.errors import MISSING, InvalidMessageError
from schemas.events import MAX_LIST, Amount, Deadline, ListLength, Position, Quantity, Surface, decode
from schemas.ids import EventKey, ItemKey, Millis, UserKey
from schemas.remedies import missing_field, remedy_of
from schemas.settings import MappingSettings

FactType = Literal["click", "purchase", "impression", "feedback", "request"]
Items = Annotated[tuple[ItemKey, ...], Meta(min_length=1, max_length=MAX_LIST)]


class Incoming(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """What every producer's message may have.

    Cleaned in place and encoded again it is the canonical event but for type and source: its fields are
    those of the event of its kind (``schemas.events``); ``anonymous_id`` and ``item_ids`` are gone by then.
    """

    event_id: EventKey | None = None
    user_id: UserKey | None = None
    anonymous_id: UserKey | None = None
    ts: Millis | None = None
    surface: Surface = "home"
    session_id: str | None = None


class IncomingItem(Incoming, kw_only=True, gc=False, omit_defaults=True):
    """A message about one item, or about several (one event for each)."""

    item_id: ItemKey | None = None
    item_ids: Items | None = None
    decision_id: str | None = None
    position: Position | None = None


class IncomingPurchase(IncomingItem, kw_only=True, gc=False, omit_defaults=True):
    """``purchases``."""

    quantity: Quantity = 1.0
    price: Amount | None = None
    currency: str | None = None


class IncomingFeedback(IncomingItem, kw_only=True, gc=False, omit_defaults=True):
    """``feedback``."""

    kind: Literal["rating", "like", "dislike", "hide", "play", "cart"]
    value: float | None = None


class IncomingRequest(Incoming, kw_only=True, gc=False, omit_defaults=True):
    """``requests``."""

    request_id: EventKey | None = None
    k: ListLength = 10
    query: str | None = None
    candidates: tuple[ItemKey, ...] | None = None
    filters: dict[str, str] | None = None
    deadline_ms: Deadline | None = None


WIRE: Mapping[FactType, type[Incoming]] = {
    "click": IncomingItem,
    "purchase": IncomingPurchase,
    "impression": IncomingItem,
    "feedback": IncomingFeedback,
    "request": IncomingRequest,
}

Reader = Callable[[bytes], Incoming]


def plain_reader(kind: FactType) -> Reader:
    """Reads messages that use our field names.

    Examples
    --------
    >>> plain_reader("click")(b'{"user_id":"u","item_id":"a","ts":5}').item_id
    'a'
    >>> plain_reader("click")(b'{"user_id":"u","item_id":7,"ts":5}')
    Traceback (most recent call last):
    ...
    schemas.errors.InvalidMessageError: $.item_id: 7: Expected `str | null`, got `int`
    """
    decoder = msgspec.json.Decoder(WIRE[kind])
    return lambda data: decode(decoder, data)


def mapped_reader(mapping: MappingSettings) -> Reader:
    """Reads messages whose fields have other names, by the settings of their topic."""
    kind = WIRE[mapping.type]
    known = set(kind.__struct_fields__)
    for name in (*mapping.fields, *mapping.constants):
        if name not in known:
            raise ValueError(f"intake.mappings: {mapping.topic}: {name!r} is none of {sorted(known)}")
    anything = msgspec.json.Decoder(dict[str, Any])
    paths = {name: path.split(".") for name, path in mapping.fields.items()}

    def read(data: bytes) -> Incoming:
        theirs = decode(anything, data)
        ours: dict[str, Any] = dict(mapping.constants)
        for name in known - paths.keys():
            if name in theirs:
                ours.setdefault(name, theirs[name])
        for name, path in paths.items():
            value = _descend(theirs, path)
            if value is not None:
                ours[name] = _as_millis(value, mapping.ts_unit, path) if name == "ts" else value
        return _convert(ours, kind, mapping.fields)

    return read


def _convert(ours: dict[str, Any], kind: type[Incoming], names: Mapping[str, str]) -> Incoming:
    try:
        return msgspec.convert(ours, kind)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        field = missing_field(words) or path.rstrip("`")
        remedy = remedy_of(words, kind, f"$.{field}")
        raise InvalidMessageError(f"$.{names.get(field, field)}", ours.get(field, MISSING), remedy) from error


def _descend(value: Any, path: list[str]) -> Any:
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


_PER_MS = {"ms": 1.0, "s": 1000.0, "us": 0.001}


def _as_millis(value: Any, unit: str, path: list[str]) -> int:
    field = "$." + ".".join(path)
    if unit == "iso":
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise InvalidMessageError(field, value, "send a time as ISO 8601") from error
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidMessageError(field, value, f"send a number of {unit} since 1970")
    return round(value * _PER_MS[unit])
