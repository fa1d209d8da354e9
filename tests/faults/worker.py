"""A worker in a process of its own that can be told where to die."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from deploy.supervisor import to_toml
from schemas.settings import Settings


class Worker:
    """``streamwise stream`` as a child process."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "settings.toml"
        self.file.write_text(to_toml(msgspec.to_builtins(settings)), "utf-8")
        self.log = directory / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.ends: list[int] = []

    def start(self, crash_at: str = "") -> None:
        """Start, without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "stream", "--settings", str(self.file)],
                stdout=log,
                stderr=log,
                env={**os.environ, "STREAMWISE_CRASH_AT": crash_at, "PYTHONWARNINGS": "ignore"},
                start_new_session=True,
            )

    def wait(self, seconds: float) -> int | None:
        """Exit status, or None if it still runs."""
        try:
            self.ends.append(self.process.wait(seconds))
        except subprocess.TimeoutExpired:
            return None
        return self.ends[-1]

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 40.0) -> int:
        """SIGTERM, and wait for the drain."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def ready(self, seconds: float = 60.0) -> None:
        """Wait until the log says once more than before that the stream is ready."""
        before = self._said()
        deadline = time.monotonic() + seconds
        while self._said() <= before and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.1)

    def _said(self) -> int:
        return self.log.read_bytes().count(b"stream ready") if self.log.exists() else 0
