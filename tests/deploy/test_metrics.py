"""Metrics: named by the rules, documented to the last one, and counting what observers are told."""

import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from deploy.api.observer import ApiObserver, NullApiObserver
from deploy.metrics import Metrics
from deploy.watchdog import LoopObserver
from schemas.control import PolicySwitch
from schemas.ladder import RUNGS
from streams.auditor import AuditObserver
from streams.encode import EncodeObserver
from streams.observer import StreamObserver
from streams.view import ViewObserver
from tests.deploy.api.test_live import report
from workers.encoder.observer import EncoderObserver

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
PAIRS = {
    "process": LoopObserver,
    "stream": StreamObserver,
    "encoder": EncoderObserver,
    "encode": EncodeObserver,
    "view": ViewObserver,
    "api": ApiObserver,
    "audit": AuditObserver,
}
UNITS = (
    "_seconds",
    "_bytes",
    "_ratio",
    "_total",
    "_lists",
    "_blocks",
    "_persons",
    "_viewers",
    "_gates",
    "_records",
)
WITHOUT_UNIT = {
    "streamwise_learned_offset",
    "streamwise_models_offset",
    "streamwise_encoder_cache_circuit_open",
    "streamwise_overload_level",
    "streamwise_causal_policy_epoch",
    "streamwise_causal_log_e_down",
    "streamwise_causal_log_e_up",
    "streamwise_causal_log_e_srm",
}
"""Offsets, flags, epochs and logarithms have none."""


def facts(protocol: type) -> dict[str, Any]:
    return {
        name: method
        for name, method in inspect.getmembers(protocol, inspect.isfunction)
        if not name.startswith("_")
    }


def documented() -> dict[str, str]:
    """Name and labels from the table of the document."""
    text = DOCUMENT.read_text("utf-8")
    rows = re.findall(r"^\| `(streamwise_[a-z_]+)` \| \w+ \| ([^|]*) \|", text, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return {name: labels.strip().replace("`", "") for name, labels in rows}


@pytest.mark.parametrize("name", PAIRS)
def test_adapters_take_every_fact(name: str) -> None:
    """Each adapter has each method of its observer, with the same parameters, and can be told anything."""
    adapter = getattr(Metrics(), name)
    for fact, method in facts(PAIRS[name]).items():
        own = getattr(adapter, fact)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(method).parameters)[1:]
        own(*(sample(hint) for key, hint in get_type_hints(method).items() if key != "return"))


def sample(hint: Any) -> Any:
    """A value of a parameter's type."""
    if hint is int:
        return 3
    if hint is float:
        return 0.25
    if hint == dict[str, float]:
        return {"fused": 0.1}
    if getattr(hint, "__name__", "") == "CausalReport":
        return report(1)
    if hint is PolicySwitch:
        return PolicySwitch("launch", 0, 1, "safe", "for a test", 5)
    return "memory"


def test_null_observer_hears_every_fact() -> None:
    """The default of the HTTP side has each method too."""
    assert facts(ApiObserver).keys() <= facts(NullApiObserver).keys()


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    """The table and the registry are the same list, labels included."""
    metrics = Metrics()
    tell_everything(metrics)
    labels: dict[str, str] = {}
    for metric in metrics.registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        keys = {key for s in metric.samples for key in s.labels if key != "le"}
        labels[name] = ", ".join(sorted(keys))
    table = {name: ", ".join(sorted(filter(None, text.split(", ")))) for name, text in documented().items()}
    assert table == labels
    assert metrics.names() == sorted(labels)


def test_names_follow_the_rules() -> None:
    """One prefix, base units as suffixes, no ids among the labels."""
    metrics = Metrics()
    tell_everything(metrics)
    for name in metrics.names():
        assert name.startswith("streamwise_")
        assert name.endswith(UNITS) or name in WITHOUT_UNIT, name
    for metric in metrics.registry.collect():
        for one in metric.samples:
            assert not [key for key in one.labels if "id" in key.split("_") or key in {"user", "item"}]


def test_every_rung_is_there_from_the_start() -> None:
    """A rate over a rung that was never used is 0, not absent."""
    value = Metrics().registry.get_sample_value
    assert [value("streamwise_lists_total", {"rung": rung}) for rung in RUNGS] == [0.0] * len(RUNGS)


def test_a_withheld_lift_is_taken_away() -> None:
    """When a gate closes, the gauge of the lift disappears instead of standing still."""
    metrics = Metrics()
    labels = {"experiment": "launch", "metric": "click"}
    metrics.api.on_report(report(1))
    assert metrics.registry.get_sample_value("streamwise_causal_lift_ratio", labels) == 0.1
    metrics.api.on_report(report(2, estimate=None, lower=None, upper=None))
    assert metrics.registry.get_sample_value("streamwise_causal_lift_ratio", labels) is None
    assert metrics.registry.get_sample_value("streamwise_causal_log_e_up", labels) == 1.0


def tell_everything(metrics: Metrics) -> None:
    """Every fact once, so that metrics with labels have a sample."""
    for name, protocol in PAIRS.items():
        for fact, method in facts(protocol).items():
            hints = get_type_hints(method)
            getattr(getattr(metrics, name), fact)(*(sample(h) for key, h in hints.items() if key != "return"))
