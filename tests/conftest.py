"""Fixtures that every part of the suite shares: real services, and leak detectors."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test
from hypothesis import settings as hypothesis_settings

from tests.verdict import second_try

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # read when torch loads; spinning threads starve two cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Properties are asked with the same examples every time, however slow the machine is at the moment:
# a suite that guards the door must say the same of the same commit. `search` draws new ones.
unhurried = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("steady", unhurried, derandomize=True)
hypothesis_settings.register_profile("search", unhurried)
hypothesis_settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--short``: the short form of the long suites (faults, benchmarks); ``--second-try``: at the door."""
    parser.addoption("--short", action="store_true", help="the short form of the long suites")
    parser.addoption(
        "--second-try", action="store_true", help="run a test of real services twice if it fails"
    )


REAL = ("streams", "workers", "deploy", "e2e", "faults", "benchmarks")
"""Folders whose tests start services and processes: how these fare depends on the machine's other guests."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--second-try``, tests in the folders of services get one; a verdict and a property get none."""
    here = Path(__file__).parent
    for item in items if config.getoption("--second-try") else ():
        real = item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in REAL
        if real and not is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(second_try(item.nodeid))


TIME = pytest.StashKey[object]()
"""How pytest-timeout was told to limit a test."""


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> None:
    """Remember the limit."""
    item.stash[TIME] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A second try has a time of its own: the timer is set once for both, and rings once."""
    if getattr(item, "execution_count", 1) > 1 and TIME in item.stash:
        item.ihook.pytest_timeout_cancel_timer(item=item)
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[TIME])


@pytest.fixture(scope="session")
def short(request: pytest.FixtureRequest) -> bool:
    """Whether the short form was asked for."""
    return bool(request.config.getoption("--short"))


GIVEN: set[int] = set()
"""Ports that ``free_port`` has given away: whoever got one may not have bound it yet."""


def free_port(gap: int = 1) -> int:
    """A TCP port that is free now, and whose neighbour ``gap`` further is free too; none is given twice."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port + gap > 65535 or not GIVEN.isdisjoint((port, port + gap)):
                continue
            try:
                second.bind(("127.0.0.1", port + gap))
            except OSError:  # taken: try the next pair
                continue
            GIVEN.update((port, port + gap))
            return int(port)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real Apache Kafka: a running one, or one started for this session."""
    if running := os.environ.get("STREAMWISE_KAFKA"):
        yield running
        return
    home = os.environ.get("STREAMWISE_KAFKA_HOME")
    if not home:
        pytest.skip("no real Kafka: set STREAMWISE_KAFKA (bootstrap) or STREAMWISE_KAFKA_HOME (to start one)")
    with broker(Path(home), tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture
def empty_kafka(tmp_path: Path) -> Iterator[str]:
    """Bootstrap address of a Kafka that nobody has used."""
    home = os.environ.get("STREAMWISE_KAFKA_HOME")
    if not home:
        pytest.skip("no empty Kafka: set STREAMWISE_KAFKA_HOME to start one")
    with broker(Path(home), tmp_path / "empty-kafka") as bootstrap:
        yield bootstrap


@contextmanager
def broker(home: Path, directory: Path) -> Iterator[str]:
    """A real Kafka of one broker, for as long as the block takes."""
    script, where, port = str(home.resolve() / "kafka"), ["--dir", str(directory)], free_port(gap=100)
    subprocess.run(
        [script, "start", *where, "--port", str(port)],
        check=True,
        capture_output=True,
        timeout=180,
        env={"KAFKA_START_TIMEOUT": "170", **os.environ},
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run([script, "stop", "--wipe", *where], check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets for tests."""
    place = os.environ.get("STREAMWISE_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("no data sets: set STREAMWISE_DATA to the folder that holds completejourney/ and others")
    return Path(place)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A redis-server of this test's own."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("no redis-server executable on the PATH")
    port = free_port()
    command = [server, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for_port(port)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def wait_for_port(port: int, tries: int = 200) -> None:
    """Return when something listens on ``port``."""
    pause = threading.Event()
    for _ in range(tries):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    pytest.fail(f"nothing listens on port {port} after {tries * 0.05:.0f} s")


SET_AT_IMPORT = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
"""Variables that a library of compiled code sets for good when it is loaded first."""


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fail a test that leaves environment variables changed or threads alive."""
    before = dict(os.environ)
    threads = set(threading.enumerate())
    yield
    changed = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
    changed -= {"PYTEST_CURRENT_TEST", *SET_AT_IMPORT}
    assert not changed, f"the test changed environment variables: {sorted(changed)}"
    left = [
        t for t in set(threading.enumerate()) - threads if t.is_alive() and not t.daemon and not _pooled(t)
    ]
    for thread in left:
        thread.join(30.0)
    assert not [t for t in left if t.is_alive()], f"the test left threads alive: {left}"


def _pooled(thread: threading.Thread) -> bool:
    """Executors of the session's event loop outlive a test by design."""
    return thread.name.startswith(("asyncio_", "ThreadPoolExecutor"))
