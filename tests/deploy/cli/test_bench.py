"""``streamwise bench``: one object on stdout, or a sentence on stderr."""

import json

import pytest

from deploy.cli.main import run


def test_a_benchmark_prints_its_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, machine, figures and peers of the same run."""
    assert run(["bench", "auditor", "--short", "--runs", "1", "--persons", "20000", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["bench"] == "auditor"
    assert printed["figures"]["rows_per_core_second"] > 0
    assert printed["against"]["python sets"]["rows_per_core_second"] > 0


def test_without_a_name_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it measures."""
    assert run(["bench", "--json"]) == 0
    assert "auditor" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["audtor"], ["'audtor'", "nearest is auditor"]),
        (["auditor", "--itms", "3"], ["--itms", "--persons"]),
        (["auditor", "--persons", "many"], ["--persons", "'many'", "int"]),
        (["auditor", "stray"], ["stray", "--persons"]),
        (["auditor", "--runs", "0"], ["runs", "0"]),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; names the option, the value and what is valid."""
    assert run(["bench", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    for part in parts:
        assert part in said
