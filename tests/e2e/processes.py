"""Programs as people start them, and which processes a run left behind."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> "Iterator[subprocess.Popen[str]]":
    """A program whose output can be read; one that still runs in the end, as when a test fails, is killed."""
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def of_this_run(folder: Path) -> list[str]:
    """Command lines of living processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here, words = (process / "cwd").readlink(), (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if here == folder and words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def left_after(folder: Path, seconds: float) -> list[str]:
    """The same, after up to some seconds of waiting for them to end."""
    deadline = time.monotonic() + seconds
    while (left := of_this_run(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
