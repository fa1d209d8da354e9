"""Each fault of brokers and network once: three workers behind proxies, three brokers."""

from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.menu import MENU
from tests.faults.rounds import one_round, suffer
from tests.verdict import acquit

SHORT = ("broker: SIGKILL", "network: blackhole for 4 s", "network: resets")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_brokers_and_network(three: Cluster, tmp_path: Path, short: bool):
    """Brokers die, stand still, are restarted; connections are slow, silent and reset."""
    names = SHORT if short else [n for n in MENU if n.startswith(("broker", "network"))]
    async with one_round(three, tmp_path, seed=11) as this:
        await suffer(this.stage, names)
    acquit(this.wrong)
    assert this.stage.told == [], "\n".join(this.stage.told)
    assert this.counts["acknowledged"] > this.stage.generator.count  # some came twice
