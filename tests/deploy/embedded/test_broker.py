"""The embedded broker starts fast, refuses a taken port, and never outlives its owner."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.embedded.broker import EmbeddedBroker
from deploy.process import free_port
from schemas.errors import UnavailableError

pytestmark = pytest.mark.embedded

OWNER = """
from deploy.embedded.broker import EmbeddedBroker
import sys, time
broker = EmbeddedBroker().start()
print(broker.process.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # dead, not yet reaped by init
            return True
        time.sleep(0.05)
    return False


def test_starts_and_stops() -> None:
    """It listens after ``start`` and is gone after ``stop``; the port can be used again at once."""
    broker = EmbeddedBroker(free_port(19210)).start()
    assert broker.alive()
    broker.stop()
    assert not broker.alive()
    with EmbeddedBroker(broker.port) as again:
        assert again.alive()


def test_a_taken_port_is_named() -> None:
    """A second broker on the same port is refused in a sentence that names it."""
    with EmbeddedBroker(free_port(19210)) as first, pytest.raises(UnavailableError, match=str(first.port)):
        EmbeddedBroker(first.port).start()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_dies_with_a_killed_owner() -> None:
    """SIGKILL to the owner ends the broker too."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert not gone(pid, 0.1)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert gone(pid)
