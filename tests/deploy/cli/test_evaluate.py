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
    segments = {"all", "last50", "cold_user", "cold_item", "warm", "new_item"}
    assert set(out["fused"]) == segments | {"coverage@10", "novelty@10", "ILD@10"}
    for segment in segments:
        for metric in ("HR@10", "NDCG@10", "MRR@100", "DCG@100"):
            mean, *ends = (out["fused"][segment][f"{metric}{end}"] for end in ("", "_low", "_high"))
            assert ends[0] <= mean + 1e-12
            assert mean <= ends[1] + 1e-12
    assert out["fused"]["all"]["n"] == out["log"]["tests"] == 50
    assert {"popular", "transitions", "factors", "content"} <= set(out["components"])
    assert set(out["baselines"]) == {"popularity", "rank_fusion", "best_single"}
    assert {"best_single", "popularity", "rank_fusion", "own_items_struck_out"} == set(out["differences"])
    assert out["differences"]["popularity"]["low"] > 0
    assert sum(out["parts"].values()) == pytest.approx(1.0)
    assert out["log"]["columns"] == {"user": "user", "item": "item", "t": "t"}
    assert (out["log"]["time_unit"], out["log"]["from"]) == ("s", "1970-01-01")
    assert len(out["curves"]["event"]) == len(out["curves"]["fused"]) > 10
    assert out["ablation"] == []
    assert "fused list scores" in out["verdict"]


def test_table_and_verdict(log):
    """Without --json there are tables of components and segments, how the log was read, and a verdict."""
    result = CliRunner().invoke(command, [str(log), "--every", "10", "--keep-seen"])
    assert result.exit_code == 0
    words = ("fused", "rank fusion", "popular_ever", "cold_item", "On this log", "times read as seconds")
    for word in words:
        assert word in result.stdout
    assert max(map(len, result.stdout.split("On this log")[0].splitlines())) <= 80


@pytest.mark.slow
def test_ablation(log):
    """Every part is left out once, beside each other, and compared on the same tests."""
    arguments = [str(log), "--json", "--keep-seen", "--ablate", "--jobs", "2", "--without", "popularity"]
    result = CliRunner().invoke(command, [*arguments, "--without", "content"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    out = json.loads(result.stdout)
    named = {row["without"] for row in out["ablation"]}
    assert {"transitions", "factors", "repeats", "transitions_next"} <= named
    assert not named & {"popularity", "content"}
    tiny = 1e-12  # one person's tests: the interval is a point, but for rounding
    assert all(row["low"] - tiny <= row["difference"] <= row["high"] + tiny for row in out["ablation"])
    assert out["without"] == ["popularity", "content"]
    assert out["baselines"]["popularity"] == {}
    assert not {"popular", "content"} & set(out["components"])
    assert "Left out one by one" in out["verdict"]


def test_the_picture(log, tmp_path):
    """A picture of the asked kind is written, and nothing else is printed differently."""
    for name, magic in (("out.png", b"\x89PNG"), ("out.svg", b"<?xml")):
        result = CliRunner().invoke(command, [str(log), "--every", "5", "--plot", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        assert (tmp_path / name).read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("name", "said"),
    [("out.gif", "end the name with one of .png"), ("no/out.png", "there is no folder")],
)
def test_a_picture_that_cannot_be_is_refused_before_the_run(log, tmp_path, capsys, name, said):
    """Nobody waits for a run whose picture cannot be written."""
    assert run(["evaluate", str(log), "--plot", str(tmp_path / name)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_the_picture_without_its_extra(log, tmp_path, capsys, monkeypatch):
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["evaluate", str(log), "--plot", str(tmp_path / "out.png")]) == 2
    assert "pip install 'streamwise[plot]'" in capsys.readouterr().err


def test_settings_name_columns_and_the_engine(tmp_path):
    """A mapping of the settings reads the log, and the engine is that of the settings."""
    settings = tmp_path / "streamwise.toml"
    settings.write_text(
        '[engine]\nfactors = 8\nwithout = ["factors"]\n[[intake.mappings]]\ntopic = "web"\ntype = "click"\n'
        'ts_unit = "ms"\nfields = { user_id = "visitor.id", item_id = "sku", ts = "at" }\n'
    )
    path = tmp_path / "log.jsonl"
    lines = [{"visitor": {"id": n % 3}, "sku": n % 4, "at": 1_500_000_000_000 + n} for n in range(20)]
    path.write_text("\n".join(map(json.dumps, lines)))
    result = CliRunner().invoke(command, [str(path), "--settings", str(settings), "--json", "--keep-seen"])
    assert result.exit_code == 0, result.output
    out = json.loads(result.stdout)
    assert out["log"]["columns"] == {"user": "visitor.id", "item": "sku", "t": "at"}
    assert (out["log"]["time_unit"], out["log"]["people"]) == ("ms", 3)
    assert out["without"] == ["factors"]
    assert "factors" not in out["components"]


def test_standard_input(log):
    """``-`` is a pipe."""
    result = CliRunner().invoke(command, ["-", "--json"], input=log.read_bytes())
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["log"]["name"] == "stdin"


def test_the_data_set_of_the_package():
    """By name, with what is known of its products."""
    result = CliRunner().invoke(command, ["complete-journey", "--limit", "300", "--keep-seen", "--json"])
    assert result.exit_code == 0, result.output
    out = json.loads(result.stdout)
    assert (out["log"]["name"], out["log"]["events"], out["log"]["from"]) == (
        "complete-journey", 300, "2017-01-01",
    )  # fmt: skip
    assert 0 < out["fused"]["ILD@10"] <= 1


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("u,i,not-a-number", "bad.csv:2: t"),
        ("u,,5", "bad.csv:2: item"),
        ("u,i,-7", "bad.csv:2: t"),
        ("u,i,inf", "bad.csv:2: t"),
        ("u,i,1e30", "bad.csv:2: t"),
        ("u" * 2000 + ",i,5", "bad.csv:2: user"),
        ("u" * 200_000 + ",i,5", "bad.csv:2"),
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
        ("a.csv", "user,thing,t\n", "column 'item'"),
        ("a.csv", "user,item,t,user\na,i,5,b\n", "header: ['user']: columns of one name"),
        ("a.csv", "user,item,t,value\nu,i,5,nan\n", "a.csv:2: value"),
        ("a.csv", "user,item,t,value\nu,i,5,much\n", "a.csv:2: value"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1"),
    ],
)
def test_bad_files_are_named(tmp_path, capsys, name, text, names):
    """A file without the columns is an error, not a log in which nothing could be tested."""
    path = tmp_path / name
    path.write_text(text)
    assert run(["evaluate", str(path)]) == 2
    assert names in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FILE|NAME: missing"),
        (["nowhere.csv"], "'nowhere.csv': no such file; data sets: complete-journey"),
        (["LOG", "--column", "usr=user"], "'usr=user': no such name; the nearest is user"),
        (["LOG", "--column", "user"], "write OURS=THEIRS"),
        (["LOG", "--seed", "-1"], "--seed: -1"),
        (["LOG", "--catalogue"], "name them with --items FILE"),
        (["LOG", "--without", "factor"], "'factor': no such part; the nearest is factors"),
        (["LOG", "--source", "web"], "--source: 'web'"),
    ],
)
def test_what_cannot_be_done_is_said(log, capsys, arguments, said):
    """Exit code 2, and one sentence with the remedy."""
    assert run(["evaluate", *(str(log) if a == "LOG" else a for a in arguments)]) == 2
    assert said in capsys.readouterr().err


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
        {"op": "observe", "user": "u1", "item": "i1", "t": 1e300},
        {"op": "recommend", "user": "u1", "k": 5, "t": 1e300},
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
    assert all("error" in a for a in answers[62:67])
    assert len(set(answers[67]["items"])) == 5
    assert done.stderr == ""
