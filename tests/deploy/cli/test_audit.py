"""``streamwise audit``: what it prints; the auditor itself is tested in tests/streams."""

import json

import pytest

from deploy.cli.main import run
from deploy.cli.verbs.audit import line, show
from schemas.reports import CausalReport, Gate

REPORT = CausalReport(
    report_id="1",
    experiment="launch",
    metric="click",
    ts=0,
    epoch=0,
    signals_offset=7,
    n_treatment=9000,
    n_holdout=1000,
    events_treatment=900,
    events_holdout=80,
    estimate=0.25,
    lower=-0.01,
    upper=0.51,
    log_e_down=-1.0,
    log_e_up=1.5,
    log_e_srm=-0.2,
    alpha=0.01,
    gates=(Gate(name="split", passed=True), Gate(name="events", passed=False, reason="too few")),
    verdict="running",
    action="none",
)


def test_people_read_counts_verdict_and_why_a_gate_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a metric, and one for each gate that keeps a figure back."""
    show((REPORT,), as_json=False)
    printed = capsys.readouterr().out
    for part in ("launch", "900/9000", "80/1000", "running", "gate events: too few"):
        assert part in printed


def test_json_holds_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Read by programs."""
    show((REPORT,), as_json=True)
    assert json.loads(capsys.readouterr().out)["reports"][0]["log_e_up"] == 1.5


def test_a_line_gives_the_interval() -> None:
    """While it runs: one line a report."""
    assert "+25.0% [-1.0%, +51.0%]" in line(REPORT)


@pytest.mark.timeout(60)
def test_no_broker_is_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, the address in the message, no traceback."""
    monkeypatch.setenv("STREAMWISE_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    assert run(["audit", "--once"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "127.0.0.1:1" in said
    monkeypatch.undo()
