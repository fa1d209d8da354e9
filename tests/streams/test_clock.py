"""The worker's clock: the broker's time, carried by a clock that never falls."""

from dataclasses import dataclass

from streams.clock import TOLERANCE_MS, BrokerClock


@dataclass
class Machine:
    wall: int
    ns: int = 0

    def broker_clock(self) -> BrokerClock:
        return BrokerClock(lambda: self.wall, lambda: self.ns)


def test_a_wall_clock_that_is_set_changes_nothing():
    """Set an hour forwards or back, it is not looked at: time goes on as it passes."""
    machine = Machine(wall=1_000_000)
    clock = machine.broker_clock()
    for jump in (3_600_000, -7_200_000):
        machine.wall += jump
        machine.ns += 5_000_000
    assert clock() == 1_000_010


def test_the_broker_puts_a_wrong_clock_right():
    """Behind, it is moved at once; ahead by more than an acknowledgement may be late, it is put back."""
    for wrong in (-3_600_000, -1, TOLERANCE_MS + 1, 3_600_000):
        clock = Machine(wall=10_000_000 + wrong).broker_clock()
        clock.heard(10_000_000)
        assert clock() == 10_000_000


def test_an_acknowledgement_that_was_read_late_moves_nothing():
    """The broker's time is of the append; a busy loop may read of it seconds later."""
    clock = Machine(wall=10_000_000).broker_clock()
    clock.heard(10_000_000 - TOLERANCE_MS)
    assert clock() == 10_000_000
