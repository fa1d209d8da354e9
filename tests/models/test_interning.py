"""Interning from several threads: one slot per id, one id per slot."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from models.interning import Interner

THREADS, IDS = 4, 3000


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_agree_on_every_slot() -> None:
    """All intern the same ids at once, in orders of their own; whoever finds a slot finds its id."""
    items = Interner()
    items.share(Lock())

    def run(number: int) -> list[tuple[str, int]]:
        ids = [f"i{(n * 7919 + number * 1000) % IDS}" for n in range(IDS)]
        found = [(name, items.intern(name)) for name in ids]
        assert all(items.id_of(slot) == name for name, slot in found)
        return found

    with ThreadPoolExecutor(THREADS) as threads:
        all_found = [dict(found) for found in threads.map(run, range(THREADS))]
    assert all(found == all_found[0] for found in all_found)
    assert sorted(all_found[0].values()) == list(range(1, IDS + 1))
