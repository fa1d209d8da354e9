"""Evaluations beside each other give what they give alone."""

import multiprocessing

import pytest

from deploy.evaluation.runs import run_all
from models.evaluation.evaluation import Plan
from models.evaluation.walk import LogEvent
from schemas.errors import SettingsError, UnavailableError
from schemas.settings import EngineSettings

LOG = [LogEvent(f"u{n % 6}", f"i{(n // 6 + n % 6) % 15}", 60.0 * n) for n in range(450)]
PLANS = {
    "": Plan(EngineSettings(factors=8), keep_seen=True),
    "factors": Plan(EngineSettings(factors=8), keep_seen=True).without("factors"),
}


@pytest.mark.slow
def test_processes_do_not_change_figures() -> None:
    """One after the other or side by side: the same places, and every event reported once."""
    done = {1: 0.0, 2: 0.0}

    def advance(jobs):
        def more(events: float) -> None:
            done[jobs] += events

        return more

    alone, beside = (run_all(PLANS, LOG, {}, jobs=jobs, advance=advance(jobs)) for jobs in (1, 2))
    assert list(alone) == list(beside) == list(PLANS)
    for name in PLANS:
        assert alone[name].ranks == beside[name].ranks
        assert alone[name].summaries() == beside[name].summaries()
        assert alone[name].reliability.table() == beside[name].reliability.table()
    assert done == {1: 2 * len(LOG), 2: 2 * len(LOG)}
    assert "factors" in alone[""].ranks
    assert "factors" not in alone["factors"].ranks


@pytest.mark.slow
def test_what_fails_in_a_process_fails_here() -> None:
    """The error of a worker is raised, and the walks of the others are cut short."""
    plans = {"": PLANS[""], "odd": PLANS[""].without("nonsense")}
    walked: list[float] = []
    with pytest.raises(SettingsError, match="'nonsense': no such part"):
        run_all(plans, LOG * 40, {}, jobs=2, advance=walked.append)
    assert sum(walked) < 40 * len(LOG)


@pytest.mark.slow
def test_a_process_that_dies_is_not_waited_for() -> None:
    """Killed, as for its memory: a sentence with a remedy."""

    def kill(_: float) -> None:
        for child in multiprocessing.active_children()[:1]:
            child.kill()

    with pytest.raises(UnavailableError, match="try --jobs 1"):
        run_all(PLANS, LOG * 40, {}, jobs=2, advance=kill)
