"""Server-sent events of the live page: each fragment when it has changed, the visitor's at once."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager

import msgspec

from deploy.api.context import ApiContext
from deploy.api.page import fragments

PERIOD_SECONDS = 0.5
QUIET_PERIODS = 30
"""A comment is sent after so many periods without news, so that a dead connection is noticed."""


class Viewers:
    """All open pages: what they share is rendered once, too many are refused, and all end together.

    Parameters
    ----------
    limit
        Pages that may be open at a time.
    """

    def __init__(self, context: ApiContext, limit: int = 200) -> None:
        self._context = context
        self._limit = limit
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._shared: dict[str, str] = {}
        self._rendered = 0

    @property
    def full(self) -> bool:
        """Whether no further page may open."""
        return self._open >= self._limit

    def fragments(self, you: str, followed: str = "") -> dict[str, str]:
        """Every fragment by the id of the element that it fills.

        Parameters
        ----------
        you
            The visitor's own user id.
        followed
            Whose list to show beside it; empty: whoever acts.
        """
        now = self._context.clock()
        if now - self._rendered >= PERIOD_SECONDS * 900:
            self._rendered = now
            self._shared = fragments.shared(self._context.view, now)
        return self._shared | fragments.personal(self._context.view, you, followed)

    async def stream(self, you: str, followed: str) -> AsyncGenerator[bytes, None]:
        """One page's messages, until it is closed or the process ends."""
        sent: dict[str, str] = {}
        quiet = 0
        people = (you, followed) if followed else (you,)
        with self._joined(), self._context.view.watch(people) as changed:
            yield b"retry: 1000\n\n"
            while not self._closing:
                news = self._news(you, followed, sent)
                quiet = 0 if news else quiet + 1
                if news:
                    yield news
                elif quiet % QUIET_PERIODS == 0:
                    yield b": still here\n\n"
                await _pause(changed)

    def background(self, work: Coroutine[None, None, None]) -> None:
        """Do something for a page without keeping it waiting."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all streams (each within a period) and all work for them."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _news(self, you: str, followed: str, sent: dict[str, str]) -> bytes:
        """Messages for the fragments that differ from what this page has."""
        fresh = {name: html for name, html in self.fragments(you, followed).items() if sent.get(name) != html}
        sent.update(fresh)
        return b"".join(
            b"event: fragment\ndata: " + msgspec.json.encode({"id": name, "html": html}) + b"\n\n"
            for name, html in fresh.items()
        )

    @contextmanager
    def _joined(self) -> Iterator[None]:
        self._open += 1
        self._context.view.observer.on_viewers(self._open)
        try:
            yield
        finally:
            self._open -= 1
            self._context.view.observer.on_viewers(self._open)


async def _pause(changed: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(changed.wait(), PERIOD_SECONDS)
    except TimeoutError:  # nothing urgent: time for the next look
        return
    changed.clear()
