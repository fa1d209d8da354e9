"""Evaluations of one log, one after the other or one on each core."""

import multiprocessing
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_longlong
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Final

from models.evaluation.evaluation import Plan, evaluate
from models.evaluation.tally import Tally
from models.evaluation.walk import LogEvent
from schemas.catalogue import Item
from schemas.errors import UnavailableError

Advance = Callable[[float], None]

REPORT: Final = 200
"""Events that a process walks between two reports of its progress."""
GLANCE_SECONDS: Final = 0.25

_given: "tuple[Sequence[LogEvent], Mapping[str, Item], Synchronized[int], Event] | None" = None
"""What a worker process walks, where it counts events, and whether it shall stop."""


def run_all(
    plans: Mapping[str, Plan],
    events: Sequence[LogEvent],
    items: Mapping[str, Item],
    *,
    jobs: int,
    advance: Advance,
) -> dict[str, Tally]:
    """Walk the log by every plan.

    Parameters
    ----------
    jobs
        Processes at once; 1 walks in this one.
    advance
        Called with how many more events were walked, by whomever.

    Returns
    -------
    dict
        In the order of the plans; the figures do not depend on ``jobs``.

    Raises
    ------
    UnavailableError
        A process died.
    """
    if jobs == 1 or len(plans) == 1:
        return {
            name: evaluate(plan, events, items, progress=lambda: advance(1.0)) for name, plan in plans.items()
        }
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value(c_longlong, 0), context.Event()
    given = (events, items, done, stop)
    workers = min(jobs, len(plans))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=given) as pool:
        futures = {name: pool.submit(_walk, plan) for name, plan in plans.items()}
        try:
            _follow(list(futures.values()), done, advance)
            return {name: future.result() for name, future in futures.items()}
        except BrokenProcessPool as error:
            raise UnavailableError("--jobs: a process of the evaluation died: try --jobs 1") from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _follow(futures: "Sequence[Future[Tally]]", done: "Synchronized[int]", advance: Advance) -> None:
    """Report progress until every future is done; the first that fails raises its error."""
    left, shown = set(futures), 0
    while left:
        finished, left = wait(left, GLANCE_SECONDS, FIRST_COMPLETED)
        advance(done.value - shown)
        shown = done.value
        for future in finished:
            future.result()


def _begin(
    events: Sequence[LogEvent], items: Mapping[str, Item], done: "Synchronized[int]", stop: "Event"
) -> None:
    """Make a worker process ready; an interrupt ends it without a word."""
    global _given  # noqa: PLW0603  a process has one log
    _given = events, items, done, stop
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _walk(plan: Plan) -> Tally:
    if _given is None:
        raise RuntimeError("evaluation: a process was not made ready")
    events, items, done, stop = _given
    walked = 0

    def report(more: int) -> None:
        with done.get_lock():
            done.value += more

    def progress() -> None:
        nonlocal walked
        walked += 1
        if walked % REPORT == 0:
            report(REPORT)
            if stop.is_set():
                raise CancelledError("another walk has failed, or nobody waits any more")

    tally = evaluate(plan, events, items, progress=progress)
    report(walked % REPORT)
    return tally
