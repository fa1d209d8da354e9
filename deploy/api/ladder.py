"""The lower rungs of the HTTP side: what is said when the stream does not answer in time.

First the person's last good list, from this process's memory or from Redis, if it is young enough; then
what is popular in their segment, then with everybody, from the file that the learner keeps; then nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from deploy.api.live import LiveView
from deploy.api.stored import Stored
from models.experiments import ARM_NAMES, Experiment
from schemas.errors import UnavailableError
from schemas.events import Request
from schemas.ladder import WORDS, Cause, Rung
from schemas.popular import PopularItem, PopularLists
from schemas.recommendations import Recommendation, RecommendedItem
from schemas.settings import Settings
from schemas.signals import Arm
from streams.popular import path_of, read

LOOK_SECONDS = 5.0
"""Between two looks whether there is a newer file."""

STRANGER, KNOWN = "stranger", "returning"


class PopularFile:
    """The learner's file, read again when it has changed; while it cannot be read, what was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lists: PopularLists | None = None
        self._changed = 0
        self._looked = -LOOK_SECONDS

    async def lists(self) -> PopularLists | None:
        """What is popular; None: never known."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            await asyncio.to_thread(self._look)
        return self._lists

    def _look(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
        except OSError:  # not there (any more)
            return
        if changed != self._changed:
            self._lists = read(self._path) or self._lists
            self._changed = changed


class LowerRungs:
    """Answers without the stream.

    Parameters
    ----------
    stored
        The person's list in Redis.
    clock
        Milliseconds since the epoch; bounds the age of a last good list.
    new_id
        Names what is made here: it stands in no log.
    """

    def __init__(
        self,
        settings: Settings,
        view: LiveView,
        stored: Stored,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._view = view
        self._stored = stored
        self._clock = clock
        self._new_id = new_id
        self._oldest_ms = 1000 * settings.lists.last_good_seconds
        self._experiment = Experiment.of(settings.experiment)
        self._file = PopularFile(path_of(settings.learner.directory, settings.kafka.namespace))

    async def answer(self, request: Request, cause: Cause, why: str) -> Recommendation:
        """The best list that there is.

        Parameters
        ----------
        why
            In words, for the list's reader.

        Raises
        ------
        UnavailableError
            There is none, or the request says what may be listed: nothing else answers it.
        """
        found = None
        if not (request.candidates is not None or request.filters or request.query):
            found = await self._last_good(request, cause, why) or await self._popular(request, cause, why)
        if found is None:
            raise UnavailableError(f"{why}, and nothing can stand for the list ({WORDS[cause]})")
        self._view.observer.on_degraded(found.rung, cause)
        return found

    async def _last_good(self, request: Request, cause: Cause, why: str) -> Recommendation | None:
        known = self._view.lists.newest(request.user_id, request.surface)
        found = known or await self._stored(request.user_id, request.surface)
        if found is None or not found.items or self._clock() - found.ts > self._oldest_ms:
            return None
        return msgspec.structs.replace(found, rung=Rung.LAST_GOOD.value, cause=cause.value, reason=why)

    async def _popular(self, request: Request, cause: Cause, why: str) -> Recommendation | None:
        lists = await self._file.lists()
        if lists is None:
            return None
        arm = self._experiment.arm_of(request.user_id)
        segment = KNOWN if self._view.lists.newest(request.user_id, request.surface) else STRANGER
        theirs = () if arm is Arm.HOLDOUT else self._listable(lists.segments.get(segment, ()), request.k)
        rung = Rung.SEGMENT if len(theirs) == request.k else Rung.GLOBAL
        items = theirs if rung is Rung.SEGMENT else self._listable(lists.everybody, request.k)
        if not items:
            return None
        return Recommendation(
            decision_id=f"unlogged-{self._new_id()}",
            trigger_id=request.request_id,
            user_id=request.user_id,
            ts=self._clock(),
            surface=request.surface,
            items=tuple(_listed(item, place) for place, item in enumerate(items)),
            arm=ARM_NAMES[arm],
            policy="popular",
            epoch=0,
            model=lists.model,
            rung=rung.value,
            cause=cause.value,
            reason=why,
            unlogged=True,
        )

    def _listable(self, items: Sequence[PopularItem], k: int) -> tuple[PopularItem, ...]:
        return tuple([item for item in items if self._view.titles.listable(item.item_id)][:k])


def _listed(item: PopularItem, place: int) -> RecommendedItem:
    """Nothing is drawn here: every item is the only one that could stand in its place."""
    return RecommendedItem(
        item_id=item.item_id,
        position=place,
        score=item.score,
        propensity=1.0,
        parts={"popularity": item.score},
    )
