"""How many lists a batch takes."""

from dataclasses import dataclass
from typing import Any

import pytest

from schemas.settings import ListSettings
from streams.lists import Lists


@pytest.mark.parametrize(
    ("batch", "waiting", "taken"),
    [
        pytest.param(64, 10, 64, id="few"),
        pytest.param(64, 256, 64, id="four batches"),
        pytest.param(64, 257, 256, id="more than four"),
        pytest.param(100, 257, 256, id="the limit of the setting"),
        pytest.param(256, 5000, 256, id="at the limit"),
        pytest.param(1, 5, 4, id="small ones"),
    ],
)
def test_where_many_wait_more_are_scored_at_once(batch, waiting, taken):
    """Four batches as one, if they are full; never more than a batch may have."""
    assert count(batch, Waiting(waiting, coalesces=False)) == taken


def test_where_newer_events_replace_what_waits_a_batch_stays_small():
    """What waits does not grow with the load then, and a larger batch only makes everybody's list later."""
    assert count(64, Waiting(500, coalesces=True)) == 64


@dataclass
class Waiting:
    """A queue as the count sees it."""

    triggers: int
    coalesces: bool

    def __len__(self) -> int:
        return self.triggers


def count(batch: int, queue: Waiting) -> int:
    """How many lists the next batch takes."""
    lists: Any = object.__new__(Lists)
    lists._settings, lists._queue = ListSettings(batch=batch), queue
    taken: int = lists._count()
    return taken
