"""The sampler against the formula, and at the edges of floating point."""

import numpy as np
import pytest

from models.policy.sampling import FREE, PIN, Pools, Script, draw

NO_VECTORS = np.zeros((0, 0), np.float32)


def pools(utility, control=None, group=None) -> Pools:
    """One list."""
    utility = np.asarray(utility, np.float64)
    n = len(utility)
    return Pools(
        start=np.array([0, n], np.int32),
        slot=np.arange(1, n + 1, dtype=np.int32),
        utility=utility,
        control=utility[::-1].copy() if control is None else np.asarray(control, np.float64),
        group=np.zeros(n, np.int32) if group is None else np.asarray(group, np.int32),
    )


def script(k=3, *, seed=1, epsilon=0.1, temperature=0.5, diversity=0.0, cap=0, forced=None, pinned=None):
    """How one list is drawn."""
    forced = np.full((1, k), FREE, np.int32) if forced is None else np.array([forced], np.int32)
    return Script(
        seed=np.array([seed], np.uint64),
        length=np.array([k], np.int32),
        cap=np.array([cap], np.int32),
        forced=forced,
        pinned=np.zeros((1, k), np.int32) if pinned is None else np.array([pinned], np.int32),
        epsilon=np.array([epsilon]),
        temperature=np.array([temperature]),
        diversity=np.array([diversity]),
        control_epsilon=0.05,
        control_temperature=0.7,
        keep=np.array([-1], np.int32),
    )


def formula(utility, chosen, vectors, *, epsilon, temperature, diversity):
    """Propensities by the textbook, slot by slot."""
    left, prefix, out = list(range(len(utility))), [], []
    for i in chosen:
        penalty = [
            max([max(float(vectors[j + 1] @ vectors[p + 1]), 0.0) for p in prefix] + [0.0]) for j in left
        ]
        score = np.array([utility[j] for j in left]) - diversity * np.array(penalty)
        soft = np.exp((score - score.max()) / temperature)
        p = (1 - epsilon) * soft / soft.sum() + epsilon / len(left)
        out.append(p[left.index(i)])
        left.remove(i)
        prefix.append(i)
    return np.array(out)


def test_propensities_follow_the_formula() -> None:
    """Softmax, exploration floor and diversity penalty, to the last digits; the control without penalty."""
    rng = np.random.default_rng(3)
    utility, control = rng.normal(size=12), rng.normal(size=12)
    vectors = rng.normal(size=(13, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for seed in range(20):
        out = draw(pools(utility, control), script(5, seed=seed, diversity=0.8), vectors)
        chosen = out.chosen[0].tolist()
        want = formula(utility, chosen, vectors, epsilon=0.1, temperature=0.5, diversity=0.8)
        assert out.propensity[0] == pytest.approx(want, rel=1e-6)
        plain = formula(control, chosen, vectors, epsilon=0.05, temperature=0.7, diversity=0.0)
        assert out.p_control[0] == pytest.approx(plain, rel=1e-12)
        assert out.p_uniform[0] == pytest.approx(1.0 / np.arange(12, 7, -1))


def test_probabilities_of_a_slot_sum_to_one() -> None:
    """Forcing every candidate in turn exhausts the probability, of the control too."""
    utility = np.random.default_rng(0).normal(size=30) * 5
    outs = [draw(pools(utility), script(2, forced=[4, i]), NO_VECTORS) for i in range(30) if i != 4]
    for name in ("propensity", "p_control", "p_uniform"):
        assert sum(getattr(o, name)[0, 1] for o in outs) == pytest.approx(1.0, abs=1e-12)


def test_forcing_the_choices_gives_the_same_bits() -> None:
    """A recomputation runs the same code."""
    utility = np.random.default_rng(1).normal(size=50)
    drawn = draw(pools(utility), script(10, seed=9), NO_VECTORS)
    again = draw(pools(utility), script(10, seed=9, forced=drawn.chosen[0]), NO_VECTORS)
    assert drawn.propensity.tobytes() == again.propensity.tobytes()
    assert drawn.p_control.tobytes() == again.p_control.tobytes()


@pytest.mark.parametrize("temperature", [0.0, 1e-12, 1e-9])
def test_cold_and_without_exploration_it_is_greedy(temperature: float) -> None:
    """The best come in order, each with probability 1."""
    out = draw(pools([0.1, 3.0, 2.0, -1.0]), script(4, epsilon=0.0, temperature=temperature), NO_VECTORS)
    assert out.chosen[0].tolist() == [1, 2, 0, 3]
    assert out.propensity[0].tolist() == [1.0] * 4
    assert not out.explored.any()


def test_ties_go_to_the_larger_hash() -> None:
    """Cold ties are settled with probability 1, differently under different seeds."""
    firsts = set()
    for seed in range(30):
        out = draw(pools([1.0, 1.0, 1.0]), script(3, seed=seed, epsilon=0.0, temperature=0.0), NO_VECTORS)
        assert out.propensity[0].tolist() == [1.0] * 3
        assert sorted(out.chosen[0].tolist()) == [0, 1, 2]
        firsts.add(int(out.chosen[0, 0]))
    assert firsts == {0, 1, 2}


def test_a_small_temperature_shares_among_ties() -> None:
    """Two equal best at a small (not zero) temperature: half each, and no overflow."""
    out = draw(pools([700.0, 700.0, -700.0]), script(1, epsilon=0.0, temperature=1e-8), NO_VECTORS)
    assert out.propensity[0, 0] == 0.5


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_any_finite_utility_is_safe(scale: float) -> None:
    """Probabilities stay in (0, 1] however large or small utilities are."""
    utility = np.array([-1.0, 0.0, 0.5, 1.0]) * scale
    for seed in range(50):
        out = draw(pools(utility), script(4, seed=seed, epsilon=0.0), NO_VECTORS)
        assert (out.propensity > 0).all()
        assert (out.propensity <= 1).all()
        assert sorted(out.chosen[0].tolist()) == [0, 1, 2, 3]


def test_full_exploration_is_uniform() -> None:
    """With ε = 1 utilities do not matter."""
    out = draw(pools([5.0, 0.0, 0.0, 0.0]), script(4, epsilon=1.0), NO_VECTORS)
    assert out.propensity[0].tolist() == out.p_uniform[0].tolist() == [1 / 4, 1 / 3, 1 / 2, 1.0]


def test_more_slots_than_candidates() -> None:
    """The rest of the slots stay empty, with probability 0."""
    out = draw(pools([1.0, 2.0]), script(4), NO_VECTORS)
    assert sorted(out.chosen[0, :2].tolist()) == [0, 1]
    assert out.chosen[0, 2:].tolist() == [FREE, FREE]
    assert out.propensity[0, 2:].tolist() == [0.0, 0.0]


def test_the_last_candidate_is_certain() -> None:
    """One left: probability 1 under every policy."""
    out = draw(pools([1.0, 2.0]), script(2), NO_VECTORS)
    assert out.propensity[0, 1] == out.p_control[0, 1] == out.p_uniform[0, 1] == 1.0


def test_a_cap_closes_a_group() -> None:
    """No more than ``cap`` items of a group, and probabilities over what is left."""
    group = [1, 1, 1, 2, 0, 0]
    for seed in range(40):
        out = draw(pools(np.zeros(6), group=group), script(6, seed=seed, cap=1), NO_VECTORS)
        taken = [group[i] for i in out.chosen[0] if i >= 0]
        assert taken.count(1) == taken.count(2) == 1
        assert len(taken) == 4
        left, closed = 6, {1: 3, 2: 1, 0: 1}
        for j, g in enumerate(taken):
            assert out.p_uniform[0, j] == pytest.approx(1.0 / left)
            left -= closed[g]


def test_a_pin_holds_its_slot_and_counts_for_diversity() -> None:
    """The pinned slot has probability 1 and pushes its likes down."""
    vectors = np.zeros((10, 2), np.float32)
    vectors[1], vectors[2], vectors[9] = [1, 0], [0, 1], [1, 0]
    forced, pinned = [PIN, FREE], [9, 0]
    cold = script(2, forced=forced, pinned=pinned, epsilon=0.0, temperature=0.0, diversity=2.0)
    out = draw(pools([1.0, 0.5]), cold, vectors)
    assert out.chosen[0].tolist() == [PIN, 1]
    assert out.propensity[0].tolist() == [1.0, 1.0]
    assert out.explored[0].tolist() == [0, 0]


def test_negative_likeness_is_no_bonus() -> None:
    """Opposite vectors neither help nor harm."""
    vectors = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    out = draw(pools([1.0, 0.0]), script(2, diversity=5.0, epsilon=0.0, temperature=0.0), vectors)
    assert out.penalty[0].tolist() == [0.0, 0.0]
