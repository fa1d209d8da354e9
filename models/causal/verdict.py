"""The periodic check: from the ledger to a report with a verdict, and to the guardrail's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from models.causal.confidence import Interval, lift
from models.causal.gates import events_gate, mixed_gate, propensity_gate, split_gate
from models.causal.label_eprocess import log_e_down, log_e_up
from models.causal.ledger import METRICS, TARGETS, Ledger, Tally
from models.causal.srm import log_e_split
from schemas.control import PolicySwitch
from schemas.ids import stable_hash
from schemas.reports import CausalReport, Gate, Verdict
from schemas.signals import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was decided before the experiment began.

    Parameters
    ----------
    holdout
        Configured share of the holdout; 0: there is no experiment.
    alphas
        False-alarm probability of each hard guardrail, over the whole experiment.
    alpha_srm
        The same of the split check.
    min_events
        First conversions in the smaller arm before an interval is published.
    margin
        Relative loss that still counts as not inferior.
    """

    holdout: float
    alphas: dict[Kind, float]
    alpha_srm: float = 0.001
    min_events: int = 50
    margin: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be in [0, 1), got {self.holdout}")
        if set(self.alphas) != set(METRICS) or not all(0 < a < 1 for a in self.alphas.values()):
            raise ValueError(f"alphas must give click and purchase a number in (0, 1), got {self.alphas}")


def check(ledger: Ledger, plan: Plan, signals_offset: int) -> tuple[CausalReport, ...]:
    """One report per metric on the ledger as it stands.

    Parameters
    ----------
    signals_offset
        Of the last record behind the ledger: with experiment, metric and epoch it names the report.
    """
    return tuple(_report(ledger, plan, kind, signals_offset) for kind in METRICS)


def order(ledger: Ledger, reports: Sequence[CausalReport]) -> PolicySwitch | None:
    """The switch to the safe policy that the reports call for, if the treatment is still served."""
    if ledger.policy != "treatment":
        return None
    for report in reports:
        if report.verdict == "rollback":
            return PolicySwitch(
                experiment=ledger.experiment,
                from_epoch=ledger.epoch,
                to_epoch=ledger.epoch + 1,
                policy="safe",
                reason=_reason(report),
                ts=report.ts,
            )
    return None


def _report(ledger: Ledger, plan: Plan, kind: Kind, offset: int) -> CausalReport:
    tally, alpha = ledger.tally(kind), plan.alphas[kind]
    down, up, srm = _log_e_values(tally, plan.holdout)
    split, events = split_gate(srm, plan.alpha_srm), events_gate(tally, plan.min_events)
    sums = [ledger.first_slots(target) for target in range(len(TARGETS))]
    propensities = [propensity_gate(s, name) for s, name in zip(sums, TARGETS, strict=True)]
    interval = lift(tally.firsts, tally.persons, alpha) if events.passed and split.passed else None
    verdict = _verdict(ledger, plan, down >= log(1 / alpha), (split, events), interval)
    return CausalReport(
        report_id=_report_id(ledger, METRICS[kind], offset),
        experiment=ledger.experiment,
        metric="click" if kind == Kind.CLICK else "purchase",
        ts=ledger.last_ts,
        epoch=ledger.epoch,
        signals_offset=offset,
        n_treatment=tally.persons[0],
        n_holdout=tally.persons[1],
        events_treatment=tally.firsts[0],
        events_holdout=tally.firsts[1],
        estimate=interval and interval.estimate,
        lower=interval and interval.lower,
        upper=interval and interval.upper,
        log_e_down=down,
        log_e_up=up,
        log_e_srm=srm,
        alpha=alpha,
        gates=(split, events, mixed_gate(tally), *propensities),
        verdict=verdict,
        action=_action(ledger, verdict),
        effective_sample_size=sums[0].ess if sums[0].n else None,
    )


def _log_e_values(tally: Tally, holdout: float) -> tuple[float, float, float]:
    if holdout == 0:
        return 0.0, 0.0, 0.0
    treated, held = map(float, tally.firsts)
    split = log_e_split(tally.persons, (1 - holdout, holdout))
    down, up = log_e_down(treated, held, holdout), log_e_up(treated, held, holdout)
    return float(down), float(up), float(split)


def _verdict(
    ledger: Ledger,
    plan: Plan,
    harmed: bool,  # noqa: FBT001  the guardrail's answer
    gates: tuple[Gate, Gate],
    interval: Interval | None,
) -> Verdict:
    split, _ = gates
    if ledger.policy != "treatment":
        return "rollback"
    if not split.passed:  # nothing that a broken split says is believed, harm included
        return "freeze"
    if harmed:
        return "rollback"
    if interval is None:
        return "insufficient"
    if interval.lower > 0:
        return "win"
    return "non-inferior" if interval.lower > -plan.margin else "running"


def _action(ledger: Ledger, verdict: Verdict) -> str:
    if ledger.policy != "treatment":
        return f"the safe policy serves since epoch {ledger.epoch}: {ledger.reason}"
    return {
        "freeze": "none: find out why traffic does not split as configured; no verdict until then",
        "rollback": f"switch to the safe policy: epoch {ledger.epoch} to {ledger.epoch + 1}",
    }.get(verdict, "none")


def _reason(report: CausalReport) -> str:
    e_value = f"{exp(min(report.log_e_down, 700.0)):.3g}"
    return (
        f"{report.metric}: {report.events_treatment} of {report.n_treatment} persons with the treatment and "
        f"{report.events_holdout} of {report.n_holdout} without; e-value {e_value} against 'not worse', "
        f"limit {1 / report.alpha:.0f}"
    )


def _report_id(ledger: Ledger, metric: str, offset: int) -> str:
    return f"{stable_hash(f'{ledger.experiment}/{metric}/{ledger.epoch}/{offset}', 'report'):016x}"
