"""``topics --plan``, ``repartition``, ``backup``, ``restore``: what they say without a deployment."""

import json
import re
from pathlib import Path

import pytest

from deploy.cli.main import run
from deploy.sizing import BUSY, FOLD_SECONDS, advise

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nowhere(tmp_path: Path) -> list[str]:
    """Settings of a broker that is not there."""
    file = tmp_path / "streamwise.toml"
    file.write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n')
    return ["--settings", str(file)]


def test_a_plan_needs_no_broker(capsys: pytest.CaptureFixture[str], nowhere: list[str]) -> None:
    """Partitions, processes and namespaces for a rate, as an object and as a table."""
    assert run(["topics", "--plan", "10000", "--json", *nowhere]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["advice"]["partitions"] == 16
    assert told["partitions_now"] == 4
    assert run(["topics", "--plan", "100000", "--people", "5000000", *nowhere]) == 0
    assert "kafka.partitions is 4" in capsys.readouterr().out


@pytest.mark.parametrize("rate", [10, 1_000, 50_000, 400_000])
def test_a_plan_leaves_everybody_room(rate: float) -> None:
    """Every process has partitions of its own, every learning log stays below its share of a core."""
    for workers in (0, 3, 50):
        advice = advise(rate, workers=workers)
        assert advice.partitions >= 3 * advice.processes >= 3 * workers
        assert rate * FOLD_SECONDS / advice.namespaces <= BUSY


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["repartition"], 2, "--partitions: (missing)"),
        (["repartition", "--partitions", "4"], 2, "choose another number"),
        (["repartition", "--partitions", "0"], 2, "--partitions"),
        (["repartition", "--partitions", "8"], 1, "no broker answers"),
        (["repartition", "--abandon"], 1, "no broker answers"),
        (["backup", "DIR/new"], 1, "no broker answers"),
        (["backup", "DIR"], 1, "is not empty: name a new directory"),
        (["backup"], 2, "DIRECTORY"),
        (["restore", "DIR/nothing"], 1, "no such directory"),
        (["restore", "DIR"], 1, "not a backup, or one that did not finish"),
        (["topics", "--plan", "0"], 2, "--plan"),
        (["topics", "--plan", "inf"], 2, "--plan: inf: at most 1e+12"),
        (["topics", "--plan", "nan"], 2, "--plan: nan"),
        (["topics", "--plan", "5", "--lists", "inf"], 2, "--lists: inf"),
        (["topics", "--plan", "5", "--people", "9" * 30], 2, "--people"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    line: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    nowhere: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2 for wrong usage, 1 for what cannot be done; the sentence names what to do."""
    arguments = [part.replace("DIR", str(tmp_path)) if part.startswith("DIR") else part for part in line]
    assert run([*arguments, *nowhere]) == code
    assert said in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["streamwise.toml"]


def test_the_sizes_of_the_document_are_what_the_plan_says() -> None:
    """Processes, namespaces and partitions of each row of the table in ``docs/scale.md``."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "scale.md").read_text("utf-8").splitlines()
        if re.match(r"\| [\d,]+ \| [\d.]+ × 2 → ", line)
    ]
    assert [row[0] for row in rows] == ["1,000", "10,000", "100,000", "1,000,000"]
    for rate, processes, _, partitions, *_ in rows:
        advice = advise(float(rate.replace(",", "")))
        assert int(processes.rpartition("→ ")[2]) == advice.processes
        assert int(partitions.partition(" over")[0].replace(",", "").rstrip()) == advice.partitions
