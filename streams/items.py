"""Records of ``items`` and ``embeddings``: read in one way by everybody who reads them.

Intake reads them once for the whole deployment, as a group, and sends what cannot be read to the dead
letters; the catalogue of every worker and the encoder pass over the same records.
"""

from typing import Any

import msgspec

from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.errors import InvalidMessageError
from schemas.events import decode
from schemas.ids import MAX_ID_LENGTH
from streams.transport import Record

_items = msgspec.json.Decoder(Item)
_embeddings = msgspec.json.Decoder(Embedding)


def read_item(record: Record) -> tuple[str, Item | None]:
    """The item's id, and the item; None: it is delisted.

    Raises
    ------
    InvalidMessageError
        Names field, value and remedy.
    """
    return _read(_items, record)


def read_embedding(record: Record) -> tuple[str, Embedding | None]:
    """The item's id, and its vector; None: it has none any more.

    Raises
    ------
    InvalidMessageError
        Names field, value and remedy.
    """
    return _read(_embeddings, record)


def _read(decoder: "msgspec.json.Decoder[Any]", record: Record) -> tuple[str, Any]:
    if record.value is None:
        return id_of(record.key), None
    found = decode(decoder, record.value)
    return found.item_id, found


def id_of(key: bytes | None) -> str:
    """The item that a null value is about.

    Examples
    --------
    >>> id_of(b"tea")
    'tea'
    >>> id_of(None)
    Traceback (most recent call last):
    ...
    schemas.errors.InvalidMessageError: $key: None: a null value is about the item that its key names
    """
    try:
        item_id = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageError("$key", key, "send the item id as UTF-8") from error
    if not 1 <= len(item_id) <= MAX_ID_LENGTH:
        raise InvalidMessageError("$key", key, "a null value is about the item that its key names")
    return item_id
