"""Told to end, a process ends: by itself, or without what does not let go."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from deploy.watchdog import STATUS

ROOT = Path(__file__).parents[2]

PROCESS = """
import asyncio, gc, os, signal, sys, weakref
from deploy.signals import stop_on_signals

async def lets_go():
    await asyncio.sleep(0)

async def holds_on():
    await waits()

async def waits():
    await asyncio.Event().wait()

class Gone: pass
dead = weakref.proxy(Gone())  # whoever asks it for its class fails

async def main():
    gc.freeze()
    with stop_on_signals(float(sys.argv[2])) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
    await asyncio.create_task(globals()[sys.argv[1]](), name="work")

asyncio.run(main())
print("ended")
"""


def run(work: str, leave_seconds: float) -> tuple[int, str, str]:
    command = [sys.executable, "-c", PROCESS, work, str(leave_seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_never_ends_is_left_and_named() -> None:
    """Status 70; the log says which task waits, and where the threads stand."""
    status, _, said = run("holds_on", 1.0)
    assert status == STATUS
    assert said.startswith("error: told to end 1 s ago and still here; ")
    assert re.search(r"work holds_on <string>:\d+ > <string>:\d+ > \S*locks.py:\d+", said)
    assert re.search(r"Task-1 main <string>:\d+", said)  # frozen with all that stood at the start
    assert "Thread 0x" in said


FULL = """
import os
from deploy import watchdog
watchdog.LAST_WORD_SECONDS = 2
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
"""


def test_nobody_need_read_what_it_says() -> None:
    """Its errors go into a full pipe: the system ends what stands still in its last word."""
    command = [sys.executable, "-c", FULL + PROCESS, "holds_on", "1.0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(60) == -signal.SIGALRM
        finally:
            process.kill()


def test_who_ends_in_time_is_left_alone() -> None:
    """Status 0, and nothing said."""
    assert run("lets_go", 30.0) == (0, "ended\n", "")
