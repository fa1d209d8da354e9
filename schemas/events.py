"""What happens to a person: the producers' messages and the canonical union of ``events``.

Producers send plain JSON; unknown fields are tolerated, known ones are strict.  Intake turns each
message into one or more canonical events and stamps each with the source coordinates that it came
from.  What we showed (``Decision``) is an event like any other: the log of a person is complete.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from schemas.errors import MISSING, InvalidMessageError, OversizedMessageError
from schemas.ids import EventKey, ItemKey, Millis, UserKey
from schemas.recommendations import Probability, Recommendation
from schemas.remedies import missing_field, remedy_of

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
MAX_LIST = 200

Surface = Annotated[str, Meta(min_length=1, max_length=64)]
Position = Annotated[int, Meta(ge=0, lt=MAX_LIST)]
Amount = Annotated[float, Meta(ge=0, le=1e12)]
Quantity = Annotated[float, Meta(gt=0, le=1e6)]
Deadline = Annotated[float, Meta(gt=0, le=60_000)]
ListLength = Annotated[int, Meta(ge=1, le=MAX_LIST)]


class Source(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a canonical event came from: its identity under redelivery.

    Parameters
    ----------
    topic, partition, incarnation, offset
        Coordinates of the producer's record; ``incarnation`` counts lives of a recreated topic.
    index
        One message may become several events.
    """

    topic: str
    partition: int
    incarnation: int
    offset: int
    index: int = 0


class Fact(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What every event of a person has.

    Parameters
    ----------
    event_id
        The producer's idempotency key (or the CloudEvents ``ce_id`` header).
    user_id
        The person, or their anonymous id.
    ts
        When it happened, ms; clamped by intake against the broker's clock.
    source
        Set by intake, never by producers.
    """

    event_id: EventKey
    user_id: UserKey
    ts: Millis
    surface: Surface = "home"
    session_id: str | None = None
    source: Source | None = None


class Click(Fact, frozen=True, tag="click", kw_only=True, omit_defaults=True):
    """A person opened an item."""

    item_id: ItemKey
    decision_id: str | None = None
    position: Position | None = None


class Purchase(Fact, frozen=True, tag="purchase", kw_only=True, omit_defaults=True):
    """A person bought an item; ``price`` is per unit, in ``currency``."""

    item_id: ItemKey
    quantity: Quantity = 1.0
    price: Amount | None = None
    currency: str | None = None
    decision_id: str | None = None
    position: Position | None = None


class Impression(Fact, frozen=True, tag="impression", kw_only=True, omit_defaults=True):
    """An item was really on the person's screen."""

    item_id: ItemKey
    decision_id: str | None = None
    position: Position | None = None


class Feedback(Fact, frozen=True, tag="feedback", kw_only=True, omit_defaults=True):
    """An explicit opinion; ``value`` is the rating, or the share that was played (0 to 1)."""

    item_id: ItemKey
    kind: Literal["rating", "like", "dislike", "hide", "play", "cart"]
    value: float | None = None
    decision_id: str | None = None
    position: Position | None = None


class Request(Fact, frozen=True, tag="request", kw_only=True, omit_defaults=True):
    """Somebody asks for a list.

    Parameters
    ----------
    request_id
        Comes back as the ``trigger_id`` of the answer.
    candidates
        Rank only these items.
    filters
        Item attributes that must be equal (``{"category": "tea"}``).
    deadline_ms
        How long after its arrival at the stream a whole list is still wanted; later it comes from a cheaper
        rung.  The stream's own (``lists.deadline_ms``) if left out.
    """

    request_id: EventKey
    k: ListLength = 10
    query: str | None = None
    candidates: tuple[ItemKey, ...] | None = None
    filters: dict[str, str] | None = None
    deadline_ms: Deadline | None = None


class Decision(msgspec.Struct, frozen=True, gc=False, tag="decision", kw_only=True, omit_defaults=True):
    """A list that we decided on: logged here first, published second.

    ``context`` is present for a hash-chosen share of decisions: everything that is needed to compute
    every propensity again.
    """

    recommendation: Recommendation
    context: "DecisionContext | None" = None

    @property
    def user_id(self) -> str:
        """Whose list it is."""
        return self.recommendation.user_id

    @property
    def ts(self) -> int:
        """When it was decided, ms."""
        return self.recommendation.ts


class DecisionContext(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the sampler saw: enough to compute every propensity again, bit for bit.

    Parameters
    ----------
    candidates
        Item ids in the sampler's order; pinned items are not among them.
    utilities
        Of each candidate; boost, Thompson draw and popularity discount included, the penalty for
        likeness not.
    similarity
        Little-endian float32, row-major: for each slot of the list, the similarity of the item in it to
        every candidate, 0 to 1; empty when ``diversity`` is 0 or nothing is known about similarity.
    epsilon, temperature, diversity
        Of the policy that served.
    seed
        Of this list's random numbers; below ``2**53``, so that every JSON reader keeps it exact.
    draws
        The Thompson part of each utility.
    control, control_epsilon, control_temperature
        The same for the control policy, which knows no diversity.
    groups, cap
        At most ``cap`` items of one group (above 0) per list; 0: no limit.
    """

    candidates: tuple[str, ...]
    utilities: tuple[float, ...]
    similarity: bytes
    epsilon: float
    temperature: float
    diversity: float
    seed: int
    draws: tuple[float, ...] = ()
    control: tuple[float, ...] = ()
    control_epsilon: float = 0.0
    control_temperature: float = 0.0
    groups: tuple[int, ...] = ()
    cap: int = 0


class Tick(msgspec.Struct, frozen=True, tag="tick", omit_defaults=True):
    """Time as a record: closes windows of an idle partition.

    Parameters
    ----------
    beat
        When the heartbeat that brought it set out, ms; 0: it is no heartbeat.
    """

    ts: Millis
    beat: Millis = 0


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """An anonymous id turned out to be a known person: fold ``user_id`` into ``into``."""

    user_id: UserKey
    into: UserKey
    ts: Millis


class Erase(msgspec.Struct, frozen=True, tag="erase"):
    """Forget this person."""

    user_id: UserKey
    ts: Millis


class LoggedItem(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A slot as user state keeps it."""

    item_id: ItemKey
    position: int
    propensity: Probability
    explored: bool = False
    pinned: bool = False
    p_control: float = 0.0
    p_uniform: float = 0.0


class LoggedList(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A list as user state keeps it."""

    decision_id: EventKey
    trigger_id: EventKey
    user_id: UserKey
    ts: Millis
    items: tuple[LoggedItem, ...]
    arm: str
    epoch: int


class LoggedDecision(msgspec.Struct, frozen=True, gc=False, tag="decision", kw_only=True):
    """What user state needs of a decision: a twentieth of its values, read in a third of the time."""

    recommendation: LoggedList


Event = Click | Purchase | Impression | Feedback | Request | Decision | Tick | Merge | Erase
LoggedEvent = Click | Purchase | Impression | Feedback | Request | LoggedDecision | Tick | Merge | Erase
AnyEvent = Event | LoggedDecision


class _Wrapped(msgspec.Struct, tag="decision", omit_defaults=True):
    """A decision around a list that is encoded already."""

    recommendation: msgspec.Raw
    context: DecisionContext | None = None


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_reader: msgspec.json.Decoder[LoggedEvent] = msgspec.json.Decoder(LoggedEvent)
encode_event = _encoder.encode

encode_list = _encoder.encode

DECISION_START = b'{"type":"decision"'
"""How ``encode_event`` begins a decision: told apart without decoding it."""


def encode_decision(decision: Decision, encoded_list: bytes) -> bytes:
    """What ``encode_event`` gives, around its list as ``encode_list`` gave it (most of a decision).

    Examples
    --------
    >>> encode_decision(Decision(recommendation=None), b"{}")
    b'{"type":"decision","recommendation":{}}'
    """
    return _encoder.encode(_Wrapped(msgspec.Raw(encoded_list), decision.context))


def decode_event(data: bytes) -> Event:
    """A canonical event from its bytes.

    Raises
    ------
    InvalidMessageError
        Names the field, the value and the remedy; nothing else is raised, whatever the bytes.

    Examples
    --------
    >>> decode_event(b'{"type":"tick","ts":5}')
    Tick(ts=5, beat=0)
    >>> decode_event(b'{"type":"tick","ts":-5}')
    Traceback (most recent call last):
    ...
    schemas.errors.InvalidMessageError: $.ts: -5: Expected `int` >= 0
    """
    return decode(_decoder, data)


def read_event(data: bytes) -> LoggedEvent:
    """A canonical event as user state keeps it; raises as ``decode_event`` does."""
    return decode(_reader, data)


def read_events(data: Sequence[bytes]) -> list[LoggedEvent] | None:
    """Canonical events as user state keeps them; None if any of them cannot be read.

    Examples
    --------
    >>> read_events([b'{"type":"tick","ts":5}', b'{"type":"tick"'])
    """
    if max(map(len, data), default=0) > MAX_MESSAGE_BYTES:
        return None
    try:
        return list(map(_reader.decode, data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes, limit: int = MAX_MESSAGE_BYTES) -> T:
    """Decode JSON with a size limit and with errors that name the field."""
    if len(data) > limit:
        raise OversizedMessageError("$", f"{len(data)} bytes", f"send at most {limit} bytes a message")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, data, decoder.type) from error


def explain(error: Exception, data: bytes, kind: Any) -> InvalidMessageError:
    """An error that names field, value and remedy, from msgspec's, the message's bytes and its type."""
    words, _, path = str(error).partition(" - at `")
    field = path.rstrip("`") or "$"
    value = _value_at(data, field)
    if (missing := missing_field(words)) is not None:
        field, value = f"{field}.{missing}", MISSING
    elif not path and "field `" in words:
        field = "$." + words.split("field `")[1].split("`")[0]
    return InvalidMessageError(field, value, remedy_of(words, kind, field))


def _value_at(data: bytes, path: str) -> object:
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data[:60]
    for step in path.removeprefix("$").replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict) and step:
            value = value.get(step, MISSING)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
    return value
