"""Heavy work takes turns, and between two turns the event loop runs freely.

A record needs about eight turns of the loop from the socket through Faust to its agent.  If each of
them also applied a run on every partition and scored a batch of lists, 3 to 6 ms a piece, the hop
would take 80 ms on an idle machine; with light turns between heavy ones it takes one of these pieces.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LIGHT_TURNS = 8


class Pace:
    """Serialises heavy work, first come, first served."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def heavy(self) -> AsyncIterator[None]:
        """Enter when it is our turn and the loop has turned ``LIGHT_TURNS`` times without heavy work."""
        async with self._one:
            for _ in range(LIGHT_TURNS):
                await asyncio.sleep(0)
            yield
