"""``streamwise evaluate``: files, the referee's protocol, and what it says of bad input."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from deploy.cli.main import run
from deploy.cli.verbs.evaluate import command


@pytest.fixture
def log(tmp_path):
    """A hundred and fifty clicks of five people along a ring, as CSV."""
    rows = [f"u{n % 5},i{(n // 5 + n % 5) % 12},{1000 + 60 * n}" for n in range(150)]
    path = tmp_path / "log.csv"
    path.write_text("user,item,t\n" + "\n".join(rows) + "\n")
    return path


def test_json_has_the_promised_shape(log):
    """Fused, components and baselines with the referee's segments and metric names."""
    result = CliRunner().invoke(command, [str(log), "--json", "--every", "3", "--keep-seen"])
    assert result.exit_code == 0, result.output
    out = json.loads(result.stdout)
    assert set(out["fused"]) == {"all", "last50", "cold_user", "cold_item", "warm", "new_item"}
    assert {"n", "HR@10", "NDCG@10", "MRR@100", "DCG@100"} <= set(out["fused"]["all"])
    assert {"popular", "transitions", "factors", "content"} <= set(out["components"])
    assert set(out["baselines"]) == {"popularity", "rank_fusion", "best_single"}
    assert "fused list scores" in out["verdict"]


def test_table_and_verdict(log):
    """Without --json there is a table with every component and a sentence."""
    result = CliRunner().invoke(command, [str(log), "--every", "10", "--keep-seen"])
    assert result.exit_code == 0
    for word in ("fused", "rrf", "popular", "On this log"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("u,i,not-a-number", "line 2.t"),
        ("u,,5", "line 2.item"),
        ("u,i,-7", "line 2.t"),
        ("u,i,inf", "line 2.t"),
        ("u,i,1e30", "line 2.t"),
        ("u" * 2000 + ",i,5", "line 2.user"),
        ("u" * 200_000 + ",i,5", "line 2"),
    ],
)
def test_bad_lines_are_named(tmp_path, capsys, line, names):
    """Exit code 2 and one sentence that names line and field."""
    path = tmp_path / "bad.csv"
    path.write_text(f"user,item,t\n{line}\n")
    assert run(["evaluate", str(path)]) == 2
    assert names in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.csv", "", "column 'user'"),
        ("a.csv", "\0\ufffd", "column 'user'"),
        ("a.csv", "user,product,t\n", "column 'item'"),
        ("a.csv", "user,item,t,value\nu,i,5,nan\n", "line 2.value"),
        ("a.csv", "user,item,t,value\nu,i,5,much\n", "line 2.value"),
        ("a.jsonl", "[" * 100_000, "line 1"),
    ],
)
def test_bad_files_are_named(tmp_path, capsys, name, text, names):
    """A file without the columns is an error, not a log in which nothing could be tested."""
    path = tmp_path / name
    path.write_text(text)
    assert run(["evaluate", str(path)]) == 2
    assert names in capsys.readouterr().err


def test_no_file_is_a_usage_error(capsys):
    """Neither FILE nor --jsonl: exit code 2."""
    assert run(["evaluate"]) == 2
    assert "FILE" in capsys.readouterr().err


def test_referee_protocol():
    """Observe, recommend, describe, end; a bad line gets an error and the next line its answer."""
    lines = [
        {"op": "recommend", "user": "a", "k": 10, "t": 0, "exclude_seen": True},
        {"op": "describe", "item": "i1", "title": "One", "genres": ["tea"], "text": ""},
        *(
            {"op": "observe", "user": f"u{n % 4}", "item": f"i{n % 7}", "t": n * 10.0, "value": 3.0}
            for n in range(60)
        ),
        "nonsense",
        {"op": "fly"},
        {"op": "observe", "user": "", "item": "i1", "t": 700},
        {"op": "recommend", "user": "u1", "k": 5, "t": 700, "exclude_seen": False},
        {"op": "end"},
        {"op": "recommend", "user": "u1", "k": 5, "t": 700},
    ]
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "evaluate", "--jsonl"],
        input=text, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    answers = [json.loads(x) for x in done.stdout.splitlines()]
    assert len(answers) == len(lines) - 2
    assert answers[0] == {"items": []}
    assert answers[1:62] == [{"ok": True}] * 61
    assert all("error" in a for a in answers[62:65])
    assert len(set(answers[65]["items"])) == 5
    assert done.stderr == ""
