"""The experiment's books: exact counts, whatever the packing, the replays and the epochs."""

from dataclasses import replace

import numpy as np
import pytest

from models.causal.ledger import Ledger
from models.causal.persons import Persons
from models.causal.synthetic import Truth, experiment
from models.fold import FoldLog, take
from schemas.control import PolicySwitch
from schemas.errors import CoverGapError
from schemas.signals import Cover, Kind, SignalBlock

TRUTH = Truth(click=(0.3, 0.4), purchase=(0.1, 0.1), holdout=0.2)


def blocks(persons: int = 2000, seed: int = 1, **where: int) -> list[SignalBlock]:
    return list(experiment(TRUTH, persons, np.random.default_rng(seed), **where))


def keep_books(of: list[SignalBlock], limit: int = 10_000) -> Ledger:
    ledger = Ledger("launch", limit)
    log = FoldLog([ledger], keep_holdout=True)
    for block in of:
        log.learn(block)
    return ledger


def switch(to: int, policy: str, experiment: str = "launch") -> SignalBlock:
    row = PolicySwitch(experiment, to - 1, to, policy, "because", 5)  # type: ignore[arg-type]
    return SignalBlock(cover=None, controls=(row,))


def naive(of: list[SignalBlock], kind: Kind) -> tuple[list[int], list[int]]:
    """The same counts by plain sets."""
    arm_of: dict[int, int] = {}
    converted: set[int] = set()
    for block in of:
        arm_of |= dict(zip(block.exposures.user.tolist(), block.exposures.arm.tolist(), strict=True))
        hits = block.rewards.reward == kind
        converted |= set(block.rewards.user[hits].tolist())
    firsts = [sum(arm_of[u] == arm for u in converted) for arm in (0, 1)]
    return [list(arm_of.values()).count(arm) for arm in (0, 1)], firsts


@pytest.mark.parametrize("kind", [Kind.CLICK, Kind.PURCHASE])
def test_counts_are_those_of_plain_sets(kind: Kind) -> None:
    """Exposed persons and first conversions per arm, exactly."""
    log = blocks()
    tally = keep_books(log).tally(kind)
    persons, firsts = naive(log, kind)
    assert (list(tally.persons), list(tally.firsts)) == (persons, firsts)
    assert sum(tally.persons) == 2000


def test_a_person_counts_once_however_often_they_return() -> None:
    """The same people again, later in the log, change no person count, only the rewards."""
    once = blocks(500)
    again = [shifted(b, 3 * 500) for b in once]
    one, two = keep_books(once).tally(Kind.CLICK), keep_books(once + again).tally(Kind.CLICK)
    assert (one.persons, one.firsts) == (two.persons, two.firsts)
    assert sum(two.rewards) == 2 * sum(one.rewards)


def shifted(block: SignalBlock, by: int) -> SignalBlock:
    cover = block.cover
    assert cover is not None
    return replace(
        block,
        cover=Cover(cover.partition, cover.incarnation, cover.after + by, cover.to + by),
        exposures=replace(block.exposures, offset=block.exposures.offset + by),
        rewards=replace(block.rewards, offset=block.rewards.offset + by),
    )


@pytest.mark.parametrize("size", [1, 7, 2000])
def test_packing_does_not_matter(size: int) -> None:
    """The same rows in blocks of other sizes give the same bytes."""
    (whole,) = blocks(300, per_block=300)
    parts = [cut(whole, start, start + 3 * size) for start in range(0, 900, 3 * size)]
    assert keep_books(parts).snapshot() == keep_books([whole]).snapshot()


def cut(block: SignalBlock, low: int, high: int) -> SignalBlock:
    def part(rows):  # type: ignore[no-untyped-def]
        return take(rows, (rows.offset >= low) & (rows.offset < high))

    cover = Cover(0, 0, low - 1, min(high, 900) - 1)
    return replace(block, cover=cover, exposures=part(block.exposures), rewards=part(block.rewards))


def test_a_replay_changes_nothing() -> None:
    """The whole log twice, and each block twice: the same bytes as once."""
    log = blocks()
    once = keep_books(log).snapshot()
    assert keep_books(log + log).snapshot() == once
    assert keep_books([b for block in log for b in (block, block)]).snapshot() == once


def test_a_gap_stops() -> None:
    """Nobody concludes from a log with a hole."""
    log = blocks()
    with pytest.raises(CoverGapError):
        keep_books([log[0], log[2]])


def test_books_of_partitions_add_up() -> None:
    """Merging equals having read everything, to the last count."""
    left, right = blocks(seed=1, partition=0), blocks(seed=2, partition=1)
    merged = keep_books(left)
    merged.merge(keep_books(right))
    both = keep_books(left + right)
    for kind in (Kind.CLICK, Kind.PURCHASE):
        assert merged.tally(kind) == both.tally(kind)
    assert merged.weights == pytest.approx(both.weights, rel=1e-12)


def test_books_of_another_epoch_do_not_add_up() -> None:
    """What a former policy earned is not the present one's."""
    other = keep_books([switch(1, "safe")])
    with pytest.raises(ValueError, match="one experiment and epoch"):
        keep_books([]).merge(other)


def test_restored_books_go_on_as_if_nothing_happened() -> None:
    """Snapshot in the middle, restore elsewhere, the rest of the log: the same bytes."""
    log = blocks()
    first = FoldLog([Ledger("launch")], keep_holdout=True)
    for block in log[:2]:
        first.learn(block)
    second = FoldLog([Ledger("launch")], keep_holdout=True)
    second.restore(first.snapshot())
    for block in log[1:]:
        second.learn(block)
    assert second.folds[0].snapshot() == keep_books(log).snapshot()
    assert second.folds[0].checksum() == keep_books(log).checksum()


def test_books_of_another_experiment_are_not_taken_over() -> None:
    """Its persons were split by another hash: a new experiment begins with nobody."""
    ledger = Ledger("relaunch")
    ledger.restore(keep_books(blocks()).snapshot())
    assert sum(ledger.tally(Kind.CLICK).persons) == 0


def test_what_another_experiment_did_is_not_ours() -> None:
    """Its switch ends its time in the log: a relaunch is not judged by what it replaced."""
    old, new = blocks(500), blocks(300, seed=3, first=500)
    ledger = keep_books([*old, switch(1, "safe", "former"), *new])
    assert sum(ledger.tally(Kind.CLICK).persons) == 300
    assert (ledger.epoch, ledger.policy) == (0, "treatment")


def test_rows_of_a_former_epoch_do_not_count_after_the_switch() -> None:
    """Rollback ends the experiment: its figures stay as they were when it was decided."""
    log = blocks()
    decided = keep_books(log[:2])
    after = keep_books([*log[:2], switch(1, "safe"), *log[2:]])
    assert after.tally(Kind.CLICK) == decided.tally(Kind.CLICK)
    assert (after.epoch, after.policy) == (1, "safe")


def test_a_new_treatment_starts_with_nobody() -> None:
    """After a switch back only rows of the new epoch count."""
    old, new = blocks(500), blocks(500, seed=3, epoch=2, first=500)
    ledger = keep_books([*old, switch(1, "safe"), switch(2, "treatment"), *new])
    assert sum(ledger.tally(Kind.CLICK).persons) == 500


@pytest.mark.parametrize("row", [switch(2, "safe"), switch(1, "safe", "another")])
def test_only_the_next_epoch_of_our_experiment_is_obeyed(row: SignalBlock) -> None:
    """Compare-and-set: stale, premature and foreign switches are not obeyed."""
    ledger = keep_books([row])
    assert (ledger.epoch, ledger.policy) == (0, "treatment")


def test_a_replayed_switch_changes_nothing() -> None:
    """The second copy finds another epoch in force."""
    log = blocks(500)
    assert keep_books([*log, switch(1, "safe"), switch(1, "safe")]).epoch == 1


def altered(of: list[SignalBlock], **columns: int) -> list[SignalBlock]:
    """The same log with constant reward columns."""

    def change(rows):  # type: ignore[no-untyped-def]
        return replace(rows, **{n: np.full_like(getattr(rows, n), v) for n, v in columns.items()})

    return [replace(b, rewards=change(b.rewards)) for b in of]


def test_only_clicks_that_name_a_list_count() -> None:
    """Inference credits whichever list guessed best; a click elsewhere is no list's."""
    log = blocks(500)
    guessed = keep_books(altered(log, inferred=1)).tally(Kind.CLICK)
    assert guessed.firsts == guessed.rewards == (0, 0)
    assert sum(guessed.inferred) > 0
    assert keep_books(altered(log, decision=0, epoch=-1)).tally(Kind.CLICK).firsts == (0, 0)


def test_every_purchase_of_an_exposed_person_counts() -> None:
    """Named, inferred or joined to nothing: what a person buys is the outcome."""
    log = blocks(500)
    counted = keep_books(log).tally(Kind.PURCHASE).firsts
    assert min(counted) > 0
    for joined in ({"inferred": 1}, {"decision": 0, "epoch": -1}):
        assert keep_books(altered(log, **joined)).tally(Kind.PURCHASE).firsts == counted
    assert keep_books(altered(log, epoch=7)).tally(Kind.PURCHASE).firsts == (0, 0)


def test_strangers_convert_nobody() -> None:
    """A reward of someone who was never exposed is nobody's first."""

    def disguised(block: SignalBlock) -> SignalBlock:
        return replace(block, rewards=replace(block.rewards, user=block.rewards.user ^ np.uint64(1)))

    books = keep_books([disguised(b) for b in blocks(500)])
    assert books.tally(Kind.CLICK).firsts == books.tally(Kind.PURCHASE).firsts == (0, 0)


def test_persons_in_both_arms_are_noticed() -> None:
    """They stay in the arm that they saw first, and are counted as mixed."""
    log = blocks(200)
    crossed = shifted(replace(log[0], exposures=replace(log[0].exposures, arm=1 - log[0].exposures.arm)), 600)
    one, two = keep_books(log), keep_books([*log, crossed])
    assert one.tally(Kind.CLICK).persons == two.tally(Kind.CLICK).persons
    assert two.tally(Kind.CLICK).mixed == 200


def test_a_full_set_is_thinned_to_an_exact_smaller_experiment() -> None:
    """Past its bound the set follows a share of the hash space: exactly the persons in that share."""
    log = blocks(4000)
    ledger = keep_books(log, limit=1500)
    share = ledger.persons.thinned
    assert share == 2
    kept = [part_of_space(b, share) for b in log]
    persons, firsts = naive(kept, Kind.CLICK)
    tally = ledger.tally(Kind.CLICK)
    assert (list(tally.persons), list(tally.firsts)) == (persons, firsts)
    assert sum(persons) <= 1500


def part_of_space(block: SignalBlock, thinned: int) -> SignalBlock:
    def part(rows):  # type: ignore[no-untyped-def]
        return take(rows, rows.user >> np.uint64(64 - thinned) == 0)

    return replace(block, exposures=part(block.exposures), rewards=part(block.rewards))


def test_first_slots_weigh_one_on_average() -> None:
    """Right propensities: the mean weight is 1 within four standard errors (false alarm 6e-5)."""
    sums = keep_books(blocks(4000)).first_slots(0)
    assert sums.n > 3000
    assert abs(sums.mean_z) < 4


def test_a_set_without_room_is_refused() -> None:
    """A limit is positive."""
    with pytest.raises(ValueError, match="limit"):
        Persons(0)
