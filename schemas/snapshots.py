"""The envelope of every snapshot: named arrays and a small header, versioned and checksummed.

Layout: magic, checksum (8 bytes), header length (4 bytes), header (msgpack: name, version, meta, array
directory, parts), array bytes back to back, parts back to back.  A part is a snapshot of its own: the
header names its checksum, so that the bytes of a tree of snapshots are summed once, by the innermost.
The same content gives the same bytes.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SnapshotError

MAGIC = b"SWS2"
_PREFIX = len(MAGIC) + 8

Arrays = Mapping[str, npt.NDArray[Any]]
Buffer = bytes | memoryview
_KINDS = "iufb"


class _Header(msgspec.Struct):
    name: str
    version: int
    meta: dict[str, Any]
    arrays: list[tuple[str, str, list[int]]]
    parts: list[tuple[str, int, int]]


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(_Header)


def pack(
    name: str,
    version: int,
    arrays: Arrays,
    meta: Mapping[str, Any] | None = None,
    parts: Mapping[str, bytes] | None = None,
) -> bytes:
    """Snapshot bytes of named arrays, a header of plain values, and snapshots inside it.

    Parameters
    ----------
    name, version
        Whose snapshot it is and of which layout; both are checked on the way back.
    arrays
        Integer, float or bool arrays of any shape.
    meta
        Whatever msgpack carries.
    parts
        What other calls of ``pack`` gave.

    Examples
    --------
    >>> data = pack("counts", 1, {"n": np.arange(3)}, {"seen": 7})
    >>> arrays, meta = unpack(data, "counts", 1)
    >>> arrays["n"], meta
    (array([0, 1, 2]), {'seen': 7})
    >>> whole = pack("all", 1, {}, parts={"counts": data})
    >>> bytes(unpack_parts(whole, "all", 1)[0]["counts"]) == data
    True
    """
    columns = {k: np.ascontiguousarray(a) for k, a in arrays.items()}
    inner = dict(parts or {})
    header = _encoder.encode(
        _Header(
            name,
            version,
            dict(meta or {}),
            [(k, a.dtype.str, list(a.shape)) for k, a in columns.items()],
            [(k, checksum(p), len(p)) for k, p in inner.items()],
        )
    )
    flat: list[Buffer] = [a.reshape(-1).view(np.uint8).data for a in columns.values()]
    body: list[Buffer] = [len(header).to_bytes(4, "little"), header, *flat]
    return b"".join([MAGIC, _sum(*body), *body, *inner.values()])


def unpack(data: Buffer, name: str, version: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays (writable copies) and meta of what ``pack`` wrote.

    Raises
    ------
    SnapshotError
        Damaged, another fold's, or of another version; nothing else is raised, whatever the bytes.
    """
    header, payload = _open(data, name)
    _check(header, name, version)
    return _arrays(header, payload), header.meta


def unpack_parts(data: Buffer, name: str, version: int) -> tuple[dict[str, memoryview], dict[str, Any]]:
    """Snapshots inside a snapshot (views of ``data``), and its meta.

    Whether the parts are intact shows when they are unpacked, or by ``verify``.

    Raises
    ------
    SnapshotError
        Damaged, another's, or of another version.
    """
    header, _ = _open(data, name)
    _check(header, name, version)
    return dict(_parts(header, data)), header.meta


def peek(data: Buffer) -> tuple[dict[str, memoryview], dict[str, Any]]:
    """Parts and meta of a snapshot of any name and version: for whoever moves it, and does not use it.

    Raises
    ------
    SnapshotError
        Damaged.
    """
    header, _ = _open(data, "snapshot")
    return dict(_parts(header, data)), header.meta


def identify(data: Buffer, name: str, version: int) -> None:
    """Check whose snapshot it is and of which layout, before anything of it is used.

    Raises
    ------
    SnapshotError
        Damaged, another's, or of another version.
    """
    _check(_open(data, name)[0], name, version)


def verify(data: Buffer, name: str) -> None:
    """Check every checksum of a tree of snapshots, before any of it is used.

    Raises
    ------
    SnapshotError
        Names the part that is damaged.
    """
    header, _ = _open(data, name)
    for key, part in _parts(header, data):
        verify(part, f"{name}.{key}")


def checksum(data: Buffer) -> int:
    """The checksum inside a snapshot, as an unsigned 64-bit number."""
    return int.from_bytes(data[len(MAGIC) : _PREFIX], "little")


def _sum(*body: Buffer) -> bytes:
    digest = blake2b(digest_size=8)
    for piece in body:
        digest.update(piece)
    return digest.digest()


def _open(data: Buffer, name: str) -> tuple[_Header, memoryview]:
    """Header and array bytes, once their checksum is right; parts have their own."""
    view = memoryview(data)
    if view[: len(MAGIC)] != MAGIC or len(view) < _PREFIX + 4:
        raise SnapshotError(f"{name}: not a snapshot: it does not begin with {MAGIC!r}")
    begin = _PREFIX + 4 + int.from_bytes(view[_PREFIX : _PREFIX + 4], "little")
    try:
        header = _decoder.decode(view[_PREFIX + 4 : begin])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{name}: wrong checksum: the header is damaged: {error}") from error
    end = len(view) - sum(size for _, _, size in header.parts)
    if not begin <= end <= len(view) or view[len(MAGIC) : _PREFIX] != _sum(view[_PREFIX:end]):
        raise SnapshotError(f"{name}: wrong checksum: take an older snapshot and replay from there")
    return header, view[begin:end]


def _check(header: _Header, name: str, version: int) -> None:
    if (header.name, header.version) != (name, version):
        raise SnapshotError(
            f"{name} version {version}: found {header.name!r} version {header.version}: rebuild from the log"
        )


def _parts(header: _Header, data: Buffer) -> Iterator[tuple[str, memoryview]]:
    view = memoryview(data)
    at = len(view) - sum(size for _, _, size in header.parts)
    for key, seal, size in header.parts:
        part = view[at : at + size]
        if size < _PREFIX or checksum(part) != seal:
            raise SnapshotError(f"{header.name}.{key}: wrong checksum: take an older snapshot")
        yield key, part
        at += size


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
