"""A loop that turns late is told of; one that stands ends its process, with the stacks of its threads."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.health import Health
from deploy.metrics import Metrics
from deploy.process import spawn
from deploy.supervisor import PAUSES, Supervisor
from deploy.watchdog import STATUS, watched
from schemas.settings import HealthSettings, Settings
from tests.streams.clients.room import eventually

ROOT = Path(__file__).parents[2]

PROCESS = """
import asyncio, re, sys, time
import deploy.watchdog
from deploy.health import Health
from deploy.metrics import Metrics
from schemas.settings import HealthSettings

hung, how = float(sys.argv[1]), sys.argv[2]
if how == "match":  # no thread will look
    deploy.watchdog.GRACE_SECONDS = 3.0

def stand_still():
    if how == "sleep":
        time.sleep(2.5 if hung == 0 else 120)
    else:  # a match that takes for ever holds the interpreter lock all the while
        re.match("(a+)+$", "a" * 64 + "b")

async def main():
    with deploy.watchdog.watched(HealthSettings(hung_seconds=hung), Health(), Metrics().process):
        await asyncio.sleep(0.3)
        stand_still()

asyncio.run(main())
print("went on")
"""

STANDS = "the event loop has not turned for "
HUNG = 3.0
"""A machine that stalls for a moment before the loop is made to stand must not end the process."""


def run(hung: float, how: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", PROCESS, str(hung), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_blocked_loop_ends_its_process() -> None:
    """Status 70; the log says why and where every thread stands."""
    status, _, said = run(HUNG, "sleep")
    assert status == STATUS
    assert re.match(rf"error: watchdog: {STANDS}\d+ s; ", said)
    assert "in stand_still" in said
    assert said.count("most recent call first") >= 2


def test_a_loop_blocked_with_the_interpreter_lock_held_ends_its_process_too() -> None:
    """No thread of Python can look then: the timer that needs no lock ends it."""
    status, _, said = run(HUNG, "match")
    assert status == 1
    assert "Timeout" in said
    assert "in stand_still" in said


def test_zero_ends_nothing() -> None:
    """The watchdog may be switched off."""
    assert run(0.0, "sleep") == (0, "went on\n", "")


async def test_a_late_loop_is_not_ready_and_is_measured() -> None:
    """While it stands, another thread is told; afterwards the metric and the reason remember."""
    health, metrics = Health(), Metrics()
    value = metrics.registry.get_sample_value

    def told() -> str:
        return health.readiness().checks["event-loop"]

    def ask() -> str:
        deadline = time.monotonic() + 30
        while not told().startswith(STANDS) and time.monotonic() < deadline:
            time.sleep(0.05)
        return told()

    with watched(HealthSettings(max_loop_lag_seconds=1.0, hung_seconds=0), health, metrics.process):
        await eventually(lambda: value("streamwise_loop_lag_seconds_count"))  # it turns
        await eventually(lambda: health.readiness().checks == {"event-loop": "ok"})
        with ThreadPoolExecutor(1) as pool:
            said = pool.submit(ask).result()  # the loop stands until the other thread has been told
        assert said.startswith(STANDS)
        await eventually(lambda: "s late" in told())
    late = value("streamwise_loop_lag_seconds_count") - value(
        "streamwise_loop_lag_seconds_bucket", {"le": "0.25"}
    )
    assert late >= 1


ROLE = "no-such-role"
STOOD = f"import sys; print('error: watchdog: stood'); sys.exit({STATUS})"
LOCKED = """
import faulthandler, re
faulthandler.dump_traceback_later(0.3, exit=True)
re.match("(a+)+$", "a" * 64 + "b")
"""


def fall(children: Supervisor, script: str) -> None:
    """The role's place is taken by a process that has ended so."""
    children.roles[ROLE].wait()
    children.roles[ROLE] = spawn([sys.executable, "-c", script], log=children.log(ROLE))
    children.roles[ROLE].wait()


def test_a_role_that_its_watchdog_ended_is_started_again(tmp_path: Path) -> None:
    """By its status; any other end is left to be reported."""
    with Supervisor(tmp_path, Settings()) as children:
        children.start(ROLE)
        children.roles[ROLE].wait()
        assert children.revive() == {}
        fall(children, STOOD)
        hung = children.roles[ROLE]
        assert children.revive() == {ROLE: "error: watchdog: stood"}
        assert children.roles[ROLE] is not hung
        assert children.roles[ROLE].wait() == 2


def test_a_role_that_kept_the_interpreter_lock_is_started_again(tmp_path: Path) -> None:
    """Its status is that of any error; what it said tells, and only what it said in this life."""
    with Supervisor(tmp_path, Settings(), clock=lambda: 0.0) as children:
        children.start(ROLE)
        fall(children, LOCKED)
        assert children.roles[ROLE].returncode == 1
        assert children.ended() == {}
        assert list(children.revive()) == [ROLE]
        fall(children, "import sys; sys.exit(1)")
        assert children.revive() == {}
        assert list(children.ended()) == [ROLE]


def test_a_role_that_falls_again_and_again_waits_longer_and_is_given_up(tmp_path: Path) -> None:
    """While it waits it is not reported as gone; after its last fall it is."""
    now = 0.0
    with Supervisor(tmp_path, Settings(), clock=lambda: now) as children:
        children.start(ROLE)
        for pause in PAUSES:
            fall(children, STOOD)
            if pause:
                assert children.revive() == children.ended() == {}
            now += pause
            assert list(children.revive()) == [ROLE]
        fall(children, STOOD)
        assert children.revive() == {}
        now += 60
        assert children.revive() == {}
        assert list(children.ended()) == [ROLE]
