"""What a running verb shows on stderr: whole lines that stay, and one live line that is overwritten."""

import shutil
import sys
from collections.abc import Callable

import click

Say = Callable[[str], None]


def screen() -> tuple[Say, Say]:
    """How to say something, and how to show the live line (on a terminal only)."""
    terminal = sys.stderr.isatty()
    clear = "\r\x1b[2K" if terminal else ""

    def say(text: str) -> None:
        click.echo(clear + text, err=True)

    def line(text: str) -> None:
        if terminal:
            width = shutil.get_terminal_size().columns
            click.echo(clear + text[: width - 1], err=True, nl=False)

    return say, line
