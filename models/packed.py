"""Strings as bytes in flat arrays: hashed, compared and copied by kernels, without a Python object each."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.jit import kernel
from schemas.signals import Int32, Int64, UInt8, UInt64

Array = npt.NDArray[Any]


class Packed:
    r"""Strings as one run of UTF-8 bytes.

    Attributes
    ----------
    data
        Bytes of all strings back to back.
    start
        Where each begins, shape (n + 1,).

    Examples
    --------
    >>> p = Packed(["ab", "ä"])
    >>> bytes(p.data), p.start
    (b'ab\xc3\xa4', array([0, 2, 4]))
    """

    __slots__ = ("data", "start")

    def __init__(self, strings: Sequence[str]) -> None:
        joined = "".join(strings)
        if joined.isascii():
            data, lengths = joined.encode(), map(len, strings)
        else:
            parts = [s.encode() for s in strings]
            data, lengths = b"".join(parts), map(len, parts)
        self.data: UInt8 = np.frombuffer(data, np.uint8)
        self.start: Int64 = np.zeros(len(strings) + 1, np.int64)
        np.cumsum(np.fromiter(lengths, np.int64, len(strings)), out=self.start[1:])

    def __len__(self) -> int:
        return len(self.start) - 1

    def hashes(self) -> UInt64:
        """A 64-bit hash of each string (FNV-1a, then mixed), shape (n,)."""
        out = np.empty(len(self.start) - 1, np.uint64)
        _hashes(self.data, self.start, out)
        return out

    def __iter__(self) -> Iterator[str]:
        data = self.data.tobytes()
        start = self.start.tolist()
        return (data[a:b].decode() for a, b in pairwise(start))

    def take(self, index: Int32 | Int64) -> "Packed":
        """Some of the strings, in the order of ``index``.

        Examples
        --------
        >>> list(Packed(["ab", "c", "ä"]).take(np.array([2, 0])))
        ['ä', 'ab']
        """
        begin = self.start[index]
        return slices(self.data, begin, self.start[index + 1] - begin)

    @classmethod
    def of_bytes(cls, data: UInt8, lengths: npt.NDArray[np.integer[Any]]) -> "Packed":
        """From bytes and the length of each string, shape (n,)."""
        start = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=start[1:])
        return cls.of_arrays(data, start)

    @classmethod
    def of_arrays(cls, data: UInt8, start: Int64) -> "Packed":
        """From bytes and where each string begins."""
        packed = cls.__new__(cls)
        packed.data, packed.start = data, start
        return packed


class PackedIndex:
    """Numbers of strings by their bytes: a growing open-addressing table.

    Examples
    --------
    >>> index = PackedIndex()
    >>> index.extend(["tea", "cup"])
    >>> index.find(Packed(["cup", "pot", "tea"]))
    array([ 1, -1,  0], dtype=int32)
    """

    def __init__(self) -> None:
        self._data: UInt8 = np.zeros(1024, np.uint8)
        self._start: Int64 = np.zeros(65, np.int64)
        self._n = 0
        self._table: Int32 = np.full(128, -1, np.int32)

    def __len__(self) -> int:
        return self._n

    @property
    def strings(self) -> Packed:
        """All strings, by number."""
        return Packed.of_arrays(self._data, self._start[: self._n + 1])

    def extend(self, strings: Sequence[str]) -> None:
        """Number more strings, which are not in the index yet."""
        more = Packed(strings)
        first, n, end = self._n, self._n + len(more), int(self._start[self._n])
        self._data = _room(self._data, end, end + len(more.data))
        self._start = _room(self._start, first + 1, n + 1)
        self._data[end : end + len(more.data)] = more.data
        self._start[first + 1 : n + 1] = end + more.start[1:]
        self._n = n
        if 2 * n > len(self._table):
            self._table = np.full(2 * len(self._start), -1, np.int32)
            first, more = 0, self.strings
        _enter(more.hashes(), first, self._table)

    def find(self, strings: Packed) -> Int32:
        """Number of each string, -1 where it has none, shape (n,)."""
        out = np.empty(len(strings), np.int32)
        own = self.strings
        _find(strings.data, strings.start, strings.hashes(), own.data, own.start, self._table, out)
        return out


def _room(array: Array, used: int, length: int) -> Array:
    """The array, or a copy twice as long, whose first ``used`` entries are kept."""
    if length <= len(array):
        return array
    longer = np.zeros(max(length, 2 * len(array)), array.dtype)
    longer[:used] = array[:used]
    return longer


@kernel
def _hashes(data: UInt8, start: Int64, out: UInt64) -> None:
    for i in range(len(out)):
        h = np.uint64(14695981039346656037)
        for at in range(start[i], start[i + 1]):
            h = (h ^ np.uint64(data[at])) * np.uint64(1099511628211)
        h ^= h >> np.uint64(33)
        h *= np.uint64(18397679294719823053)
        h ^= h >> np.uint64(33)
        h *= np.uint64(14181476777654086739)
        h ^= h >> np.uint64(33)
        out[i] = h


def slices(data: UInt8, begin: Int64, lengths: npt.NDArray[np.integer[Any]]) -> Packed:
    """Strings that stand anywhere in ``data``, in a run of their own."""
    start = np.zeros(len(begin) + 1, np.int64)
    np.cumsum(lengths, out=start[1:])
    out = np.empty(int(start[-1]), np.uint8)
    _copy(data, begin, start, out)
    return Packed.of_arrays(out, start)


@kernel
def _copy(data: UInt8, begin: Int64, to: Int64, out: UInt8) -> None:
    for k in range(len(begin)):
        for at in range(to[k + 1] - to[k]):
            out[to[k] + at] = data[begin[k] + at]


@kernel
def _enter(hashes: UInt64, first: int, table: Int32) -> None:
    size = np.uint64(len(table))
    for i in range(len(hashes)):
        at = int(np.int64(hashes[i] % size))
        while table[at] >= 0:
            at = at + 1 if at + 1 < len(table) else 0
        table[at] = first + i


@kernel
def _find(
    data: UInt8, start: Int64, hashes: UInt64, own: UInt8, own_start: Int64, table: Int32, out: Int32
) -> None:
    size = np.uint64(len(table))
    for i in range(len(out)):
        n = start[i + 1] - start[i]
        at = int(np.int64(hashes[i] % size))
        out[i] = -1
        while table[at] >= 0 and out[i] < 0:
            begin = own_start[table[at]]
            same = own_start[table[at] + 1] - begin == n
            for k in range(n):
                if not same:
                    break
                same = own[begin + k] == data[start[i] + k]
            if same:
                out[i] = table[at]
            at = at + 1 if at + 1 < len(table) else 0
