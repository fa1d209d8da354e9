"""``streamwise config``: what is in force, without secrets."""

import json
from pathlib import Path

import pytest

from deploy.cli.main import run
from deploy.config import keys


def test_every_setting_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One object, a dotted key for each setting."""
    assert run(["config", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(keys())


def test_only_what_was_changed_and_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file's values, and stars for the password."""
    file = tmp_path / "streamwise.toml"
    file.write_text('[kafka]\npartitions = 8\npassword = "hush"\n')
    assert run(["config", "--changed", "--settings", str(file)]) == 0
    assert capsys.readouterr().out == 'kafka.partitions = 8\nkafka.password = "***"\n'


def test_a_typo_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2; key, value and nearest key, no traceback."""
    file = tmp_path / "streamwise.toml"
    file.write_text("[kafka]\npartition = 8\n")
    assert run(["config", "--settings", str(file)]) == 2
    said = capsys.readouterr().err
    assert said == "error: kafka.partition: 8: no such setting; the nearest valid key is kafka.partitions\n"
