"""Named growable arrays: one writer, any number of readers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
GENTLE = 65_536
"""From so many rows on, room that may never be used costs more than copying sooner."""


class Arena:
    """Arrays that share their first dimension and grow together.

    Growing replaces an array by a longer copy: whoever still reads the old one sees a consistent
    past.  Rows that were never written hold the fill value.

    Examples
    --------
    >>> arena = Arena()
    >>> arena.declare("count", np.float64)
    >>> arena.reserve(3)
    >>> arena["count"][2] = 5.0
    >>> arena.reserve(1000)
    >>> float(arena["count"][2]), len(arena["count"]) >= 1000
    (5.0, True)
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._fill: dict[str, float] = {}
        self.capacity = 0

    def declare(self, name: str, dtype: npt.DTypeLike, width: tuple[int, ...] = (), fill: float = 0) -> None:
        """Add an array of shape ``(capacity, *width)``."""
        if name in self._arrays:
            raise ValueError(f"arena: {name!r} is declared twice")
        self._fill[name] = fill
        self._arrays[name] = np.full((self.capacity, *width), fill, dtype)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def reserve(self, rows: int) -> None:
        """Make room for at least ``rows`` rows; amortised by doubling, past 65,536 rows by eighths."""
        if rows <= self.capacity:
            return
        more = self.capacity if self.capacity < GENTLE else self.capacity // 8
        capacity = max(rows, self.capacity + more, 64)
        for name, old in self._arrays.items():
            new = np.full((capacity, *old.shape[1:]), self._fill[name], old.dtype)
            new[: len(old)] = old
            self._arrays[name] = new
        self.capacity = capacity

    def export(self, rows: int) -> dict[str, Array]:
        """The first rows of every array (views): what capacity was reserved does not show."""
        self.reserve(rows)
        return {name: array[:rows] for name, array in self._arrays.items()}

    def adopt(self, arrays: Mapping[str, Array]) -> None:
        """Hold these arrays, which ``export`` gave, instead of one's own: themselves, not copies."""
        self._arrays = {name: arrays[name] for name in self._arrays}
        self.capacity = min((len(array) for array in self._arrays.values()), default=0)

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(array.nbytes for array in self._arrays.values())
