"""Named places at which a test may kill, stop or end the worker: the steps of the order of effects."""

import os
import signal
from enum import StrEnum


class Step(StrEnum):
    """Where a worker can be told to die."""

    INTAKE_SENT = "intake-sent"
    INTAKE_LANDED = "intake-landed"
    APPLIED = "applied"
    DECISIONS_SENT = "decisions-sent"
    DECISIONS_LANDED = "decisions-landed"
    RECOMMENDATIONS_SENT = "recommendations-sent"
    SIGNALS_LANDED = "signals-landed"
    CHECKPOINT_OPEN = "checkpoint-open"
    CHECKPOINT_WRITTEN = "checkpoint-written"
    ACKNOWLEDGED = "acknowledged"


STDERR = 2
"""Written to directly: after SIGKILL nobody flushes."""

HOW = {"": signal.SIGKILL, "pause": signal.SIGSTOP, "term": signal.SIGTERM}


class CrashPoint:
    """Kills this process with SIGKILL, or sends it another signal, when a step is passed for the n-th time.

    Parameters
    ----------
    spec
        ``"step"`` or ``"step:n"`` (n counts from 1); empty: never.  ``"step:n:pause"`` stops the process
        (SIGSTOP) instead: whoever continues it later has a zombie in the middle of that step.
        ``"step:n:term"`` tells it to end (SIGTERM).

    Examples
    --------
    >>> CrashPoint("")(Step.APPLIED)
    >>> CrashPoint("apply")
    Traceback (most recent call last):
    ...
    ValueError: crash point 'apply': one of intake-sent, intake-landed, applied, ...
    >>> CrashPoint("applied:2:sleep")
    Traceback (most recent call last):
    ...
    ValueError: crash point 'applied:2:sleep': after the count comes 'pause', 'term' or nothing
    """

    def __init__(self, spec: str = "") -> None:
        name, _, rest = spec.partition(":")
        count, _, how = rest.partition(":")
        if name and name not in set(Step):
            raise ValueError(f"crash point {name!r}: one of {', '.join(Step)}")
        if how not in HOW:
            raise ValueError(f"crash point {spec!r}: after the count comes 'pause', 'term' or nothing")
        self._step = Step(name) if name else None
        self._left = int(count or 1)
        self._signal = HOW[how]

    def __call__(self, step: Step) -> None:
        """Pass a step."""
        if step is self._step:
            self._left -= 1
            if self._left == 0:
                os.write(STDERR, f"crash point {step}: {self._signal.name}\n".encode())
                os.kill(os.getpid(), self._signal)
