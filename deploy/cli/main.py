"""The one console script: finds its verbs, runs the chosen one, and turns every error into a sentence.

A verb is a module of ``deploy/cli/verbs`` with a ``command``.  ``streamwise --help`` reads the first
line of their docstrings and imports none of them, so it is fast whatever a verb imports.

Exit codes: 0 done, 1 failed, 2 bad input or usage, 130 interrupted.
"""

import ast
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import click
from typing_extensions import override  # an aiokafka requirement; typing has it from 3.12

from schemas.errors import InvalidMessageError, SettingsError, StreamwiseError

VERBS = Path(__file__).parent / "verbs"
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Verbs(click.Group):
    """A group whose commands are the modules of a folder, imported one at a time and only when run."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        names = [p.stem for p in VERBS.glob("*.py") if not p.stem.startswith("_")]
        return sorted(n.replace("_", "-") for n in names)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"deploy.cli.verbs.{cmd_name.replace('-', '_')}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"deploy.cli.verbs.{cmd_name}.command is {command!r}, not a click command")
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        valid = self.list_commands(ctx)
        if args and args[0] not in valid and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], valid, n=1, cutoff=0.0)
            raise click.UsageError(f"verb: {args[0]!r}: no such verb; the nearest is {near[0]}", ctx)
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary(name)) for name in self.list_commands(ctx)])


def summary(name: str) -> str:
    """What a verb does, from the first line of its module, which is not imported.

    Examples
    --------
    >>> summary("schemas")
    'The wire contract as JSON Schema documents.'
    """
    source = (VERBS / f"{name.replace('-', '_')}.py").read_text("utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    text = first.rpartition("``: ")[2]
    return text[:1].upper() + text[1:]


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("streamwise"), prog_name="streamwise")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_context
def root(context: click.Context, *, debug: bool) -> None:
    """An event-streaming, real-time recommender: from a click on Kafka to a changed list.

    Every verb has --json. Settings: a TOML file (--settings or STREAMWISE_SETTINGS), overridden by
    STREAMWISE_SECTION__KEY in the environment.
    """
    context.obj = {"debug": debug}


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code.  No exception leaves, but for ``--debug``."""
    try:
        code = root.main(args=list(arguments), prog_name="streamwise", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: nobody is left to tell, and the flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the last line of defence: a sentence, not a traceback
        if "--debug" in arguments:
            raise
        return _explain(error)


def main() -> NoReturn:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def _explain(error: Exception) -> int:
    match error:
        case click.ClickException():
            return _usage(error)
        case InvalidMessageError() | SettingsError():
            return _say(str(error), BAD_INPUT)
        case StreamwiseError():
            return _say(str(error), FAILED)
        case _:
            return _say(_unexpected(error), FAILED)


def _say(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    where = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        near = error.possibilities[0] if error.possibilities else "--help"
        message = f"{error.option_name}: no such option; the nearest is {near}"
    elif isinstance(error, click.MissingParameter) and error.param:
        message = f"{error.param.human_readable_name}: (missing): give it"
    elif isinstance(error, click.BadParameter) and error.param:
        message = f"{'/'.join(error.param.opts)}: {error.message.rstrip('.')}"
    hint = f"; see '{where.command_path} --help'" if where else ""
    return _say(message + hint, BAD_INPUT)


def _unexpected(error: Exception) -> str:
    kind = type(error)
    if kind.__module__.startswith("aiokafka"):
        return f"kafka.bootstrap: {error}: is the broker running there?"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    first = str(error).partition("\n")[0]  # some libraries explain themselves over pages
    return f"{kind.__name__}: {first}: run 'streamwise --debug …' for the traceback"
