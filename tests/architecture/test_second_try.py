"""The second try of `.ci/run`: for what a busy machine does, never for what the oracle found."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")

ROOT = Path(__file__).parents[2]

CONFTEST = """
from tests.verdict import second_try

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(second_try(item.nodeid))
"""

TESTS = """
import pytest
from tests.verdict import VerdictError, accuse, acquit

tries = []

@pytest.fixture
def once():
    tries.append(1)
    return len(tries) == 1

def test_is_slow_at_first(once):
    assert not once, "too slow"

def test_is_found_out(once):
    acquit({"lost": 1} if once else {})

def test_is_found_out_and_fails_of_something_else(once):
    try:
        acquit({"lost": 1} if once else {})
    finally:
        if once:
            raise TimeoutError

def test_is_accused_and_fails_before_it_says_so(once):
    accuse({"lost": 1} if once else {})
    assert not once
"""


def test_only_the_innocent_are_tried_again(tmp_path: Path) -> None:
    """Of four that fail at first and would pass then, one had nothing found."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_tries.py").write_text(TESTS)
    done = [_run(tmp_path, name) for name in _names()]
    assert [text.splitlines()[-1].partition(" in ")[0] for text in done] == [
        "1 passed, 1 rerun",
        "1 failed",
        "1 failed",
        "1 failed",
    ]


def _names() -> list[str]:
    return [line[4:].partition("(")[0] for line in TESTS.splitlines() if line.startswith("def test_")]


def _run(directory: Path, name: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_tries.py::{name}"]
    path = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        command, cwd=directory, env=path, capture_output=True, text=True, timeout=60, check=False
    )
    return found.stdout
