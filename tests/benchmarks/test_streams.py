"""What streaming costs on a real Kafka: limits on ratios to plain loops of the same run."""

import pytest

from deploy.benchmarks import intake, learner, poison, restore, users, workers
from deploy.benchmarks.base import BenchArgs

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]


def figures(module, kafka: str, runs: int, *, short: bool = False) -> dict[str, float]:
    options = module.OPTIONS | {"bootstrap": kafka}
    found: dict[str, float] = module.run(BenchArgs(runs=runs, short=short, options=options)).as_json()[
        "figures"
    ]
    return found


def test_state_signals_and_checkpoints_cost_at_most_seven_plain_reads(kafka, short):
    """The user agent with 100,000 people: 0.15 of getmany + msgspec per CPU-second; ten times stock Faust.

    The short form's 20,000 events do not pay for a checkpoint of everybody: half of the limit there, and the
    better of two runs, as one may meet a stall.
    """
    found, best = figures(users, kafka, 2 if short else 5, short=short), "_high" if short else ""
    assert found[f"ratio_to_plain{best}"] >= (0.075 if short else 0.15)
    assert found[f"times_stock{best}"] >= 10


def test_intake_costs_at_most_four_plain_reads(kafka):
    """Mapping, validation, cleaning, routing and two acknowledgements: in the calmest of three runs."""
    assert figures(intake, kafka, 3)["ratio_to_plain_high"] >= 0.25


@pytest.mark.absolute
def test_two_workers_cost_little_more_than_one(kafka, short):
    """CPU-seconds per event of the user agent, half of the partitions each."""
    assert figures(workers, kafka, 1 if short else 5, short=short)["ratio_two_to_one"] <= 1.15


@pytest.mark.absolute
def test_a_million_people_come_back_within_thirty_seconds_of_a_core(kafka, short):
    """Fenced, read from a real ``state`` topic, and put into memory."""
    assert figures(restore, kafka, 1 if short else 5)["kafka_seconds_per_million_users"] <= 30


@pytest.mark.absolute
def test_poison_adds_less_than_a_second(kafka):
    """1,000 messages that cannot be read, among 10,000 good ones."""
    assert figures(poison, kafka, 3)["added_seconds"] < 1


def test_a_learner_of_its_own_does_little_beside_folding(kafka):
    """All that it does at 20,000 events a second, against the folds of the same seconds.

    In the calmest of three runs: others' work adds to what lies between the folds, and never takes from it.
    """
    found = figures(learner, kafka, 3, short=True)
    assert found["ratio_to_folding_low"] <= 1.5
    assert found["publishing_share_low"] <= 0.10  # 5 %, and up to one publication more in a window of 5 s


@pytest.mark.absolute
def test_a_learner_of_its_own_keeps_up_with_twenty_thousand_events_a_second(kafka, short):
    """Within a second and half a core, publishing included; 100,000 items are taken over in 10 ms."""
    found = figures(learner, kafka, 1, short=short)
    assert found["lag_p99_ms"] <= 1000
    assert found["cores"] <= 0.5
    assert found["adopt_ms"] <= 10
