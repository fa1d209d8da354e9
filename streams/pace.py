"""Heavy work takes turns, and between two turns, or beside it, the event loop runs freely.

A record needs about eight turns of the loop from the socket through Faust to its agent.  If each of
them also applied a run on every partition and scored a batch of lists, 3 to 6 ms a piece, the hop
would take 80 ms on an idle machine; with light turns between heavy ones it takes one of these pieces.

Whatever reads the models runs on one thread, one after the other: it is mostly kernels, the
long ones of which let go of the interpreter lock, so the loop goes on fetching, applying and sending
meanwhile, on another core where there is one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

LIGHT_TURNS = 8
SLICE_SECONDS = 0.002
"""Long work is cut into pieces of about this length, plus the one item that passes it."""


class Pace:
    """Serialises heavy work, first come, first served.

    Parameters
    ----------
    clock
        Seconds; measures slices.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._one = asyncio.Lock()
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "kernels")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    async def aside(self, work: Callable[[], T]) -> T:
        """The result of work that is done on the thread, first come, first served.

        What has not begun when its caller is cancelled is not done; what has begun is done to its end.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @asynccontextmanager
    async def heavy(self) -> AsyncIterator[None]:
        """Enter when it is our turn and the loop has turned ``LIGHT_TURNS`` times without heavy work."""
        async with self._one:
            await self._light()
            yield

    async def sliced(self, work: Iterator[T], *, at_once: int = 1) -> list[T]:
        """Everything that ``work`` yields, made in slices of ``SLICE_SECONDS``, each a heavy turn.

        Parameters
        ----------
        at_once
            Slices that follow each other before other heavy work has its turn; the loop turns in between.
        """
        done: list[T] = []
        while True:
            async with self._one:
                for _ in range(at_once):
                    await self._light()
                    until = self._clock() + SLICE_SECONDS
                    for item in work:
                        done.append(item)
                        if self._clock() >= until:
                            break
                    else:
                        return done

    async def _light(self) -> None:
        """Let the loop turn without heavy work."""
        for _ in range(LIGHT_TURNS):
            await asyncio.sleep(0)
