"""Which decision brought a reward: named, inferred, late, or none."""

import numpy as np
import pytest

from models.users.folding import Tally
from schemas.events import Erase, Merge, Tick
from schemas.ids import stable_hash
from schemas.signals import Arm, Kind
from tests.models.users.builders import T0, apply, click, decision, new_shard, purchase, reborn


def shop(**settings):
    """A shard in which ann clicked, and was answered by decision d0 with tea and cup."""
    shard = new_shard(**settings)
    apply(shard, [click(0, item="pot"), decision("d0", "e0", at=1)])
    return shard


def test_a_reward_belongs_to_the_decision_that_it_names() -> None:
    """Position, propensity, epoch and lag come from the decision; the join is not inferred."""
    rewards = apply(shop(), [click(1, item="cup", at=11, decision_id="d0")]).rewards
    assert rewards.decision.tolist() == [stable_hash("d0")]
    assert (rewards.position[0], rewards.propensity[0], rewards.epoch[0]) == (1, 1 / 3, 4)
    assert (rewards.lag[0], rewards.inferred[0], rewards.reward[0]) == (10.0, 0, Kind.CLICK)


def test_a_reward_that_names_nothing_is_inferred() -> None:
    """The most recent open decision of the person that lists the item, and the row says so."""
    shard = shop()
    apply(
        shard, [decision("d1", "e9", items=("tea", "mug"), at=2), decision("d2", "e8", items=("jar",), at=3)]
    )
    rewards = apply(
        shard, [click(1, item="tea", at=5), click(2, item="cup", at=6), click(3, item="hat", at=7)]
    ).rewards
    assert rewards.decision.tolist() == [stable_hash("d1"), stable_hash("d0"), 0]
    assert rewards.inferred.tolist() == [1, 1, 0]
    assert rewards.position.tolist() == [0, 1, 255]


def test_a_named_decision_that_did_not_list_the_item_is_not_joined() -> None:
    """A reward names one decision or none: an item that d0 never showed is no reward of d0."""
    rewards = apply(shop(), [click(1, item="hat", at=2, decision_id="d0")]).rewards
    assert rewards.decision.tolist() == [0]


def test_a_late_reward_is_only_counted() -> None:
    """Past the window, by the broker's clock, the row stands without a decision."""
    shard = shop(attribution_seconds=60)
    got = apply(shard, [click(1, item="cup", at=30, decision_id="d0")], at=[62])
    assert got.rewards.decision.tolist() == [0]
    assert got.counts[Tally.LATE] == 1


def test_the_window_includes_its_last_moment() -> None:
    """Opened at second 1 with a window of 60: second 61 still counts."""
    shard = shop(attribution_seconds=60)
    assert apply(shard, [click(1, item="cup", at=61, decision_id="d0")]).rewards.decision[0] != 0


def test_windows_close_only_by_records() -> None:
    """A tick, and nothing else, closes the window of an idle partition and frees its memory."""
    shard = shop(attribution_seconds=60)
    assert shard.open_decisions == 1
    apply(shard, [Tick(T0)], at=[100])
    apply(shard, [Tick(T0)], at=[100])
    assert shard.open_decisions == 0


def test_of_two_decisions_for_one_trigger_the_first_counts() -> None:
    """A zombie's second list is never opened: no exposure, and a click that names it is inferred."""
    shard = shop()
    got = apply(shard, [decision("zombie", "e0", items=("tea", "cup"), at=2)])
    assert len(got.exposures) == 0
    assert got.counts[Tally.SECOND] == 1
    rewards = apply(shard, [click(1, item="tea", at=3, decision_id="zombie")]).rewards
    assert rewards.decision.tolist() == [stable_hash("d0")]
    assert rewards.inferred.tolist() == [1]


def test_of_two_records_of_one_decision_the_first_counts() -> None:
    """The same decision id under another trigger: one content."""
    got = apply(shop(), [decision("d0", "e7", items=("hat",), at=2)])
    assert len(got.exposures) == 0


def test_exposures_are_rows_of_the_decisions_read_back() -> None:
    """One row per shown item, with the three probabilities as they were logged."""
    shard = new_shard()
    got = apply(shard, [click(0), decision("d0", "e0", items=("a", "b", "c"), at=1, arm="holdout")])
    rows = got.exposures
    assert shard.items.ids_of(rows.item) == ["a", "b", "c"]
    assert rows.propensity.tolist() == [1 / 2, 1 / 3, 1 / 4]
    assert rows.p_control.tolist() == [0.25] * 3
    assert rows.p_uniform.tolist() == [0.125] * 3
    assert rows.position.tolist() == [0, 1, 2]
    assert set(rows.arm.tolist()) == {Arm.HOLDOUT}
    assert set(rows.offset.tolist()) == {1}
    assert set(rows.decision.tolist()) == {stable_hash("d0")}


def test_a_decision_for_nobody_opens_nothing() -> None:
    """A list for a person who is not known (any more) leaves no state and no row."""
    shard = new_shard()
    got = apply(shard, [decision("d0", "e0", user="ghost")])
    assert (len(got.exposures), len(shard), shard.open_decisions) == (0, 0, 0)


def test_first_rewards_are_marked_once_per_person_and_kind() -> None:
    """The first click and the first purchase of a person, attributed or not, and no later one."""
    shard = new_shard()
    rewards = apply(
        shard, [click(0), click(1, at=1), purchase(2, at=2), purchase(3, at=3), click(4, "bob", at=4)]
    ).rewards
    assert rewards.first.tolist() == [1, 0, 1, 0, 1]
    assert apply(reborn(shard), [click(5, at=9)]).rewards.first.tolist() == [0]


def test_a_new_experiment_begins_its_own_firsts() -> None:
    """Restored under another experiment's name, everybody's first reward is still to come."""
    shard = new_shard()
    apply(shard, [click(0)])
    assert apply(reborn(shard, name="relaunch"), [click(5, at=9)]).rewards.first.tolist() == [1]


def test_purchases_carry_revenue() -> None:
    """Price times quantity; 0 where the producer gave no price; 1 for a click."""
    got = apply(new_shard(), [purchase(0, price=2.5, quantity=4.0), purchase(1, at=1), click(2, at=2)])
    assert got.rewards.amount.tolist() == [10.0, 0.0, 1.0]
    assert got.rewards.reward.tolist() == [Kind.PURCHASE, Kind.PURCHASE, Kind.CLICK]


def test_open_decisions_are_bounded_per_person_and_altogether() -> None:
    """Beyond the bounds the oldest close early, and are counted."""
    shard = new_shard(open_decisions=3, open_total=4)
    apply(shard, [click(0), click(1, "bob", at=1)])
    got = apply(shard, [decision(f"d{k}", f"t{k}", items=(f"i{k}",), at=2) for k in range(5)])
    assert shard.open_decisions == 3
    assert got.counts[Tally.CROWDED] == 2
    apply(shard, [decision(f"b{k}", f"b{k}", "bob", items=(f"i{k}",), at=3) for k in range(3)])
    assert shard.open_decisions == 4
    rewards = apply(
        shard, [click(9, item="i2", at=4), click(10, item="i3", at=4), click(11, item="i4", at=4)]
    ).rewards
    assert (rewards.decision != 0).tolist() == [False, False, True]


def test_open_decisions_survive_a_restart() -> None:
    """A click after the restart is joined as if nothing had happened, the newest decision first."""
    shard = shop()
    apply(shard, [decision("d1", "e9", items=tuple(f"i{k}" for k in range(30)), at=2)])
    events = [click(1, item="cup", at=11, decision_id="d0"), click(2, item="i29", at=12)]
    rewards = apply(reborn(shard), events).rewards
    assert rewards.decision.tolist() == [stable_hash("d0"), stable_hash("d1")]
    assert rewards.position.tolist() == [1, 29]
    assert rewards.propensity.tolist() == [1 / 3, 1 / 31]


def test_a_merge_takes_history_decisions_and_firsts_over() -> None:
    """What the anonymous person did and was shown is the known person's; the anonymous one is gone."""
    shard = new_shard()
    apply(shard, [click(0, "anon", "pot", at=0), click(1, "ann", "jar", at=5), click(2, "anon", "tea", at=9)])
    apply(shard, [decision("d0", "e2", "anon", items=("cup",), at=10)])
    apply(shard, [Merge("anon", "ann", T0 + 11_000)])
    assert shard.slot_of("anon") == -1
    rows = apply(shard, [click(3, "ann", "cup", at=12)])
    assert shard.items.ids_of(rows.interactions.ctx_item) == ["tea", "jar", "pot"]
    assert rows.rewards.decision.tolist() == [stable_hash("d0")]
    assert rows.rewards.first.tolist() == [0]
    assert shard.counts_of("ann")["click"] == 4


def test_a_person_keeps_the_arm_of_the_anonymous_one() -> None:
    """Stable from anonymous to logged-in: who is new takes the anonymous id's arm, also after a restart."""
    shard = new_shard(holdout=0.5)
    anonymous = [f"anon-{k}" for k in range(40)]
    apply(shard, [click(k, name, at=k) for k, name in enumerate(anonymous)])
    before = [shard.arm_of(name) for name in anonymous]
    apply(shard, [Merge(name, f"user-{k}", T0) for k, name in enumerate(anonymous)])
    events = [click(100 + k, f"user-{k}", at=100) for k in range(40)]
    restored = reborn(shard, holdout=0.5)
    assert len(set(before)) == 2
    assert apply(shard, events).interactions.arm.tolist() == before
    assert apply(restored, events).interactions.arm.tolist() == before
    assert [restored.arm_of(f"user-{k}") for k in range(40)] == before


def test_merging_into_oneself_or_from_nobody_changes_nothing() -> None:
    """A merge of an unknown person, or of a person with themselves, is no event."""
    shard = shop()
    apply(shard, [Merge("ann", "ann", T0), Merge("nobody", "ann", T0)])
    assert shard.counts_of("ann")["click"] == 1
    assert len(shard) == 1


def test_an_erased_person_does_not_come_back_by_late_events() -> None:
    """Events from before the erasure are refused for a day, also after a restart; later ones are welcome."""
    shard = shop()
    erased = apply(shard, [Erase("ann", T0 + 50_000)], at=[60])
    assert erased.erased == ["ann"]
    assert shard.open_decisions == 0
    for one in (shard, reborn(shard)):
        late = apply(one, [click(5, at=40)], at=[100])
        assert (len(late.interactions), late.counts[Tally.BARRED], one.slot_of("ann")) == (0, 1, -1)
        back = apply(one, [click(6, at=200)])
        assert back.interactions.age.tolist() == [0]


def test_an_erasure_zeroes_the_arrays() -> None:
    """Not unlinked but gone: no item slot, id hash or name of the person is left in any array."""
    shard = new_shard(history=10)
    apply(shard, [click(k, item=f"i{k}", at=k) for k in range(300)])
    apply(shard, [decision(f"d{k}", f"e{299 - k}", at=300) for k in range(5)])
    apply(shard, [Erase("ann", T0 + 10**6)], at=[301])
    state = shard._state
    assert not state.history.entry["item"].any()
    assert not state.recent.entry["low"].any()
    assert not state.decisions.entry["item"].any()
    assert not state.decisions.record["id"].any()
    assert not state.people["hash"].any()
    free = {int(base) for base in state.seen.free}
    assert {int(s) for s in state.seen.slot if s} <= free
    assert b"ann" not in shard.names.data.tobytes()


@pytest.mark.parametrize("k", [1, 7, 8, 9, 16, 17, 200])
def test_lists_of_any_length_are_opened(k) -> None:
    """Every item of a list of k is found at its place."""
    shard = new_shard()
    apply(shard, [click(0), decision("d0", "e0", items=[f"i{j}" for j in range(k)], at=1)])
    rewards = apply(shard, [click(1 + j, item=f"i{j}", at=2) for j in range(k)]).rewards
    assert rewards.position.tolist() == list(range(k))
    assert np.allclose(rewards.propensity, [1 / (j + 2) for j in range(k)], rtol=0, atol=0)


def test_an_erasure_is_itself_forgotten_after_a_day() -> None:
    """Not even the hash of an erased id is kept for ever: live and restored shards forget it alike."""
    shard = shop()
    apply(shard, [Erase("ann", T0 + 50_000)], at=[60])
    assert len(shard.checkpoint().erased) == 1
    apply(shard, [Tick(T0)], at=[26 * 3600])
    assert shard.checkpoint().erased == ()
    for one in (shard, reborn(shard)):
        assert len(apply(one, [click(5, at=40)], at=[27 * 3600]).interactions) == 1
