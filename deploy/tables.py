"""Tables as people have them: CSV, JSON lines or Parquet, plain or gzipped, from a file or from stdin."""

import csv
import gzip
import importlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.errors import InvalidMessageError, SettingsError

Row = dict[str, Any]
Numbered = tuple[int, Row]

STDIN: Final = Path("-")
DELIMITERS: Final = (",", ";", "\t")
SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip
GLANCE: Final = 100
"""JSON objects that are read ahead to know the columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, to be read once.

    Attributes
    ----------
    name
        For messages.
    columns
        Of the header, or of the first hundred JSON objects.
    rows
        Line numbers (of Parquet: row numbers) and rows.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Numbered]


@contextmanager
def opened(path: Path) -> Iterator[Table]:
    """Open a table; ``STDIN`` is standard input.

    The format is told by the name, or else by the first bytes.

    Raises
    ------
    InvalidMessageError
        Names the line that cannot be read, or columns of one name.
    SettingsError
        Parquet, and the extra is not installed.
    """
    name = "stdin" if path == STDIN else str(path)
    with _bytes(path) as stream:
        read = {"csv": _csv, "json": _json, "parquet": _parquet}[_format(path, stream)]
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            columns, rows = read(name, stream, text)
            _refuse_doubles(name, columns)
            yield Table(name, columns, rows)
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            remedy = "give a UTF-8 text file, CSV or JSON lines, or Parquet; .gz of these"
            raise InvalidMessageError(name, str(error), remedy) from error
        finally:
            text.detach()


def _refuse_doubles(name: str, columns: tuple[str, ...]) -> None:
    doubles = [column for column, times in Counter(columns).items() if column and times > 1]
    if doubles:
        raise InvalidMessageError(f"{name}: header", doubles, "columns of one name: rename or drop one")


def rows(path: Path) -> Iterator[Numbered]:
    """Line numbers and rows of a table."""
    with opened(path) as table:
        yield from table.rows


def needs(module: str, extra: str, what: str) -> Any:
    """Import a module that comes with an optional extra.

    Raises
    ------
    SettingsError
        It is not installed: names what needs it, and the extra.

    Examples
    --------
    >>> needs("no_such_module", "parquet", "log.parquet")
    Traceback (most recent call last):
    ...
    schemas.errors.SettingsError: log.parquet: no_such_module is missing: pip install 'streamwise[parquet]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'streamwise[{extra}]'"
        raise SettingsError(f"{what}: {error.name or module} is missing: {remedy}") from error


@contextmanager
def _bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The file, unzipped where its first bytes say that it is zipped."""
    with nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb") as source:
        stream = _peekable(source)
        yield _peekable(gzip.GzipFile(fileobj=stream)) if stream.peek(2)[:2] == b"\x1f\x8b" else stream


def _peekable(source: Any) -> io.BufferedReader:
    return source if isinstance(source, io.BufferedReader) else io.BufferedReader(source)


def _format(path: Path, stream: io.BufferedReader) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() in SUFFIXES:
        return SUFFIXES[suffix.lower()]
    first = stream.peek(64)
    if first[:4] == b"PAR1":
        return "parquet"
    return "json" if first.lstrip()[:1] == b"{" else "csv"


def _csv(
    name: str, stream: io.BufferedReader, text: io.TextIOWrapper
) -> tuple[tuple[str, ...], Iterator[Numbered]]:
    header = stream.peek(4096).partition(b"\n")[0].decode("utf-8", "replace")
    lines = csv.DictReader(text, strict=True, delimiter=max(DELIMITERS, key=header.count))
    try:
        columns = tuple(lines.fieldnames or ())
    except csv.Error as error:
        raise InvalidMessageError(f"{name}:1", str(error), _CSV) from error
    return columns, _csv_rows(name, lines)


_CSV: Final = "a CSV file with a header, every field under 128 KiB"


def _csv_rows(name: str, lines: "csv.DictReader[str]") -> Iterator[Numbered]:
    try:
        for row in lines:
            if None in row or None in row.values():
                remedy = "give as many fields as the header has"
                raise InvalidMessageError(f"{name}:{lines.line_num}", row, remedy)
            yield lines.line_num, row
    except csv.Error as error:
        raise InvalidMessageError(f"{name}:{lines.reader.line_num}", str(error), _CSV) from error


def _json(
    name: str, _: io.BufferedReader, text: io.TextIOWrapper
) -> tuple[tuple[str, ...], Iterator[Numbered]]:
    found = _objects(name, text)
    first = list(islice(found, GLANCE))
    columns = dict.fromkeys(key for _, row in first for key in row)

    def read() -> Iterator[Numbered]:
        yield from first
        yield from found

    return tuple(columns), read()


def _objects(name: str, lines: Iterable[str]) -> Iterator[Numbered]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line, type=Row)
            except (msgspec.DecodeError, RecursionError) as error:
                remedy = f"one JSON object a line ({error})"
                raise InvalidMessageError(f"{name}:{number}", line.strip(), remedy) from error


def _parquet(
    name: str, stream: io.BufferedReader, _: io.TextIOWrapper
) -> tuple[tuple[str, ...], Iterator[Numbered]]:
    arrow = needs("pyarrow", "parquet", name)
    parquet = needs("pyarrow.parquet", "parquet", name)
    seekable = stream if stream.seekable() else io.BytesIO(stream.read())
    try:
        file = parquet.ParquetFile(seekable)
    except (arrow.ArrowException, OSError) as error:
        raise InvalidMessageError(name, str(error), "give a whole Parquet file") from error

    def read() -> Iterator[Numbered]:
        number = 0
        try:
            for batch in file.iter_batches():
                for row in _in_milliseconds(arrow, batch).to_pylist():
                    number += 1
                    yield number, row
        except arrow.ArrowException as error:
            raise InvalidMessageError(
                f"{name}:{number + 1}", str(error), "give a whole Parquet file"
            ) from error

    return tuple(file.schema_arrow.names), read()


def _in_milliseconds(arrow: Any, batch: Any) -> Any:
    """Timestamps of any unit as milliseconds: Python's own times know no nanoseconds."""
    for at, field in enumerate(batch.schema):
        if arrow.types.is_timestamp(field.type):
            wanted = arrow.timestamp("ms", field.type.tz)
            batch = batch.set_column(at, field.name, batch.column(at).cast(wanted, safe=False))
    return batch
