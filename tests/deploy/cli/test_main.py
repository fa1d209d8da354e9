"""The root command: lazy, and every error a sentence with an exit code."""

import json
import subprocess
import sys
import types

import click
import pytest

from deploy.cli import main as cli
from schemas.errors import InvalidMessageError, SettingsError, UnavailableError


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``streamwise schemas`` fail with an error."""

    @click.command()
    def command() -> None:
        raise error

    module = types.ModuleType("deploy.cli.verbs.schemas")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deploy.cli.verbs.schemas", module)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InvalidMessageError("$.ts", -5, "send milliseconds"), 2, "error: $.ts: -5: send milliseconds"),
        (SettingsError("kafka.port: 1: no such setting"), 2, "error: kafka.port: 1: no such setting"),
        (UnavailableError("no broker"), 1, "error: no broker"),
        (ValueError("odd"), 1, "error: ValueError: odd: run 'streamwise --debug"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), 1, "error: x.csv: No such file"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_sentences(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    """Bad input is 2, failure 1, Ctrl-C 130; stderr has one line and no traceback."""
    raising(monkeypatch, error)
    assert cli.run(["schemas"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said)
    assert "Traceback" not in shown.err
    assert shown.err.count("\n") == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--debug`` lets an unexpected error through."""
    raising(monkeypatch, ValueError("odd"))
    with pytest.raises(ValueError, match="odd"):
        cli.run(["--debug", "schemas"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shemas"], "error: verb: 'shemas': no such verb; the nearest is schemas"),
        (["schemas", "--jsn"], "error: --jsn: no such option; the nearest is --json"),
        (["schemas", "--out", "README.md/x", "more"], "error: Got unexpected extra argument (more)"),
    ],
)
def test_wrong_usage_names_the_remedy(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A misspelt verb or option is named with the nearest valid one; exit code 2."""
    assert cli.run(arguments) == cli.BAD_INPUT
    assert capsys.readouterr().err.startswith(said)


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """``streamwise`` alone lists the verbs."""
    assert cli.run([]) == cli.BAD_INPUT
    assert "schemas" in capsys.readouterr().err


def test_help_imports_no_verb() -> None:
    """``--help`` names every verb with its summary, and loads none of them nor anything heavy."""
    code = (
        "import sys; from deploy.cli.main import run; assert run(['--help']) == 0\n"
        "heavy = ('deploy.cli.verbs.', 'numpy', 'faust', 'torch', 'rich')\n"
        "print([m for m in sys.modules if m.startswith(heavy)])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("[]")
    assert "schemas" in shown


EVERY_VERB = """
import json
import click
from deploy.cli import main as cli
context, found = click.Context(cli.root), {}
for name in cli.Verbs().list_commands(context):
    command = cli.Verbs().get_command(context, name)
    options = {option for param in command.params for option in param.opts}
    found[name] = [command.name, cli.summary(name), bool(options & {"--json", "--jsonl"})]
print(json.dumps(found))
"""


def test_every_verb_has_a_summary_and_json() -> None:
    """Each verb's module begins with its one-line summary, and it prints JSON when asked to.

    In a process of its own: some libraries that verbs load change the environment.
    """
    shown = subprocess.run([sys.executable, "-c", EVERY_VERB], capture_output=True, text=True, check=True)
    found = json.loads(shown.stdout)
    assert "demo" in found
    for name, (command, summary, has_json) in found.items():
        assert command == name
        assert summary, f"{name}: the module's docstring must begin with ``streamwise {name}``: what it does"
        assert has_json, f"{name} has no --json"
