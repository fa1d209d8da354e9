"""The wire contract: golden samples, committed JSON Schema, round trips, and errors that name the field."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.cli.verbs.schemas import documents
from schemas.errors import InvalidMessageError
from schemas.events import Click, decode
from schemas.registry import MESSAGES
from tests.strategies import of, to_builtins

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "golden" / "v1").glob("*.json"))
DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in MESSAGES.items()}
VALID = st.sampled_from(sorted(MESSAGES)).flatmap(lambda name: st.tuples(st.just(name), of(MESSAGES[name])))


def test_every_message_has_a_golden_sample() -> None:
    """A message type without a sample could change unnoticed."""
    assert {p.stem.partition(".")[0] for p in GOLDEN} == set(MESSAGES)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_samples_still_read_the_same(path: Path) -> None:
    """Messages of version 1 decode, and encode to the same JSON, for ever."""
    data = path.read_bytes()
    message = decode(DECODERS[path.stem.partition(".")[0]], data)
    assert to_builtins(message) == json.loads(data)


def test_committed_json_schema_is_what_the_structs_say() -> None:
    """Somebody who reads schemas/json reads the truth."""
    folder = HERE.parents[1] / "schemas" / "json"
    assert {p.name: p.read_text() for p in folder.glob("*.json")} == documents()


@given(VALID)
def test_any_valid_message_round_trips(case: tuple[str, object]) -> None:
    """What is encoded is what is decoded."""
    name, message = case
    assert decode(DECODERS[name], msgspec.json.encode(message)) == message


@settings(max_examples=300)
@given(VALID, st.data())
def test_a_mutilated_message_gives_an_error_that_names_a_field(
    case: tuple[str, object], data: st.DataObject
) -> None:
    """Any cut or flipped byte is either still valid or an InvalidMessageError, never anything else."""
    name, message = case
    raw = bytearray(msgspec.json.encode(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[at:]
    try:
        decode(DECODERS[name], bytes(raw))
    except InvalidMessageError as error:
        assert error.field
        assert error.remedy


@given(
    of(Click),
    st.sampled_from(["event_id", "user_id", "item_id", "ts"]),
    st.sampled_from([None, [], {}, 1.5, ""]),
)
def test_a_wrongly_typed_field_is_named(message: Click, field: str, wrong: object) -> None:
    """Replace one required field by a value of a wrong type: the error names exactly this field."""
    body = to_builtins(message) | {field: wrong}
    with pytest.raises(InvalidMessageError) as caught:
        decode(DECODERS["clicks"], json.dumps(body).encode())
    assert caught.value.field == f"$.{field}"


@given(of(Click), st.sampled_from(["event_id", "user_id", "item_id", "ts"]))
def test_a_missing_field_is_named(message: Click, field: str) -> None:
    """Leave one required field out: the error names it."""
    body = to_builtins(message)
    del body[field]
    with pytest.raises(InvalidMessageError) as caught:
        decode(DECODERS["clicks"], json.dumps(body).encode())
    assert caught.value.field == f"$.{field}"


def test_unknown_fields_are_tolerated() -> None:
    """Producers may send more than we read."""
    body = b'{"type":"click","event_id":"e","user_id":"u","item_id":"i","ts":1,"colour":"red"}'
    assert decode(DECODERS["clicks"], body) == Click(event_id="e", user_id="u", item_id="i", ts=1)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"", r"\$: b'': send a complete JSON document"),
        (b"{}", r"\$\.\w+: \(missing\): add the field `\w+`"),
        (b'{"type":"clack"}', r"\$.type: 'clack': send one of click"),
        (b"\xff\xfe", "JSON is malformed"),
        (b"null", "Expected `object`"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"type":"click"' + b" " * (1 << 20) + b"}", "send at most 1048576 bytes"),
    ],
    ids=["empty", "nothing", "no-such-type", "not-utf8", "null", "deep", "oversized"],
)
def test_garbage_is_refused_with_a_remedy(data: bytes, remedy: str) -> None:
    """Whatever the bytes, the error is ours."""
    with pytest.raises(InvalidMessageError, match=remedy):
        decode(DECODERS["clicks"], data)
