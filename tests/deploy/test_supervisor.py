"""Roles are started, watched and ended together; none outlives its supervisor."""

import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import supervisor
from deploy.config import load
from deploy.process import free_port, spawn, wait_for_port
from deploy.supervisor import Supervisor, to_toml
from schemas.errors import UnavailableError
from schemas.settings import KafkaSettings, MappingSettings, Settings

STUBBORN = """
import signal, sys, time, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""

START_SECONDS = 60.0
"""What a process may take to start on a busy machine."""


def ends(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process is gone, or dead and not yet reaped, within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def first_line(log: Path) -> str:
    """The first line of a log, as soon as it is there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if log.exists() and "\n" in (text := log.read_text()):
            return text.splitlines()[0]
        time.sleep(0.02)
    raise AssertionError(f"{log} stays empty")


def test_a_role_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Status and last line; nothing is restarted."""
    with Supervisor(tmp_path, Settings()) as children:
        children.start("no-such-role")
        children.roles["no-such-role"].wait(START_SECONDS)
        said = children.ended()["no-such-role"]
    assert said.startswith("ended with status 2: error: verb: 'no-such-role': no such verb")


def test_a_killed_learner_is_started_again_and_no_other_killed_role(tmp_path: Path) -> None:
    """Lists go on without it; without the others they do not, so these are reported."""
    with Supervisor(tmp_path, Settings()) as children:
        for role in ("learn", "view"):
            children.start(role)
            children.roles[role].kill()
            children.roles[role].wait()
        assert list(children.revive()) == ["learn"]
        assert list(children.ended()) == ["view"]


def test_a_stubborn_role_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores SIGTERM ends with SIGKILL after the grace, and so does what it started."""
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
    with Supervisor(tmp_path, Settings()) as children:
        log = children.log("stubborn")
        children.roles["stubborn"] = spawn([sys.executable, "-c", STUBBORN], log=log)
        grandchild = int(first_line(log))
    assert children.roles["stubborn"].returncode == -signal.SIGKILL
    assert ends(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL to the owner of children ends them too."""
    code = (
        "import sys, time; from deploy.process import spawn\n"
        "child = spawn([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
    assert ends(child)


def test_the_settings_file_says_what_the_settings_say(tmp_path: Path) -> None:
    """A role that reads the written file has the very same settings."""
    mapping = MappingSettings(
        topic="odd.name", type="click", fields={"user_id": 'customer."id"'}, ts_unit="s"
    )
    settings = msgspec.structs.replace(
        Settings(),
        kafka=KafkaSettings(bootstrap="b:1", group="shop-a", instance='"ä', tls=True),
        intake=msgspec.structs.replace(Settings().intake, mappings=(mapping,)),
    )
    children = Supervisor(tmp_path, settings)
    assert load(children.settings_file, {}) == settings


PLAIN = (
    st.text()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.dictionaries(st.sampled_from(["a", "b-c", "d_e"]), PLAIN | st.lists(PLAIN)))
def test_any_plain_table_survives_toml(table: dict[str, object]) -> None:
    """Strings of any characters, numbers and lists."""
    assert tomllib.loads(to_toml({"t": table})) == {"t": table}


def test_ports() -> None:
    """A taken preferred port yields its next free neighbour; none free is an error that names them."""
    wanted = free_port()
    child = spawn([sys.executable, "-m", "http.server", str(wanted), "--bind", "127.0.0.1"])
    try:
        wait_for_port(wanted, child, seconds=START_SECONDS)
        assert wanted < free_port(wanted) < wanted + 20
        with pytest.raises(UnavailableError, match=str(wanted)):
            free_port(wanted, tries=1)
    finally:
        child.kill()
        child.wait()


def test_waiting_for_a_port_ends_with_the_process() -> None:
    """A process that dies instead of listening is an error at once."""
    child = spawn([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(UnavailableError, match="status 3"):
        wait_for_port(free_port(), child, seconds=START_SECONDS)
