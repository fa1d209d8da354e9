"""One encoding for equal texts that are asked for at the same time."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
W = TypeVar("W")


class InFlight(Generic[K, W]):
    """Who waits for which key.

    Examples
    --------
    >>> flight = InFlight[str, int]()
    >>> flight.join("tea", 1), flight.join("tea", 2), flight.join("cup", 3)
    (True, False, True)
    >>> flight.finish("tea"), flight.finish("tea")
    ([1, 2], [])
    """

    def __init__(self) -> None:
        self._waiting: dict[K, list[W]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, key: K, waiter: W) -> bool:
        """Wait for ``key``; True when nobody did before, so that the caller must have it made."""
        waiting = self._waiting.setdefault(key, [])
        waiting.append(waiter)
        return len(waiting) == 1

    def finish(self, key: K) -> list[W]:
        """All who wait for ``key``, in the order in which they joined; they wait no longer."""
        return self._waiting.pop(key, [])
