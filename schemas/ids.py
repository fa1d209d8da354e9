"""Identifiers, and the stable hash that routes, samples and joins by them.

Every id is a non-empty UTF-8 string of at most 1,024 characters.  ``NewType`` keeps a user id from
being passed where an item id belongs; it costs nothing at run time.
"""

from hashlib import blake2b
from typing import Annotated, NewType

from msgspec import Meta

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)
EventId = NewType("EventId", str)
DecisionId = NewType("DecisionId", str)

MAX_ID_LENGTH = 1024

type_id = Meta(min_length=1, max_length=MAX_ID_LENGTH)
UserKey = Annotated[str, type_id]
ItemKey = Annotated[str, type_id]
EventKey = Annotated[str, type_id]
Millis = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
"""Milliseconds since the epoch, UTC, up to the year 9999."""


def stable_hash(text: str, salt: str = "") -> int:
    """A 64-bit hash that is the same in every process, release and language.

    Parameters
    ----------
    text
        What to hash, as UTF-8.
    salt
        Separates independent uses (routing, sampling, an experiment's name).

    Returns
    -------
    int
        Unsigned, below ``2**64``: the little-endian value of BLAKE2b-64 keyed by the salt.

    Examples
    --------
    >>> stable_hash("user-1") == stable_hash("user-1")
    True
    >>> stable_hash("user-1") == stable_hash("user-1", salt="experiment")
    False
    """
    digest = blake2b(text.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "little")


def partition_of(user: str, partitions: int) -> int:
    """The ``events`` partition of a user: our own partitioner, whatever a producer's client does.

    Examples
    --------
    >>> 0 <= partition_of("user-1", 8) < 8
    True
    """
    return stable_hash(user, "events") % partitions
