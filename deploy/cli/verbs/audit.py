"""``streamwise audit``: checks the running experiment, reports, and rolls a harmful policy back."""

import asyncio
from math import log

import click
import msgspec
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.health import Health, operations
from deploy.metrics import AuditMetrics, Metrics
from deploy.signals import stop_on_signals
from deploy.watchdog import watched
from schemas.control import PolicySwitch
from schemas.reports import CausalReport
from schemas.settings import Settings
from streams.auditor import Auditor
from streams.provision import provision
from streams.tasks import unless


class Teller:
    """Counts everything, and says what must not pass unnoticed on stderr."""

    def __init__(self, counting: AuditMetrics) -> None:
        self._counting = counting
        self.caught_up = False

    def on_folded(self, rows: int, lag: int) -> None:
        """Ready once the log has been read to its end."""
        self._counting.on_folded(rows, lag)
        self.caught_up = self.caught_up or lag == 0

    def on_corrupt(self, offset: int, reason: str) -> None:
        """Junk in the log."""
        self._counting.on_corrupt(offset, reason)
        click.echo(f"signals/{offset}: {reason}", err=True)

    def on_report(self, report: CausalReport) -> None:
        """Only counted."""
        self._counting.on_report(report)

    def on_switch(self, row: PolicySwitch) -> None:
        """The order itself."""
        self._counting.on_switch(row)
        epochs = f"epoch {row.from_epoch} to {row.to_epoch}"
        click.echo(f"ROLLBACK {row.experiment}: {epochs}: {row.reason}", err=True)

    def on_snapshot_refused(self, reason: str) -> None:
        """More of the log is read instead."""
        self._counting.on_snapshot_refused(reason)
        click.echo(f"snapshot not used: {reason}", err=True)

    def on_snapshot_failed(self, reason: str) -> None:
        """A restart will read more of the log."""
        self._counting.on_snapshot_failed(reason)
        click.echo(f"snapshot not written: {reason}: free the disk or set another directory", err=True)

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """Only counted."""
        self._counting.on_heartbeat(stage, topic, partition, ts)

    def reading(self) -> str | None:
        """Why the auditor is not ready."""
        return None if self.caught_up else "the signals log is being read"


class Printer(Teller):
    """Prints every report as it is made: a line, or a JSON object a line."""

    def __init__(self, counting: AuditMetrics, *, as_json: bool) -> None:
        super().__init__(counting)
        self._as_json = as_json

    @override
    def on_report(self, report: CausalReport) -> None:
        super().on_report(report)
        click.echo(msgspec.json.encode(report) if self._as_json else line(report))


@click.command("audit")
@click.option("--once", is_flag=True, help="Audit the log as it stands, print the reports, and end.")
@dry_run
@as_json
@with_settings
def command(settings: Settings, *, once: bool, dry_run: bool, as_json: bool) -> None:
    """Compare treatment and holdout at every period, until Ctrl-C.

    Reports go to ``causal-reports``.  When an e-value passes its limit the safe policy is ordered by a row
    of ``signals``; every worker obeys it.  With --dry-run nothing is written anywhere.
    """
    quiet()
    metrics = Metrics()
    if once:
        teller = Teller(metrics.audit)
        auditor = Auditor(settings, observer=teller, dry_run=dry_run)
        show(asyncio.run(_once(auditor, settings, dry_run=dry_run)), as_json=as_json)
        return
    printer = Printer(metrics.audit, as_json=as_json)
    auditor = Auditor(settings, observer=printer, dry_run=dry_run)
    health = Health({"log": printer.reading})
    with operations(settings.api, health, metrics.render):
        asyncio.run(_until_stopped(auditor, settings, health, metrics, dry_run=dry_run))


def show(reports: tuple[CausalReport, ...], *, as_json: bool) -> None:
    """All reports of one audit."""
    if as_json:
        print_json({"reports": reports})
        return
    for report in reports:
        click.echo(line(report))
        for gate in report.gates:
            if not gate.passed:
                click.echo(f"  gate {gate.name}: {gate.reason}")
        if report.action != "none":
            click.echo(f"  {report.action}")


def line(report: CausalReport) -> str:
    """A report in one line.

    Examples
    --------
    >>> line(CausalReport(report_id="1", experiment="launch", metric="click", ts=0, epoch=0,
    ...     signals_offset=7, n_treatment=900, n_holdout=100, events_treatment=90, events_holdout=9,
    ...     estimate=None, lower=None, upper=None, log_e_down=-1.0, log_e_up=0.0, log_e_srm=0.0,
    ...     alpha=0.01, gates=(), verdict="insufficient", action="none"))
    'launch click: 90/900 with, 9/100 without, lift withheld, log e -1.00 of 4.61: insufficient'
    """
    lift = "withheld"
    if report.estimate is not None and report.lower is not None and report.upper is not None:
        lift = f"{report.estimate:+.1%} [{report.lower:+.1%}, {report.upper:+.1%}]"
    return (
        f"{report.experiment} {report.metric}: {report.events_treatment}/{report.n_treatment} with, "
        f"{report.events_holdout}/{report.n_holdout} without, lift {lift}, "
        f"log e {report.log_e_down:.2f} of {log(1 / report.alpha):.2f}: {report.verdict}"
    )


async def _once(auditor: Auditor, settings: Settings, *, dry_run: bool) -> tuple[CausalReport, ...]:
    if not dry_run:
        await provision(settings)
    return await auditor.once()


async def _until_stopped(
    auditor: Auditor, settings: Settings, health: Health, metrics: Metrics, *, dry_run: bool
) -> None:
    with watched(settings.health, health, metrics.process), stop_on_signals() as stop:
        if dry_run or await unless(stop, provision(settings)):
            await auditor.run(stop)
