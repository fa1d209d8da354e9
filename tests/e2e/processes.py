"""Which processes a run left behind."""

import time
from pathlib import Path


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
