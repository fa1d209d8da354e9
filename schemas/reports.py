"""What the auditor found."""

from typing import Literal

import msgspec

from schemas.ids import Millis

Verdict = Literal["running", "win", "non-inferior", "rollback", "freeze", "insufficient"]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a figure may be believed, and if not, why."""

    name: str
    passed: bool
    reason: str = ""


class CausalReport(msgspec.Struct, frozen=True, kw_only=True):
    """One periodic check of one metric: treatment against holdout.

    Parameters
    ----------
    report_id
        Same check of the same rows, same id: a replayed audit changes nothing.
    n_treatment, n_holdout
        Persons exposed on each side.
    events_treatment, events_holdout
        First rewards of the metric on each side.
    estimate, lower, upper
        Relative lift of the treatment's rate per person and its interval at level ``1 - alpha``;
        None where a gate forbids to publish it.
    log_e_down, log_e_up
        Log e-values against "not worse" and "not better".
    log_e_srm
        Log e-value against the configured split (sample ratio mismatch).
    effective_sample_size
        Of off-policy weights, where the check uses them.
    """

    report_id: str
    experiment: str
    metric: Literal["click", "purchase"]
    ts: Millis
    epoch: int
    signals_offset: int
    n_treatment: int
    n_holdout: int
    events_treatment: int
    events_holdout: int
    estimate: float | None
    lower: float | None
    upper: float | None
    log_e_down: float
    log_e_up: float
    log_e_srm: float
    alpha: float
    gates: tuple[Gate, ...]
    verdict: Verdict
    action: str
    effective_sample_size: float | None = None
