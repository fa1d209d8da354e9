"""Equal texts that are asked for at the same time are encoded once."""

from hypothesis import given
from hypothesis import strategies as st

from workers.encoder.dedup import InFlight


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_every_waiter_is_answered_exactly_once(steps):
    """Whatever the order of joins and finishes, each waiter leaves with the next finish of its key."""
    flight: InFlight[int, int] = InFlight()
    expected: dict[int, list[int]] = {}
    for number, (key, finish) in enumerate(steps):
        if finish:
            assert flight.finish(key) == expected.pop(key, [])
        else:
            assert flight.join(key, number) == (key not in expected)
            expected.setdefault(key, []).append(number)
    assert len(flight) == len(expected)
