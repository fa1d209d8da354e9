"""The envelope of every snapshot: named arrays and a small header, versioned and checksummed.

Layout: magic, checksum of the rest (8 bytes), header length (4 bytes), header (msgpack: name, version,
meta, array directory), array bytes back to back.  The same content gives the same bytes.
"""

from collections.abc import Mapping
from hashlib import blake2b
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SnapshotError

MAGIC = b"SWS1"
_PREFIX = len(MAGIC) + 8

Arrays = Mapping[str, npt.NDArray[Any]]
_KINDS = "iufb"


class _Header(msgspec.Struct):
    name: str
    version: int
    meta: dict[str, Any]
    arrays: list[tuple[str, str, list[int]]]


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(_Header)


def pack(name: str, version: int, arrays: Arrays, meta: Mapping[str, Any] | None = None) -> bytes:
    """Snapshot bytes of named arrays and a header of plain values.

    Parameters
    ----------
    name, version
        Whose snapshot it is and of which layout; both are checked on the way back.
    arrays
        Integer, float or bool arrays of any shape.
    meta
        Whatever msgpack carries.

    Examples
    --------
    >>> data = pack("counts", 1, {"n": np.arange(3)}, {"seen": 7})
    >>> arrays, meta = unpack(data, "counts", 1)
    >>> arrays["n"], meta
    (array([0, 1, 2]), {'seen': 7})
    """
    columns = {k: np.ascontiguousarray(a) for k, a in arrays.items()}
    directory = [(k, a.dtype.str, list(a.shape)) for k, a in columns.items()]
    header = _encoder.encode(_Header(name, version, dict(meta or {}), directory))
    body = b"".join([len(header).to_bytes(4, "little"), header, *(a.tobytes() for a in columns.values())])
    return MAGIC + _sum(body) + body


def unpack(data: bytes, name: str, version: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays (writable copies) and meta of what ``pack`` wrote.

    Raises
    ------
    SnapshotError
        Damaged, another fold's, or of another version; nothing else is raised, whatever the bytes.
    """
    if data[: len(MAGIC)] != MAGIC or len(data) < _PREFIX + 4:
        raise SnapshotError(f"{name}: not a snapshot: it does not begin with {MAGIC!r}")
    body = memoryview(data)[_PREFIX:]
    if data[len(MAGIC) : _PREFIX] != _sum(body):
        raise SnapshotError(f"{name}: wrong checksum: take an older snapshot and replay from there")
    length = int.from_bytes(body[:4], "little")
    try:
        header = _decoder.decode(body[4 : 4 + length])
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{name}: the header is damaged: {error}") from error
    if (header.name, header.version) != (name, version):
        raise SnapshotError(
            f"{name} version {version}: found {header.name!r} version {header.version}: rebuild from the log"
        )
    return _arrays(header, body[4 + length :]), header.meta


def checksum(data: bytes) -> int:
    """The checksum inside a snapshot, as an unsigned 64-bit number."""
    return int.from_bytes(data[len(MAGIC) : _PREFIX], "little")


def _sum(body: bytes | memoryview) -> bytes:
    return blake2b(body, digest_size=8).digest()


def _arrays(header: _Header, payload: memoryview) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for key, code, shape in header.arrays:
        try:
            dtype = np.dtype(code)
        except TypeError as error:
            raise SnapshotError(f"{header.name}.{key}: {code!r} is no array type") from error
        size = prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or min(shape, default=0) < 0 or at + size > len(payload):
            raise SnapshotError(f"{header.name}.{key}: {code} {shape} does not fit the payload")
        found[key] = np.frombuffer(payload[at : at + size], dtype).reshape(shape).copy()
        at += size
    if at != len(payload):
        raise SnapshotError(f"{header.name}: {len(payload) - at} bytes are left over")
    return found
