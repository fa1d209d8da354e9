"""Decisions as user state reads them: the same values, of those it keeps."""

import dataclasses

import msgspec
import numpy as np
import pytest

from schemas.errors import InvalidMessageError
from schemas.events import (
    Decision,
    LoggedDecision,
    LoggedItem,
    LoggedList,
    decode_event,
    encode_event,
    read_event,
    read_events,
)
from schemas.recommendations import RecommendedItem
from tests.models.users.builders import apply, click, decision, dump, new_shard


def kept(logged: msgspec.Struct, of: msgspec.Struct) -> None:
    """Each field of ``logged`` is the one of that name of ``of``."""
    for name in logged.__struct_fields__:
        ours, theirs = getattr(logged, name), getattr(of, name)
        if name == "items":
            for mine, its in zip(ours, theirs, strict=True):
                kept(mine, its)
        else:
            assert ours == theirs, name


def test_a_logged_decision_is_the_decision_without_what_readers_of_lists_need():
    """Every field that is kept has the value that was written."""
    data = encode_event(decision("d0", "e0", items=("a", "b", "c"), arm="holdout"))
    whole, logged = decode_event(data), read_event(data)
    assert isinstance(whole, Decision)
    assert isinstance(logged, LoggedDecision)
    kept(logged.recommendation, whole.recommendation)


def test_what_is_left_out_has_the_same_defaults():
    """An item that says nothing of a field is read alike."""
    theirs = {f.name: f.default for f in msgspec.structs.fields(RecommendedItem)}
    assert {f.name: f.default for f in msgspec.structs.fields(LoggedItem)}.items() <= theirs.items()


def test_user_state_and_its_rows_are_the_same_of_either():
    """Folding decisions as the stream reads them gives the bytes of folding them whole."""
    made = decision("d0", "e0", items=("a", "b"), at=1).recommendation
    flagged = msgspec.structs.replace(
        made,
        items=tuple(msgspec.structs.replace(i, explored=True, pinned=i.position == 1) for i in made.items),
    )
    events = [click(0), Decision(recommendation=flagged), click(1, item="a", at=2)]
    whole, read = new_shard(), new_shard()
    logged = read_events([encode_event(e) for e in events])
    assert logged is not None
    of_whole, of_read = apply(whole, events, at=(0, 1, 2)), apply(read, logged, at=(0, 1, 2))
    assert dump(read) == dump(whole)
    for section in ("interactions", "exposures", "rewards"):
        ours, theirs = getattr(of_read, section), getattr(of_whole, section)
        assert len(theirs) > 0
        for field in dataclasses.fields(theirs):
            assert np.array_equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name


@pytest.mark.parametrize("field", [f.encode_name for f in msgspec.structs.fields(LoggedList) if f.required])
def test_a_decision_that_lacks_what_is_kept_is_refused_by_name(field):
    """As ``decode_event`` refuses it."""
    made = msgspec.json.decode(encode_event(decision("d0", "e0")))
    del made["recommendation"][field]
    with pytest.raises(InvalidMessageError, match=field):
        read_event(msgspec.json.encode(made))
