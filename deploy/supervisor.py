"""All roles on this machine as child processes of one: started in order, watched, ended together.

A role that its watchdog ended is started again, and so is a learner that was killed, each time after a
longer pause; one that falls again and again, or ends by itself in any other way, is reported with the last
thing it said.
No child outlives it, whatever ends it (``deploy.process.spawn``).
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from deploy.cli.options import SETTINGS_VARIABLE
from deploy.embedded.broker import EmbeddedBroker
from deploy.process import kill_group, spawn
from deploy.watchdog import STATUS as WATCHDOG_STATUS
from schemas.settings import Settings

GRACE_SECONDS = 6.0
"""What roles get to end by themselves; the broker, which goes last, gets 2 s more."""

BACKGROUND = 10
"""Niceness of roles that nobody waits for: on a small machine, lists come first."""

PAUSES = (0.0, 1.0, 5.0, 15.0, 30.0)
"""Seconds before a role is started again, the first time, the second, and so on; then it is given up."""
CALM_SECONDS = 600.0
"""Falls longer ago do not count."""

HUNG = "Timeout ("
"""How ``faulthandler`` begins what it says before it ends a process; its status, 1, is that of any error."""

FETCH_WAIT_MS = {"api": 50, "encode": 250, "audit": 250}
"""On the embedded broker every fetch waits this long and costs CPU: who is in no hurry asks less often."""


class Supervisor:
    """The children of one run.

    Parameters
    ----------
    directory
        Of this run: ``settings.toml`` and one log per role; made if missing.
    settings
        Of all roles.
    broker
        Started before; stopped last.  None for a cluster that is not ours.
    clock
        Seconds; paces how often a role is started again.
    """

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        broker: EmbeddedBroker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = settings
        self.broker = broker
        self.roles: dict[str, subprocess.Popen[bytes]] = {}
        self._clock = clock
        self._variables: dict[str, dict[str, str]] = {}
        self._said_before: dict[str, int] = {}  # bytes of its log that are of former lives
        self._fell: dict[str, float] = {}
        self._revived: defaultdict[str, list[float]] = defaultdict(list)
        self.settings_file = directory / "settings.toml"
        self.settings_file.write_text(to_toml(msgspec.to_builtins(settings)), "utf-8")

    def start(self, role: str, **environment: str) -> None:
        """Start ``streamwise ROLE`` with this run's settings."""
        command = [sys.executable, "-m", "deploy.cli", role]
        self._variables[role] = environment
        variables = {SETTINGS_VARIABLE: str(self.settings_file.resolve()), **environment}
        if self.broker is not None and role in FETCH_WAIT_MS:
            variables["STREAMWISE_KAFKA__FETCH_WAIT_MS"] = str(FETCH_WAIT_MS[role])
        niceness = BACKGROUND if role in {"encode", "audit"} else 0
        self._said_before[role] = self.log(role).stat().st_size if self.log(role).exists() else 0
        self.roles[role] = spawn(command, log=self.log(role), environment=variables, niceness=niceness)

    def log(self, role: str) -> Path:
        """Where a role's output goes."""
        return self.directory / f"{role}.log"

    def ended(self) -> dict[str, str]:
        """Roles that are gone though nobody stopped them, each with its status and last words."""
        gone = {
            role: f"ended with status {process.returncode}: {self.last_words(role)}"
            for role, process in self.roles.items()
            if process.poll() is not None and self._due(role) is None
        }
        if self.broker is not None and not self.broker.alive():
            gone["broker"] = "ended"
        return gone

    def revive(self) -> dict[str, str]:
        """Start the roles again that their watchdogs have ended; each with its last words.

        A learner that was killed too: lists go on from its last models meanwhile.
        """
        due = {role: at for role in sorted(self.roles) if (at := self._due(role)) is not None}
        now = self._clock()
        said = {role: self.last_words(role) for role, at in due.items() if now >= at}
        for role in said:
            del self._fell[role]
            self._revived[role].append(now)
            self.start(role, **self._variables[role])
        return said

    def _due(self, role: str) -> float | None:
        """When a fallen role is to be started again; None: it runs, or nobody starts it again."""
        status = self.roles[role].poll()
        if status is None or not self._was_ended(role, status):
            return None
        fell = self._fell.setdefault(role, self._clock())
        falls = sum(fell - at < CALM_SECONDS for at in self._revived[role])
        return fell + PAUSES[falls] if falls < len(PAUSES) else None

    def _was_ended(self, role: str, status: int) -> bool:
        """Whether its watchdog has ended a role, or somebody has killed the learner."""
        if status == WATCHDOG_STATUS or (role == "learn" and status < 0):
            return True
        said = self.log(role).read_bytes()[self._said_before.get(role, 0) :] if status == 1 else b""
        return any(line.startswith(HUNG.encode()) for line in said.splitlines())

    def last_words(self, role: str) -> str:
        """The last error that a role wrote, else its last line."""
        try:
            lines = self.log(role).read_text("utf-8", errors="replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it said nothing"])[-1]

    def stop(self) -> None:
        """End all roles together, then the broker; what does not end in time is killed."""
        for process in self.roles.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self.roles.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill_group(process)
                process.wait()
        if self.broker is not None:
            self.broker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def to_toml(tree: Mapping[str, Any]) -> str:
    """A settings tree as TOML; None is left out, which means the default.

    Examples
    --------
    >>> print(to_toml({"kafka": {"bootstrap": "b:1", "tls": False, "username": None}}))
    [kafka]
    bootstrap = "b:1"
    tls = false
    """
    sections = []
    for section, table in tree.items():
        lines = [f"{key} = {_value(value)}" for key, value in table.items() if value is not None]
        sections.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(sections)


def _value(value: object) -> str:
    match value:
        case dict():
            inner = ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items() if v is not None)
            return f"{{{inner}}}"
        case list() | tuple():
            return f"[{', '.join(_value(v) for v in value)}]"
        case _:
            # JSON's strings, numbers and booleans are TOML's, but for the delete character.
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
