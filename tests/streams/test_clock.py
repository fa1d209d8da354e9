"""The worker's clock: the broker's time, carried by a clock that never falls."""

from dataclasses import dataclass

from streams.clock import BrokerClock


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
    """Behind at the acknowledgement, or ahead when the record was sent: it is moved to the broker's time."""
    for wrong in (-3_600_000, -1, 1, 3_600_000):
        clock = Machine(wall=10_000_000 + wrong).broker_clock()
        clock.heard(10_000_000, clock.passed())
        assert clock() == 10_000_000


def test_an_acknowledgement_that_comes_late_moves_nothing():
    """Brokers were away for half a minute: whenever in it the record was taken, the clock may be right."""
    for taken in (0, 1, 15_000, 29_999, 30_000):
        machine = Machine(wall=10_000_000)
        clock = machine.broker_clock()
        asked = clock.passed()
        machine.ns += 30_000 * 1_000_000
        clock.heard(10_000_000 + taken, asked)
        assert clock() == 10_030_000
