"""The causal strip as gauges."""

from prometheus_client import CollectorRegistry

from deploy.instruments import gauge
from schemas.reports import CausalReport


class CausalGauges:
    """The newest report of each metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["experiment", "metric"]
        self._lift = gauge(registry, "causal_lift_ratio", "Relative lift; absent if withheld.", labels)
        self._lower = gauge(registry, "causal_lift_lower_ratio", "Lower end of the lift's interval.", labels)
        self._upper = gauge(registry, "causal_lift_upper_ratio", "Upper end of the lift's interval.", labels)
        self._down = gauge(registry, "causal_log_e_down", "Log e-value against 'not worse'.", labels)
        self._up = gauge(registry, "causal_log_e_up", "Log e-value against 'not better'.", labels)
        self._srm = gauge(registry, "causal_log_e_srm", "Log e-value against the configured split.", labels)
        self._gates = gauge(registry, "causal_failed_gates", "Gates that forbid to publish a figure.", labels)
        self._persons = gauge(registry, "causal_persons", "Persons exposed.", [*labels, "arm"])
        self._epoch = gauge(registry, "causal_policy_epoch", "Policy epoch that was checked.", labels)

    def set(self, report: CausalReport) -> None:
        """Show this report; a figure that a gate withholds is taken away, not left standing."""
        labels = (report.experiment, report.metric)
        for shown, value in (
            (self._lift, report.estimate),
            (self._lower, report.lower),
            (self._upper, report.upper),
        ):
            if value is not None:
                shown.labels(*labels).set(value)
            elif labels in shown._metrics:  # noqa: SLF001  remove() of an absent child raises
                shown.remove(*labels)
        self._down.labels(*labels).set(report.log_e_down)
        self._up.labels(*labels).set(report.log_e_up)
        self._srm.labels(*labels).set(report.log_e_srm)
        self._gates.labels(*labels).set(sum(not gate.passed for gate in report.gates))
        self._persons.labels(*labels, "treatment").set(report.n_treatment)
        self._persons.labels(*labels, "holdout").set(report.n_holdout)
        self._epoch.labels(*labels).set(report.epoch)
