"""The layout of a version of all models: arrays that other processes map, and a small header.

Magic, header length (8 bytes), checksum of the header (8 bytes), header (msgpack), then every array at a
multiple of 64 bytes.  Unlike a snapshot it is read in place: nothing is copied and only the header is
summed, so a version is good for the host and the boot that it was written in, and is no archive.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from math import prod
from mmap import mmap
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SnapshotError

MAGIC = b"SWA1"
ALIGNMENT = 64
LARGEST_HEADER = 16 << 20
_PREFIX = len(MAGIC) + 16
_KINDS = "iufb"

Array = npt.NDArray[Any]


class Version(msgspec.Struct, frozen=True):
    """What a version is of.

    Parameters
    ----------
    deployment
        Namespace: others' versions are told apart by it.
    boot
        Of the machine: what was written before it was started may be incomplete.
    offset
        Of the first block of ``signals`` that is not in it.
    rows
        Interactions learned.
    written
        When, ms since the epoch.
    values
        Of the folds: whatever msgpack carries.
    arrays
        Name, type, shape and place of each.
    size
        Of the whole, bytes.
    """

    deployment: str
    boot: str
    offset: int
    rows: int
    written: int
    values: dict[str, Any]
    arrays: list[tuple[str, str, list[int], int]] = []
    size: int = 0


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Version)


def layout(version: Version, arrays: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    """The bytes of a version, piece by piece; arrays are not copied.

    Parameters
    ----------
    version
        Without ``arrays`` and ``size``, which are worked out here.
    arrays
        Of integers, floats or bools, of any shape, contiguous.

    Examples
    --------
    >>> version = Version("shop", "boot", 7, 100, 0, {"epoch": 1})
    >>> data = b"".join(layout(version, {"n": np.arange(3)}))
    >>> found, arrays = read(bytearray(data), "shop", "boot")
    >>> found.offset, found.values, arrays["n"]
    (7, {'epoch': 1}, array([0, 1, 2]))
    """
    flat = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    places, at = [], 0
    for name, array in flat.items():
        places.append((name, array.dtype.str, list(array.shape), at))
        at += _padded(array.nbytes)
    header = _encoder.encode(msgspec.structs.replace(version, arrays=places, size=at))
    begin = _PREFIX + len(header)
    yield MAGIC + len(header).to_bytes(8, "little") + _sum(header) + header + bytes(_padded(begin) - begin)
    for array in flat.values():
        if array.nbytes:
            yield array.reshape(-1).view(np.uint8).data
        yield bytes(_padded(array.nbytes) - array.nbytes)


def read(data: "mmap | bytearray", deployment: str, boot: str) -> tuple[Version, dict[str, Array]]:
    """Header and arrays of a version: views of ``data``, which must be writable memory.

    Kernels are compiled for arrays that may be written to; a private mapping is such memory, and nothing
    written there would reach the file.

    Raises
    ------
    SnapshotError
        Damaged, cut short, of another deployment, or written before this machine was started.
    """
    view = memoryview(data)
    if len(view) < _PREFIX or view[: len(MAGIC)] != MAGIC:
        raise SnapshotError(f"models: not a version: it does not begin with {MAGIC!r}")
    length = int.from_bytes(view[4:12], "little")
    begin = _PREFIX + length
    if length > LARGEST_HEADER or begin > len(view) or view[12:20] != _sum(view[_PREFIX:begin]):
        raise SnapshotError("models: wrong checksum: the header is damaged: wait for the next version")
    try:
        version = _decoder.decode(view[_PREFIX:begin])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"models: the header cannot be read: {error}: same build?") from error
    if version.deployment != deployment:
        raise SnapshotError(
            f"models: of deployment {version.deployment!r}, not {deployment!r}: own directory?"
        )
    if version.boot != boot:
        raise SnapshotError("models: written before this machine was started, or on another one")
    if _padded(begin) + version.size != len(view):
        raise SnapshotError(
            f"models: {len(view)} bytes instead of {_padded(begin) + version.size}: cut short"
        )
    return version, {name: _array(data, version, place, _padded(begin)) for name, *place in version.arrays}


def _array(data: "mmap | bytearray", version: Version, place: list[Any], begin: int) -> Array:
    code, shape, at = place
    dtype = np.dtype(code)
    if dtype.kind not in _KINDS or at % ALIGNMENT or at + prod(shape) * dtype.itemsize > version.size:
        raise SnapshotError(f"models: {code} {shape} at {at} does not fit: same build?")
    return np.ndarray(shape, dtype, data, begin + at)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _sum(header: bytes | memoryview) -> bytes:
    return blake2b(header, digest_size=8).digest()
