"""The outside referee's protocol: JSON lines on stdin, answers on stdout."""

import sys
from typing import Annotated, Any

import msgspec

from deploy.evaluation.times import END
from models.evaluation.evaluation import Plan
from models.evaluation.session import Session
from models.evaluation.walk import LogEvent
from schemas.catalogue import Item
from schemas.errors import InvalidMessageError
from schemas.ids import MAX_ID_LENGTH

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
_Seconds = Annotated[float, msgspec.Meta(lt=END)]
"""Since 1970; what is before it counts as 1970."""


class _Recommend(msgspec.Struct, frozen=True, tag_field="op", tag="recommend"):
    user: _Id
    t: _Seconds
    k: Annotated[int, msgspec.Meta(ge=1)] = 100
    exclude_seen: bool = True


class _Observe(msgspec.Struct, frozen=True, tag_field="op", tag="observe"):
    user: _Id
    item: _Id
    t: _Seconds
    value: float = 1.0


class _Describe(msgspec.Struct, frozen=True, tag_field="op", tag="describe"):
    item: _Id
    title: str = ""
    genres: tuple[str, ...] = ()
    text: str = ""


class _End(msgspec.Struct, frozen=True, tag_field="op", tag="end"):
    pass


_DECODER = msgspec.json.Decoder(_Recommend | _Observe | _Describe | _End)


def answer_all(plan: Plan) -> None:
    """Answer until ``end`` or the end of the input; a bad line gets an error and is skipped."""
    session: Session | None = None
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        try:
            message = _DECODER.decode(line)
        except msgspec.DecodeError as error:
            _answer({"error": f"line: {error}: see the referee's protocol"})
            continue
        if isinstance(message, _End):
            return
        session = session or plan.session()
        try:
            _answer(_react(session, message))
        except (InvalidMessageError, msgspec.ValidationError) as error:
            _answer({"error": str(error)})


def _react(session: Session, message: _Recommend | _Observe | _Describe) -> dict[str, Any]:
    match message:
        case _Recommend():
            session.engine.seen = message.exclude_seen
            k = min(message.k, 1000)
            items = session.recommend(message.user, k, message.t, exclude_seen=message.exclude_seen)
            return {"items": items}
        case _Observe():
            session.observe(LogEvent(message.user, message.item, message.t, message.value))
        case _Describe():
            session.describe(
                Item(
                    item_id=message.item,
                    title=message.title,
                    description=message.text,
                    categories=tuple(message.genres),
                )
            )
    return {"ok": True}


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()
