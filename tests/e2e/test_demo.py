"""The demo as a user runs it: everything comes up, people are served, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deploy.ending import LEAVE_SECONDS
from deploy.process import free_port
from tests.e2e.processes import left_after, started

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(600)]

DEMO = [sys.executable, "-m", "deploy.cli", "demo"]
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
OPEN_SECONDS, PATIENCE_SECONDS = 25.0, 150.0
END_SECONDS = 60.0


def test_people_are_served(tmp_path: Path) -> None:
    """25 seconds, and until the auditor has looked: events, lists on the upper rungs, clicks in both arms."""
    with demo(tmp_path) as shop:
        watch(shop, opened(shop))
        shop.send_signal(signal.SIGINT)
        out, err = shop.communicate(timeout=END_SECONDS)
    assert shop.returncode == 0, err
    report = json.loads(out)
    assert report["events"] > 500, report
    assert report["lists"] > 200, report
    assert report["dead_letters"] == 0, report
    assert report["unanswered"] < 0.5 * report["sessions"], report
    # a machine that is too busy to make whole lists in time says so; what needs an outage must not be seen
    assert set(report["rungs"]) <= {"full", "no-vectors", "segment-popular"}, report
    assert report["click_rate"]["treatment"] > 0, report
    assert report["click_rate"]["holdout"] > 0, report
    assert report["p99_ms"] > 0, report
    assert report["checks"] > 0, report
    assert report["ended"] == {}, report
    assert left_after(tmp_path, 5.0) == []
    assert not list(tmp_path.glob(".data/demo-*"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_cleanly_when_asked(tmp_path: Path, name: str) -> None:
    """Ctrl-C and SIGTERM: within a minute exit code 0, figures printed, no process left."""
    with demo(tmp_path) as shop:
        opened(shop)
        time.sleep(3)
        shop.send_signal(getattr(signal, name))
        out, err = shop.communicate(timeout=END_SECONDS)
    assert shop.returncode == 0, err
    assert json.loads(out)["lists"] > 0
    assert left_after(tmp_path, 5.0) == []


def test_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    """After SIGKILL, which nobody can handle, the kernel tells the children to end, and they do."""
    with demo(tmp_path) as shop:
        opened(shop)
        shop.kill()
    # The broker is told with the stream: what the stream then waits for, it leaves after its own time.
    assert left_after(tmp_path, LEAVE_SECONDS + 15) == []


def demo(folder: Path) -> "AbstractContextManager[subprocess.Popen[str]]":
    """A demo that works in a folder."""
    return started([*DEMO, "--port", str(free_port(19280)), "--json"], cwd=folder, env=ENVIRONMENT)


def opened(shop: "subprocess.Popen[str]") -> str:
    """The address of the page, as soon as the first list is there."""
    assert shop.stderr is not None
    said: list[str] = []
    for line in shop.stderr:
        said.append(line)
        if line.startswith("first list after"):
            return next(line.split()[-1] for line in said if line.startswith("live page: "))
    pytest.fail(f"the demo ended before its first list: {''.join(said)}")


def watch(shop: "subprocess.Popen[str]", page: str) -> None:
    """Leave the shop open for its time, and as long as needed until the auditor has looked."""
    begun = time.monotonic()
    while shop.poll() is None and (open_for := time.monotonic() - begun) < PATIENCE_SECONDS:
        if open_for >= OPEN_SECONDS and audited(page):
            return
        time.sleep(0.5)


def audited(page: str) -> bool:
    """Whether the page knows a report of the auditor."""
    try:
        with urllib.request.urlopen(f"{page}metrics", timeout=30) as answer:
            return b"\nstreamwise_causal_log_e_up{" in answer.read()
    except OSError:  # it does not listen yet
        return False
