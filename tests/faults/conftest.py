"""Options of the fault suite, its report, and the clusters that it breaks."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from schemas.settings import Settings
from tests.faults.cluster import Cluster
from tests.faults.report import VARIABLE, note
from tests.faults.worker import Worker

STARTED = monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long, and where the report goes."""
    parser.addoption(
        "--minutes", type=float, default=62.0, help="the random schedule fills the run up to this"
    )
    parser.addoption("--seed", type=int, default=20, help="of the random schedule; each round adds one")
    parser.addoption("--report", default="", help="append what happened to this file, as JSON lines")


def pytest_configure(config: pytest.Config) -> None:
    """Children write into the same report."""
    if path := config.getoption("--report"):
        os.environ[VARIABLE] = str(Path(path).resolve())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The random schedule comes last, to fill what is left; what is not in the short form starts nothing.

    Before it what else needs three brokers: once started they stay, and take their share of all that follows.
    """
    items.sort(key=lambda item: ("test_schedule" in item.nodeid, "test_cluster" in item.nodeid))
    for item in items if config.getoption("--short") else ():
        if mark := item.get_closest_marker("long_form"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Every test's end is a fact."""
    if report.when == "call" or report.outcome != "passed":
        name = report.nodeid.rpartition("/")[2]
        note("test", test=name, outcome=report.outcome, when=report.when, seconds=report.duration)


@pytest.fixture(scope="session")
def until(request: pytest.FixtureRequest) -> float:
    """Monotonic time up to which the random schedule goes on."""
    return STARTED + 60 * float(request.config.getoption("--minutes"))


@pytest.fixture(scope="session")
def kafka_home() -> Path:
    """Where the script lies that starts a real Kafka."""
    home = os.environ.get("STREAMWISE_KAFKA_HOME")
    if not home:
        pytest.skip("no real Kafka to break: set STREAMWISE_KAFKA_HOME")
    return Path(home).resolve()


def cluster_port(brokers: int) -> int:
    """A port below those that the system gives to clients, with the neighbours that a cluster needs."""
    for base in range(21_000 + os.getpid() % 9_000, 32_000, 7):
        with ExitStack() as stack:
            try:
                for port in (base + gap + n for gap in (0, 100) for n in range(brokers)):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    pytest.fail("no ports for a cluster between 21000 and 32000")


@pytest.fixture(scope="session")
def three(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, replication 3, two in-sync replicas, a proxy before each of them."""
    with Cluster(kafka_home, tmp_path_factory.mktemp("three"), cluster_port(3), brokers=3) as cluster:
        yield cluster


@pytest.fixture
def one(kafka_home: Path, tmp_path: Path) -> Iterator[Cluster]:
    """One broker of this test's own, behind a proxy."""
    with Cluster(kafka_home, tmp_path / "one", cluster_port(1), brokers=1) as cluster:
        yield cluster


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    """A worker of the test's own ``settings``; whatever becomes of the test, it is dead afterwards."""
    made = Worker(settings, tmp_path / "worker")
    yield made
    if made.runs:
        made.kill()
