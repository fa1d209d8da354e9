"""Child processes that never outlive us: spawning, waiting for, and stopping them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import UnavailableError

POLL_SECONDS = 0.02
COMPILING = "compiling kernels: a minute or two, once after an installation"
"""What a person is told while a process compiles."""
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a child that the kernel ends when we end, however we end (Linux; elsewhere only if we end well).

    The kernel's promise is about the thread that spawns: spawn from the main thread.

    The child leads a process group of its own, so that a terminal's Ctrl-C reaches only us and children
    are stopped in order.

    Parameters
    ----------
    command
        Program and arguments.
    log
        Appended with the child's output; None drops it.
    environment
        Added to ours.
    niceness
        Added to ours: background work gives way.
    """
    parent = os.getpid()

    def lifeline() -> None:
        """In the child, before it becomes the command: when the call returns, the kernel knows."""
        if _prctl is not None:
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)
        os.nice(niceness)

    target = log.open("ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603  our own commands
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            process_group=0,
            preexec_fn=lifeline,  # noqa: PLW1509  one system call, no lock, no allocation of note
        )
    finally:
        if log and not isinstance(target, int):
            target.close()


def stop(process: subprocess.Popen[bytes], *, seconds: float) -> int:
    """Ask a child to end, insist after ``seconds``, and reap it; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
    return process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a child and its own children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # gone meanwhile
        return


def free_port(preferred: int = 0, *, host: str = "127.0.0.1", tries: int = 20) -> int:
    """``preferred`` if it is free, else the next free port after it; 0 lets the system choose.

    Raises
    ------
    UnavailableError
        If the preferred port and the ``tries - 1`` after it are taken.
    """
    for port in range(preferred, preferred + tries) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:  # taken, or not ours to take
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError(f"ports {preferred} to {preferred + tries - 1} are all taken: choose another one")


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Return when something listens on ``port``.

    Raises
    ------
    UnavailableError
        If ``process`` ends first, or ``seconds`` pass.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise UnavailableError(f"the process for port {port} ended with status {process.returncode}")
        time.sleep(POLL_SECONDS)
    raise UnavailableError(f"nothing listens on port {port} after {seconds:.0f} s")
