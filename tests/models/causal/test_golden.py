"""Reference values that were computed once, elsewhere, by other code."""

import numpy as np
import pytest

from models.causal import confidence, label_eprocess, ope, srm


@pytest.mark.parametrize(
    ("n", "variance", "tuned_at", "alpha", "width"),
    [
        (1000, 1.0, 5000, 0.05, 0.10637547),
        (5000, 1.0, 5000, 0.05, 0.04292434),
        (50000, 0.25, 5000, 0.05, 0.00724871),
        (20000, 0.55, 10000, 0.01, 0.01885551),
    ],
)
def test_width_of_the_confidence_sequence(
    n: int, variance: float, tuned_at: float, alpha: float, width: float
) -> None:
    """The formula of Waudby-Smith et al. as GrowthBook tunes it."""
    rho2 = confidence.rho_squared(tuned_at, alpha)
    assert confidence.half_width(n, variance, rho2, alpha) == pytest.approx(width, abs=5e-9)


@pytest.mark.parametrize(
    ("tuned_at", "alpha", "rho2"), [(5000, 0.05, 0.0016423936), (10000, 0.01, 0.0011756371)]
)
def test_exact_tuning(tuned_at: float, alpha: float, rho2: float) -> None:
    """Lambert's W gives the exact minimiser."""
    assert confidence.rho_squared_exact(tuned_at, alpha) == pytest.approx(rho2, abs=5e-11)


@pytest.mark.parametrize(
    ("counts", "at_1000", "at_10000"),
    [
        ((9000, 1000), -1.1997, -0.3466),
        ((9100, 900), 4.0361, 2.4963),
        ((9200, 800), 20.2937, 11.1586),
        ((45200, 4800), 2.4600, 2.8601),
        ((45500, 4500), 26.1454, 22.8881),
    ],
)
def test_split(counts: tuple[int, int], at_1000: float, at_10000: float) -> None:
    """The Dirichlet-multinomial e-value of a 90 : 10 split."""
    assert srm.log_e_split(counts, (0.9, 0.1)) == pytest.approx(at_1000, abs=1e-4)
    assert srm.log_e_split(counts, (0.9, 0.1), 10_000) == pytest.approx(at_10000, abs=1e-4)


@pytest.mark.parametrize(
    ("treated", "held", "two_sided"),
    [(900, 100, -0.8994), (900, 130, 2.1009), (1000, 70, 5.8273), (450, 80, 4.2465)],
)
def test_labels_two_sided(treated: float, held: float, two_sided: float) -> None:
    """The Beta mixture around the null."""
    assert label_eprocess.log_e_two_sided(treated, held, 0.1) == pytest.approx(two_sided, abs=1e-4)


@pytest.mark.parametrize(
    ("treated", "held", "down"), [(900, 100, -1.0054), (900, 130, 2.3618), (450, 80, 4.7585)]
)
def test_labels_one_sided(treated: float, held: float, down: float) -> None:
    """The mixture over odds ratios below 1."""
    assert label_eprocess.log_e_down(treated, held, 0.1) == pytest.approx(down, abs=1e-4)


R = np.array([0, 1, 0, 0, 1, 1, 0, 0], float)
W = np.array([0.5, 2, 1, 4, 0.25, 3, 1, 0.25])
Q = np.array([0.1, 0.6, 0.2, 0.2, 0.5, 0.7, 0.1, 0.3])
V = np.array([0.2, 0.5, 0.3, 0.25, 0.4, 0.6, 0.2, 0.3])


@pytest.mark.parametrize(
    ("value", "expected", "within"),
    [
        (ope.ips(W, R), 0.65625, 1e-12),
        (ope.snips(W, R), 0.4375, 1e-12),
        (ope.doubly_robust(W, R, Q, V), 0.41875, 1e-12),
        (ope.self_normalised_dr(W, R, Q, V), 0.39375, 1e-12),
        (ope.switch_dr(W, R, Q, V, 2), 0.40625, 1e-12),
        (ope.shrunk_dr(W, R, Q, V, 4), 0.378637, 5e-7),
        (ope.clipped_ips(W, R, 2), 0.53125, 1e-12),
        (ope.effective_sample_size(W), 4.589641, 5e-7),
    ],
)
def test_off_policy_estimators(value: float, expected: float, within: float) -> None:
    """Eight decisions whose values were worked out by hand and checked against obp."""
    assert value == pytest.approx(expected, abs=within)


def test_sums_of_two_halves_are_those_of_the_whole() -> None:
    """Estimates from added sums equal the estimators to 1e-12."""
    both = ope.WeightSums.of(W[:3], R[:3]) + ope.WeightSums.of(W[3:], R[3:])
    assert both.ips(0.05).estimate == pytest.approx(0.65625, abs=1e-12)
    assert both.snips(0.05).estimate == pytest.approx(0.4375, abs=1e-12)
    assert both.ess == pytest.approx(ope.effective_sample_size(W), abs=1e-12)
    assert both.max_w == 4.0
