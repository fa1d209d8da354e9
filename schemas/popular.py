"""What is popular, as a small file beside the learner's snapshots: what is left when nothing else is."""

import msgspec

from schemas.errors import SnapshotError
from schemas.ids import ItemKey, Millis

FILE = "popular.json"
VERSION = 1
SEGMENTS = ("stranger", "newcomer", "acquaintance", "returning", "in-session")
"""People by their situation: no history, 1 or 2 items, up to 9, more and back again, more and at it."""


class PopularItem(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An item and the logarithm of 1 and its decayed count."""

    item_id: ItemKey
    score: float


class PopularLists(msgspec.Struct, frozen=True, kw_only=True):
    """Popular items, best first.

    Parameters
    ----------
    ts
        When it was written, ms.
    model
        State of the models that it was taken from.
    everybody
        Over all people.
    segments
        By the names of ``SEGMENTS``.
    """

    version: int = VERSION
    ts: Millis
    model: str
    everybody: tuple[PopularItem, ...]
    segments: dict[str, tuple[PopularItem, ...]] = {}


_decoder = msgspec.json.Decoder(PopularLists)
encode_popular = msgspec.json.Encoder().encode


def decode_popular(data: bytes) -> PopularLists:
    """The file's content.

    Raises
    ------
    SnapshotError
        Damaged, or of another version.

    Examples
    --------
    >>> lists = PopularLists(ts=5, model="r1", everybody=(PopularItem("tea", 0.7),))
    >>> decode_popular(encode_popular(lists)) == lists
    True
    >>> decode_popular(b"{}")
    Traceback (most recent call last):
    ...
    schemas.errors.SnapshotError: popular.json: Object missing required field `ts`: delete it, ...
    """
    remedy = "delete it, the learner writes another one"
    try:
        lists = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{FILE}: {error}: {remedy}") from error
    if lists.version != VERSION:
        raise SnapshotError(f"{FILE}: version {lists.version}, this build reads {VERSION}: {remedy}")
    return lists
