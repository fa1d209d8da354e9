"""Options of the fault suite, its report, and the clusters that it breaks."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.conftest import free_port
from tests.faults.cluster import Cluster
from tests.faults.report import VARIABLE, note

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The random schedule comes last: it fills what is left."""
    items.sort(key=lambda item: "test_schedule" in item.nodeid)


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


@pytest.fixture(scope="session")
def three(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, replication 3, two in-sync replicas, a proxy before each of them."""
    with Cluster(kafka_home, tmp_path_factory.mktemp("three"), free_port(gap=102), brokers=3) as cluster:
        yield cluster


@pytest.fixture
def one(kafka_home: Path, tmp_path: Path) -> Iterator[Cluster]:
    """One broker of this test's own, behind a proxy."""
    with Cluster(kafka_home, tmp_path / "one", free_port(gap=100), brokers=1) as cluster:
        yield cluster
