"""``streamwise evaluate``: how good lists are on your own log, each event first a test, then a lesson."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from deploy.cli.options import as_json
from deploy.cli.output import print_json, print_table, progress
from models.evaluation.prequential import LogEvent, Tally, in_order, run, verdict
from models.evaluation.session import Session
from schemas.catalogue import Item
from schemas.errors import InvalidMessageError
from schemas.ids import MAX_ID_LENGTH
from schemas.settings import EngineSettings

COLUMNS = {"user": "user_id", "item": "item_id", "t": "ts"}


class _Recommend(msgspec.Struct, frozen=True, tag_field="op", tag="recommend"):
    user: str
    t: float
    k: int = 100
    exclude_seen: bool = True


class _Observe(msgspec.Struct, frozen=True, tag_field="op", tag="observe"):
    user: str
    item: str
    t: float
    value: float = 1.0


class _Describe(msgspec.Struct, frozen=True, tag_field="op", tag="describe"):
    item: str
    title: str = ""
    genres: tuple[str, ...] = ()
    text: str = ""


class _End(msgspec.Struct, frozen=True, tag_field="op", tag="end"):
    pass


_DECODER = msgspec.json.Decoder(_Recommend | _Observe | _Describe | _End)


@click.command("evaluate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--jsonl", is_flag=True, help="Answer a referee: JSON lines on stdin, answers on stdout.")
@click.option(
    "--every", type=click.IntRange(min=1), default=5, show_default=True, help="Test every N-th event."
)
@click.option("--keep-seen", is_flag=True, help="People's own items may be listed and are tested too.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many events, the oldest.")
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
def command(
    file: Path | None,
    *,
    jsonl: bool,
    every: int,
    keep_seen: bool,
    limit: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Replay a log through the engine, in process, and score every list that it would have shown.

    FILE is a CSV with a header or JSON lines with user, item, t (seconds) and, optionally, value.
    """
    if jsonl:
        referee(seed)
        return
    if file is None:
        raise click.UsageError("FILE: missing: name a log, or give --jsonl to be refereed")
    events = in_order(read_log(file))[:limit]
    session = Session(
        EngineSettings(probes_per_second=1e9, gradient_rows_per_second=1e9),
        exclude_seen=not keep_seen,
        seed=seed,
    )
    with progress(file.name, len(events), quiet=as_json) as advance:
        tally = run(events, session.test, session.observe, every=every, keep_seen=keep_seen, progress=advance)
    report(tally, session.components, as_json=as_json)


def report(tally: Tally, components: Sequence[str], *, as_json: bool) -> None:
    """One object, or a table and a verdict in plain words."""
    summaries = {name: tally.summary(name) for name in tally.ranks} if len(tally) else {}
    sentence = verdict(tally, components)
    if as_json:
        best = max(components, key=lambda n: summaries[n]["all"]["NDCG@10"]) if summaries else None
        print_json(
            {
                "fused": summaries.get("fused", {}),
                "components": {n: summaries[n] for n in components if n in summaries},
                "baselines": {
                    "popularity": summaries.get("popular", {}),
                    "rank_fusion": summaries.get("rrf", {}),
                    "best_single": {"name": best, **(summaries[best] if best else {})},
                },
                "verdict": sentence,
            }
        )
        return
    order = ["fused", "rrf", *components]
    rows = [_row(name, summaries[name]) for name in order if name in summaries]
    headers = ("list", "NDCG@10", "95 %", "HR@10", "last half", "cold users")
    print_table(headers, rows)
    click.echo(sentence)


def _row(name: str, summary: dict[str, dict[str, float]]) -> tuple[object, ...]:
    whole = summary["all"]
    return (
        name,
        round(whole["NDCG@10"], 4),
        f"{whole['NDCG@10_low']:.3f}–{whole['NDCG@10_high']:.3f}",
        round(whole["HR@10"], 4),
        round(summary["last50"]["NDCG@10"], 4),
        round(summary["cold_user"]["NDCG@10"], 4),
    )


def referee(seed: int) -> None:
    """Answer JSON lines until ``end`` or the end of the input; a bad line gets an error and is skipped."""
    session: Session | None = None
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        try:
            message = _DECODER.decode(line)
        except msgspec.DecodeError as error:
            _answer({"error": f"line: {error}: see the referee's protocol"})
            continue
        if isinstance(message, _End):
            return
        session = session or Session(
            EngineSettings(probes_per_second=1e9, gradient_rows_per_second=1e9), exclude_seen=True, seed=seed
        )
        try:
            _answer(_react(session, message))
        except (InvalidMessageError, msgspec.ValidationError) as error:
            _answer({"error": str(error)})


def _react(session: Session, message: _Recommend | _Observe | _Describe) -> dict[str, Any]:
    match message:
        case _Recommend():
            session.engine.exclude_seen = message.exclude_seen
            k = min(max(message.k, 1), 1000)
            items = session.recommend(message.user, k, message.t, exclude_seen=message.exclude_seen)
            return {"items": items}
        case _Observe():
            session.observe(LogEvent(message.user, message.item, message.t, message.value))
        case _Describe():
            session.describe(
                Item(
                    item_id=message.item,
                    title=message.title,
                    description=message.text,
                    categories=tuple(message.genres),
                )
            )
    return {"ok": True}


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def read_log(path: Path) -> Iterator[LogEvent]:
    """Events of a CSV or JSON-lines file.

    Raises
    ------
    InvalidMessageError
        Names line and field, the value and the remedy.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as source:
        lines = path.suffix in {".jsonl", ".ndjson", ".json"}
        for number, row in _json_rows(source) if lines else _csv_rows(path, source):
            yield _event(number, row)


def _csv_rows(path: Path, source: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(source)
    try:
        header = reader.fieldnames or ()
        for ours, theirs in COLUMNS.items():
            if ours not in header and theirs not in header:
                raise InvalidMessageError(f"{path.name}: header", list(header), f"give a column {ours!r}")
        yield from enumerate(reader, 2)
    except csv.Error as error:
        remedy = "a CSV file with a header, every field under 128 KiB"
        raise InvalidMessageError(f"line {reader.line_num + 1}", str(error), remedy) from error


def _json_rows(source: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(source, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InvalidMessageError(f"line {number}", line[:80], "one JSON object a line") from error
            if not isinstance(row, dict):
                raise InvalidMessageError(f"line {number}", line[:80], "one JSON object a line")
            yield number, row


def _event(number: int, row: dict[str, Any]) -> LogEvent:
    found = {ours: row.get(ours, row.get(theirs)) for ours, theirs in COLUMNS.items()}
    for name, value in found.items():
        if value is None or value == "":
            raise InvalidMessageError(f"line {number}.{name}", value, f"give a column {name!r}")
        if len(str(value)) > MAX_ID_LENGTH:
            raise InvalidMessageError(
                f"line {number}.{name}", value, f"give at most {MAX_ID_LENGTH} characters"
            )
    value = _value(number, row)
    try:
        t = float(str(found["t"]))
    except (TypeError, ValueError) as error:
        raise InvalidMessageError(
            f"line {number}.t", found["t"], "seconds since the epoch, a number"
        ) from error
    if row.get("t") is None:
        t /= 1000.0
    if not (np.isfinite(t) and 0 <= t < 2.5e11):
        raise InvalidMessageError(f"line {number}.t", t, "seconds since the epoch, 1970 to 9999")
    return LogEvent(str(found["user"]), str(found["item"]), t, value)


def _value(number: int, row: dict[str, Any]) -> float:
    given = row.get("value")
    if given is None or given == "":
        return 1.0
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise InvalidMessageError(f"line {number}.value", given, "a finite number, or nothing")
    return value or 1.0
