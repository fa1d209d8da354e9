"""Tables of every kind give the same rows, and what cannot be read is named."""

import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.tables import STDIN, opened, rows
from schemas.errors import InvalidMessageError, SettingsError

ROWS = [{"user": "ann", "item": "green, tea", "t": "5"}, {"user": "bo", "item": "cup", "t": "6"}]
CSV = b'user,item,t\nann,"green, tea",5\nbo,cup,6\n'
JSON = b"\n".join(json.dumps(row).encode() for row in ROWS) + b"\n"


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


PARQUET = parquet(pa.Table.from_pylist(ROWS))
KINDS = {
    "log.csv": CSV,
    "log.tsv": b"user\titem\tt\nann\tgreen, tea\t5\nbo\tcup\t6\n",
    "semicolons.csv": b"user;item;t\r\nann;green, tea;5\r\nbo;cup;6\r\n",
    "bom.csv": b"\xef\xbb\xbf" + CSV,
    "log.jsonl": JSON,
    "log.parquet": PARQUET,
    "log.csv.gz": gzip.compress(CSV),
    "log.jsonl.gz": gzip.compress(JSON),
    "nameless": PARQUET,
    "unnamed": JSON,
    "log.txt": CSV,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    """By the name, or by the first bytes."""
    path = tmp_path / name
    path.write_bytes(KINDS[name])
    assert [row for _, row in rows(path)] == ROWS


@pytest.mark.parametrize("data", [CSV, JSON, PARQUET, gzip.compress(CSV)])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """A pipe has no name and cannot be wound back."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(data))))
    with opened(STDIN) as table:
        assert table.name == "stdin"
        assert table.columns == ("user", "item", "t")
        assert [row for _, row in table.rows] == ROWS


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    """The header is line 1; blank lines of JSON count."""
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.jsonl").write_bytes(b"\n" + JSON)
    assert [n for n, _ in rows(tmp_path / "a.csv")] == [2, 3]
    assert [n for n, _ in rows(tmp_path / "a.jsonl")] == [2, 3]


def test_columns_of_json_lines_are_those_of_the_first_objects(tmp_path: Path) -> None:
    """A key that comes later is a column too."""
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"b": {"c": 2}}\n')
    with opened(tmp_path / "a.jsonl") as table:
        assert table.columns == ("a", "b")
        assert [row for _, row in table.rows] == [{"a": 1}, {"b": {"c": 2}}]


def test_parquet_times_of_any_unit_are_times(tmp_path: Path) -> None:
    """Nanoseconds are cut, not refused."""
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    for unit in ("s", "ms", "us", "ns"):
        path = tmp_path / f"{unit}.parquet"
        pq.write_table(pa.table({"t": pa.array([moment], pa.timestamp(unit, "UTC"))}), path)
        assert [row for _, row in rows(path)] == [{"t": moment}]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"user,item\nann\n", "a.csv:2: {'user': 'ann'"),
        ("a.csv", b"user,item\na,b,c\n", "a.csv:2: "),
        ("a.csv", b"user,item\nann,tea\n" + b"u" * 200_000 + b",x\n", "a.csv:3: 'field larger"),
        ("a.csv", b"user,item\n\xff\xfe,x\n", "give a UTF-8 text file"),
        ("a.jsonl", b'{"user": 1}\n[1]\n', r"a.jsonl:2: '\[1\]': one JSON object a line"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: "),
        ("a.parquet", PARQUET[:-9], "give a whole Parquet file"),
        ("a.csv.gz", gzip.compress(CSV)[:-12], "a.csv.gz: "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    """File, line, and the remedy."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidMessageError, match=said):
        list(rows(tmp_path / name))


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    (tmp_path / "a.parquet").write_bytes(PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"pyarrow is missing: pip install 'streamwise\[parquet\]'"):
        list(rows(tmp_path / "a.parquet"))
