"""Lists of the Redis view: looked up while it answers, and it is left alone while it does not."""

import logging
from collections.abc import Awaitable, Callable

from deploy.api.observer import ApiObserver
from schemas.errors import UnavailableError
from schemas.recommendations import Recommendation
from schemas.settings import Settings
from streams.view import connect, read_list

log = logging.getLogger(__name__)

Stored = Callable[[str, str], Awaitable[Recommendation | None]]
"""Looks a person's list of a surface up in the Redis view."""

REST_SECONDS = 5.0
"""How long Redis is left alone after a failure: a request that waits for its timeout waits for nothing."""


class StoredLists:
    """Looks lists up in Redis; without it the process's own memory is all there is.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, settings: Settings, observer: ApiObserver, clock: Callable[[], float]) -> None:
        self._client = connect(settings.redis)
        self._namespace = settings.kafka.namespace
        self._observer = observer
        self._clock = clock
        self._rest_until = float("-inf")
        self._why: str | None = None

    def why(self) -> str | None:
        """Why nothing is looked up; None while Redis answers."""
        return self._why

    async def look(self, user: str, surface: str) -> Recommendation | None:
        """A person's list; None when there is none, or no Redis."""
        if self._clock() < self._rest_until:
            return None
        try:
            found = await read_list(self._client, self._namespace, user, surface)
        except UnavailableError as error:
            self._rest(str(error))
            return None
        if self._why is not None:
            log.warning("the Redis view answers again")
            self._why = None
        return found

    def _rest(self, why: str) -> None:
        self._rest_until = self._clock() + REST_SECONDS
        self._observer.on_stored_failed()
        if self._why is None:
            log.warning("the Redis view does not answer, lists of other processes are not found: %s", why)
        self._why = why

    async def close(self) -> None:
        """Let go of Redis."""
        await self._client.aclose()
