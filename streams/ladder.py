"""Which rung a list is made on: what is known, how much time is left, and how much is asked for."""

from collections.abc import Callable

from schemas.ladder import Cause, Rung
from streams.overload import Overload
from streams.triggers import Trigger

Step = tuple[Rung, Cause | None]
"""The best rung that can be reached, and what is missing where it is not the first."""

WHOLE: Step = (Rung.FULL, None)
SLOWING, FORGETTING = 0.2, 0.9


class Ladder:
    """Decides for each trigger; a deadline decides, never a retry.

    Parameters
    ----------
    known
        What the models allow at all.

    Notes
    -----
    A request whose deadline would pass while a whole batch is scored gets what is popular in the person's
    segment.  The time that a batch takes is a moving average that fades while no whole batch is made, so
    that one is tried again.  A push past its deadline is made in full: nobody waits for it.
    """

    def __init__(self, overload: Overload, known: Callable[[], Step]) -> None:
        self._overload = overload
        self._known = known
        self._batch_ms = 0.0

    def step(self, trigger: Trigger, now: float) -> Step:
        """The rung for a list that is about to be made at ``now``, ms."""
        known = self._known()
        if known[0] is not Rung.FULL or trigger.request is None:
            return known
        if not self._overload.requests:
            return Rung.SEGMENT, Cause.OVERLOAD
        return (Rung.SEGMENT, Cause.DEADLINE) if now + self._batch_ms > trigger.deadline else WHOLE

    def took(self, step: Step, seconds: float) -> None:
        """A batch was scored on this step."""
        if step[0] is Rung.FULL:
            self._batch_ms += SLOWING * (1000 * seconds - self._batch_ms)
        else:
            self._batch_ms *= FORGETTING

    def why(self) -> str | None:
        """A readiness check: None while whole lists can be made."""
        rung, cause = self._known()
        return None if cause is None else f"lists are made on the rung {rung.value}: {cause.value}"
