"""The runs that wait for one partition: bounded by count and by bytes."""

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

MAX_RUNS = 64
MAX_BYTES = 16 << 20


class Sized(Protocol):
    """Something that takes memory while it waits."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""


T = TypeVar("T", bound=Sized)


class Runs(Generic[T]):
    """A queue whose ``put`` waits while it is full; one that is larger than the bound passes alone.

    Parameters
    ----------
    max_runs, max_bytes
        It is full when either is reached.
    """

    def __init__(self, max_runs: int = MAX_RUNS, max_bytes: int = MAX_BYTES) -> None:
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._waiting: deque[T] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()  # who waits for room goes in the order of coming

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    async def put(self, run: T) -> None:
        """Append; waits for room."""
        async with self._turn:
            await self._room.wait()
            self._waiting.append(run)
            self._count(run.size)

    async def get(self) -> T:
        """The oldest; waits until there is one."""
        await self._some.wait()
        return self.get_nowait()

    def get_nowait(self) -> T:
        """The oldest.

        Raises
        ------
        IndexError
            There is none.
        """
        run = self._waiting.popleft()
        self._count(-run.size)
        return run

    def _count(self, size: int) -> None:
        self._bytes += size
        full = len(self._waiting) >= self._max_runs or self._bytes >= self._max_bytes
        (self._room.clear if full else self._room.set)()
        (self._some.set if self._waiting else self._some.clear)()
