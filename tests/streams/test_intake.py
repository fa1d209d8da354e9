"""Intake knows no Kafka: what messages become, and what becomes of messages that are none."""

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    MAX_MESSAGE_BYTES,
    Click,
    Erase,
    Feedback,
    Impression,
    Purchase,
    Request,
    Tick,
    decode_event,
)
from schemas.heartbeats import HEADER, KEY, Heartbeat
from schemas.ids import MAX_ID_LENGTH, partition_of
from schemas.settings import IntakeSettings, KafkaSettings, MappingSettings, Settings
from streams.intake import Router
from streams.transport import RecordBatch

NOW = 1_700_000_000_000
SETTINGS = Settings(
    kafka=KafkaSettings(partitions=4),
    intake=IntakeSettings(
        mappings=(
            MappingSettings(
                topic="shop.orders",
                type="purchase",
                fields={"user_id": "customer.id", "item_id": "sku", "ts": "at", "price": "amount"},
                constants={"currency": "EUR"},
                ts_unit="iso",
            ),
        )
    ),
)


def record(topic: str, value, *, offset: int = 0, key: bytes | None = None, headers=()):
    data = value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
    return SimpleNamespace(
        topic=topic, partition=1, offset=offset, key=key, value=data, timestamp=NOW, headers=headers
    )


def route(topic: str, *values, **more):
    records = [record(topic, v, offset=n, **more) for n, v in enumerate(values)]
    routed = Router(SETTINGS, {(topic, 1): 3}).route(RecordBatch(topic, 1, records))
    events = [decode_event(out.value) for outs in routed.by_partition.values() for out in outs]
    return events, routed


def test_each_topic_gives_its_event():
    """Every source topic gives the canonical event of its kind, with the coordinates it came from."""
    about = {"user_id": "u", "ts": NOW, "item_id": "a"}
    cases = {
        "clicks": (about, Click),
        "purchases": (about | {"price": 2.5, "quantity": 2}, Purchase),
        "impressions": (about, Impression),
        "feedback": (about | {"kind": "like"}, Feedback),
        "requests": ({"user_id": "u", "ts": NOW, "request_id": "r"}, Request),
    }
    for topic, (message, kind) in cases.items():
        (event,), routed = route(topic, message)
        assert isinstance(event, kind), topic
        assert not routed.letters
        source = event.source
        assert (source.topic, source.partition, source.incarnation, source.offset) == (topic, 1, 3, 0)


def test_every_field_of_a_message_arrives():
    """The canonical event has all that its message had, and encodes to what the schema says."""
    person = {"event_id": 'e"1', "user_id": "ü", "ts": NOW, "surface": "mail", "session_id": "s"}
    shown = {"item_id": "a\\b", "decision_id": "d", "position": 3}
    cases = {
        "clicks": shown,
        "purchases": shown | {"quantity": 2.0, "price": 2.5, "currency": "EUR"},
        "impressions": shown,
        "feedback": shown | {"kind": "play", "value": 0.5},
        "requests": {"request_id": "r", "k": 7, "query": "q", "candidates": ["a"], "filters": {"c": "tea"}},
    }
    for topic, fields in cases.items():
        (event,), routed = route(topic, person | fields | {"anonymous_id": "x", "unknown": [1]})
        arrived = msgspec.json.decode(msgspec.json.encode(event))
        assert arrived | person | fields == arrived, topic
        (sent,) = (msgspec.json.decode(out.value) for outs in routed.by_partition.values() for out in outs)
        assert sent.keys() <= {"type", "source", *person, *fields}, topic


def test_one_message_about_several_items_becomes_several_events():
    """``item_ids`` gives one event each, told apart by their index."""
    events, _ = route(
        "impressions", {"event_id": "e", "user_id": "u", "ts": NOW, "item_ids": ["a", "b", "c"]}
    )
    assert [e.item_id for e in events] == ["a", "b", "c"]
    assert [e.source.index for e in events] == [0, 1, 2]
    assert len({e.event_id for e in events}) == 3


def test_events_go_to_the_partition_of_their_person():
    """Our own partitioner decides, whatever partition the message came from."""
    users = [f"u{n}" for n in range(50)]
    _, routed = route("clicks", *({"user_id": u, "ts": NOW, "item_id": "a"} for u in users))
    for partition, outs in routed.by_partition.items():
        assert all(partition_of(out.key.decode(), 4) == partition for out in outs)
    assert sum(map(len, routed.by_partition.values())) == 50


def test_what_is_missing_is_filled_in():
    """Without event id, time and user id, coordinates, the broker's time and the anonymous id stand in."""
    (event,), _ = route("clicks", {"anonymous_id": " anon ", "item_id": "a"})
    assert (event.user_id, event.ts, event.event_id) == ("anon", NOW, "clicks/1/3/0")


def test_the_cloudevents_header_is_the_idempotency_key():
    """``ce_id`` wins over the message's own event id."""
    (event,), _ = route(
        "clicks", {"event_id": "own", "user_id": "u", "item_id": "a"}, headers=[("ce_id", b"ce")]
    )
    assert event.event_id == "ce"


def test_a_time_in_the_future_is_clamped_and_counted():
    """A time ahead of the broker's is the broker's; it moves no window."""
    (event,), routed = route("clicks", {"user_id": "u", "item_id": "a", "ts": NOW + 3_600_000})
    assert (event.ts, routed.clamped) == (NOW, 1)


def test_a_mapped_topic_speaks_its_own_language():
    """Nested names, ISO times and constants of the settings become a purchase."""
    message = {"customer": {"id": "u"}, "sku": "a", "at": "2023-11-14T22:13:20Z", "amount": 9.5}
    (event,), _ = route("shop.orders", message)
    assert isinstance(event, Purchase)
    assert (event.user_id, event.item_id, event.ts, event.price, event.currency) == (
        "u",
        "a",
        NOW,
        9.5,
        "EUR",
    )


def test_a_null_under_a_user_erases_the_person():
    """The users topic's tombstone becomes an erasure."""
    (event,), _ = route("users", None, key=b"u7")
    assert isinstance(event, Erase)
    assert event.user_id == "u7"


GOOD = {"user_id": "u", "item_id": "a", "ts": NOW}
POISON = [
    ("clicks", b"", "$"),
    ("clicks", b"{", "$"),
    ("clicks", b"\xff\xfe", "$"),
    ("clicks", b"[" * 5000, "$"),
    ("clicks", b"null", "$"),
    ("clicks", None, "$"),
    ("clicks", GOOD | {"item_id": 7}, "$.item_id"),
    ("clicks", GOOD | {"ts": "yesterday"}, "$.ts"),
    ("clicks", GOOD | {"ts": 1_700_000_000}, "$.ts"),
    ("clicks", GOOD | {"ts": -1}, "$.ts"),
    ("clicks", GOOD | {"user_id": "  "}, "$.user_id"),
    ("clicks", {"item_id": "a"}, "$.user_id"),
    ("clicks", {"user_id": "u"}, "$.item_id"),
    ("clicks", GOOD | {"item_id": "x" * 2000}, "$.item_id"),
    ("purchases", GOOD | {"price": 1e11}, "$.price"),
    ("purchases", GOOD | {"quantity": 0}, "$.quantity"),
    ("feedback", GOOD | {"kind": "adore"}, "$.kind"),
    ("feedback", GOOD | {"kind": "rating"}, "$.value"),
    ("feedback", GOOD | {"kind": "play", "value": 3}, "$.value"),
    ("requests", {"user_id": "u", "k": 0}, "$.k"),
    ("shop.orders", {"customer": {"id": "u"}, "sku": "a", "at": "soon"}, "$.at"),
    ("shop.orders", {"customer": {"id": 5}, "sku": "a"}, "$.customer.id"),
    ("users", b"{}", "$.user_id"),
    ("items", b"not json", "$"),
    ("items", {"item_id": ""}, "$.item_id"),
    ("items", {"item_id": "p2", "title": 5}, "$.title"),
    ("items", None, "$key"),
    ("embeddings", {"item_id": "a"}, "$.model"),
]


@pytest.mark.parametrize(("topic", "value", "field"), POISON, ids=range(len(POISON)))
def test_what_cannot_be_read_names_its_field(topic, value, field):
    """Bad input becomes a dead letter that names the field, and its neighbours pass."""
    neighbour = {
        "user_id": "u",
        "item_id": "a",
        "request_id": "r",
        "kind": "like",
        "customer": {"id": "u"},
        "sku": "a",
    }
    silent = topic in {"users", "items", "embeddings"}
    neighbours = [] if topic == "embeddings" else [neighbour]
    events, routed = route(topic, *neighbours, value, *neighbours)
    assert [letter.error.field for letter in routed.letters] == [field]
    assert routed.letters[0].record.offset == len(neighbours)
    assert routed.letters[0].error.remedy
    assert len(events) == (0 if silent else 2)


def test_a_heartbeat_becomes_a_tick_of_its_partition():
    """A null with our header on ``requests``; any other null is a dead letter."""
    beat = Heartbeat(2, NOW - 5)
    (tick,), routed = route("requests", None, key=KEY, headers=beat.headers())
    assert (tick, list(routed.by_partition), routed.beats) == (Tick(ts=NOW, beat=NOW - 5), [2], (beat,))
    for topic, headers in (
        ("clicks", beat.headers()),
        ("requests", Heartbeat(4, NOW).headers()),
        ("requests", [(HEADER, b"2")]),
        ("requests", ()),
    ):
        events, routed = route(topic, None, key=KEY, headers=headers)
        assert (events, len(routed.letters), routed.beats) == ([], 1, ())


@pytest.mark.parametrize(
    ("topic", "value", "sentence"),
    [
        (
            "feedback",
            GOOD | {"kind": "adore"},
            "$.kind: 'adore': send one of cart, dislike, hide, like, ",
        ),
        ("feedback", GOOD, "$.kind: (missing): add the field `kind`, one of cart, dislike, hide, like, "),
        ("clicks", b"", "$: b'': send a complete JSON document"),
        ("clicks", b'{"user_id"', "$: b'{\"user_id\"': send a complete JSON document"),
        (
            "clicks",
            b"click!",
            "$: b'click!': JSON is malformed: invalid character (byte 0): send",
        ),
    ],
)
def test_remedies_say_what_to_send(topic, value, sentence):
    """Field, value and remedy, in words that do not come from the parser alone."""
    _, routed = route(topic, value)
    assert str(routed.letters[0].error).startswith(sentence)


LONGEST = "ü" * MAX_ID_LENGTH


def test_ids_at_the_limit_pass():
    """1,024 characters of two bytes in every id: of the further events of a message as well."""
    message = {"user_id": LONGEST, "event_id": LONGEST, "item_ids": [LONGEST, "b", "c"], "ts": NOW}
    events, routed = route("clicks", message)
    assert not routed.letters
    assert [e.item_id for e in events] == [LONGEST, "b", "c"]
    assert len({e.event_id for e in events}) == 3
    other, _ = route("clicks", message | {"event_id": LONGEST[:-1] + "x"})
    assert not {e.event_id for e in events} & {e.event_id for e in other}


@pytest.mark.parametrize("field", ["user_id", "event_id", "item_id", "anonymous_id"])
def test_an_id_one_over_the_limit_is_a_dead_letter(field):
    """The field is named, and what it may hold."""
    message = {"user_id": "u", "item_id": "a", "ts": NOW} | {field: LONGEST + "x"}
    _, routed = route("clicks", message)
    (letter,) = routed.letters
    assert letter.error.field == f"$.{field}"
    assert "1024" in letter.error.remedy


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize(("topic", "field"), [("purchases", b"price"), ("feedback", b"value")])
def test_numbers_that_are_none_are_dead_letters(topic, field, number):
    """JSON has no such numbers; parsers that let them through do not exist here."""
    data = b'{"user_id":"u","item_id":"a","ts":5,"kind":"rating","%s":%s}' % (field, number)
    _, routed = route(topic, data)
    assert len(routed.letters) == 1


def test_a_message_above_the_limit_is_a_dead_letter():
    """More than 1 MiB is refused by its size, before it is parsed."""
    _, routed = route("clicks", GOOD | {"session_id": "x" * MAX_MESSAGE_BYTES})
    assert type(routed.letters[0].error).__name__ == "OversizedMessageError"


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([msgspec.json.encode(GOOD)])), max_size=20))
def test_any_bytes_are_routed_or_refused(values):
    """Whatever the bytes, each message becomes events or one dead letter, and nothing raises."""
    events, routed = route("clicks", *values)
    assert len(events) + len(routed.letters) == len(values)
