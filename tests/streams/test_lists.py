"""How many lists a batch takes."""

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
    lists = object.__new__(Lists)
    lists._settings, lists._queue = ListSettings(batch=batch), range(waiting)
    assert lists._count() == taken
