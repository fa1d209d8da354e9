"""The worker's side of the guardrail: whoever may have missed an order serves the safe policy.

Orders are rows of ``signals``; the engine's policy fold obeys them where it reads them, so between two
batches.  What is left to watch is a worker whose learner falls behind the log: an order may stand in the
part that it has not read.  Past a limit it steps down by itself, and back up when it has caught up.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

LOOK_SECONDS = 0.5
MARKS = 128
"""Places of the log whose age is remembered; when they run out, the newest moves on."""


class Obeys(Protocol):
    """``models.policy.view.PolicyState``."""

    def trust(self, trusted: bool) -> None:  # noqa: FBT001  the answer itself
        """Serve what the log says, or the safe policy."""


class Progress(Protocol):
    """How far the learner is."""

    @property
    def next_offset(self) -> int:
        """First offset of ``signals`` that is not folded."""

    @property
    def lag(self) -> int:
        """Records between that and the end of the log."""

    @property
    def silent(self) -> float:
        """Seconds since anything was heard of where the log ends."""


class Guardrail:
    """Trusts a worker while everything older than the limit is folded.

    Parameters
    ----------
    limit_seconds
        How long ago the end of what is folded may have been the end of the log.

    Examples
    --------
    >>> class Policy:
    ...     def trust(self, trusted):
    ...         print("log's policy" if trusted else "safe policy")
    >>> guardrail = Guardrail(Policy(), limit_seconds=30)
    >>> guardrail.look(now=0.0, end=10, folded=0)
    0.0
    >>> guardrail.look(now=40.0, end=20, folded=5)
    safe policy
    40.0
    >>> guardrail.look(now=41.0, end=20, folded=20)
    log's policy
    0.0
    """

    def __init__(self, policy: Obeys, *, limit_seconds: float) -> None:
        if limit_seconds <= 0:
            raise ValueError(f"limit_seconds must be positive, got {limit_seconds}")
        self._policy = policy
        self._limit = limit_seconds
        self._marks: deque[tuple[float, int]] = deque()
        self.trusted = True

    def look(self, now: float, end: int, folded: int, silent: float = 0.0) -> float:
        """Note where the log ends and how much of it is folded; returns how many seconds we are behind.

        Whoever has not heard of the log for ``silent`` seconds is behind by these at least.
        """
        while self._marks and folded >= self._marks[0][1]:
            self._marks.popleft()
        if end > (self._marks[-1][1] if self._marks else folded):
            if len(self._marks) == MARKS:
                self._marks.pop()
            self._marks.append((now, end))
        behind = max(now - self._marks[0][0] if self._marks else 0.0, silent)
        if (behind <= self._limit) != self.trusted:
            self.trusted = not self.trusted
            self._policy.trust(self.trusted)
        return behind

    async def run(self, learner: Progress, clock: Callable[[], float]) -> None:
        """Look twice a second until cancelled."""
        while True:
            folded = learner.next_offset
            self.look(clock(), folded + learner.lag, folded, learner.silent)
            await asyncio.sleep(LOOK_SECONDS)
