"""A worker, or another role, in a process of its own; a worker can be told where to die."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from deploy.supervisor import to_toml
from schemas.settings import Settings

READY = re.compile(b"(?:stream|learner|encoder) ready")
"""What the roles say that have modules to load."""


class Worker:
    """``streamwise VERB`` as a child process, with its log and snapshots in a directory of its own.

    Parameters
    ----------
    before
        Words to put before the command line: ``faketime`` and its like.
    """

    def __init__(
        self, settings: Settings, directory: Path, verb: str = "stream", *, before: tuple[str, ...] = ()
    ) -> None:
        self.learns = verb == "stream" and settings.learner.mode == "inline"
        self._command = [*before, sys.executable, "-m", "deploy.cli", verb]
        directory.mkdir(exist_ok=True, parents=True)
        learner = msgspec.structs.replace(settings.learner, directory=str(directory / "snapshots"))
        self.file = directory / "settings.toml"
        own = msgspec.structs.replace(settings, learner=learner)
        self.file.write_text(to_toml(msgspec.to_builtins(own)), "utf-8")
        self.log = directory / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.ends: list[int] = []
        self._said_before = 0

    def start(self, crash_at: str = "") -> None:
        """Start, without waiting."""
        self._said_before = self._said()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "--settings", str(self.file)],
                stdout=log,
                stderr=log,
                env={**os.environ, "STREAMWISE_CRASH_AT": crash_at, "PYTHONWARNINGS": "ignore"},
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended; one that stands still counts."""
        return self.process is not None and self.process.poll() is None

    @property
    def was_ready(self) -> bool:
        """Whether its log has said in this life that it is ready."""
        return self._said() > self._said_before

    def wait(self, seconds: float) -> int | None:
        """Exit status, or None if it still runs."""
        try:
            self.ends.append(self.process.wait(seconds))
        except subprocess.TimeoutExpired:
            return None
        return self.ends[-1]

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.ends.append(self.process.wait())

    def stop(self, seconds: float = 90.0) -> int:
        """SIGTERM, and wait for the drain."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def said(self, lines: int = 40) -> str:
        """The end of its log, without what its client says of connections."""
        log = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        ours = [line[:300] for line in log if "aiokafka" not in line]
        return "\n".join([f"--- {self.log.parent.name}", *ours[-lines:]])

    def paused(self, seconds: float = 150.0) -> bool:
        """Wait until the process stands still; False if it does not."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if stat.read_text("utf-8").rpartition(")")[2].split()[0] == "T":
                return True
            time.sleep(0.05)
        return False

    def ready(self, seconds: float = 240.0) -> None:
        """Wait until it has said in this life that it is ready; one that ends before is told of."""
        deadline = time.monotonic() + seconds
        while not self.was_ready and self.runs and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.was_ready, self.said()

    def _said(self) -> int:
        return len(READY.findall(self.log.read_bytes())) if self.log.exists() else 0
