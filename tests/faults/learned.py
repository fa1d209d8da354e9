"""What inline learners hold after all that happened to them, against a fold of the log from its beginning."""

from models.engine import Engine
from schemas.settings import Settings
from schemas.signals import SignalBlock, decode_block
from schemas.topics import Topic
from streams.learner import Snapshots
from tests.faults.worker import Worker
from tests.streams.clients.room import read


async def strange_models(settings: Settings, workers: list[Worker]) -> list[str]:
    """Workers whose newest snapshot is not what its part of the log amounts to, or that left none."""
    records = await read(settings.kafka, Topic.SIGNALS)
    blocks = [(record.offset, decode_block(record.value)) for record in records]
    return [w.log.parent.name for w in workers if w.learns and _is_strange(settings, w, blocks)]


def _is_strange(settings: Settings, worker: Worker, blocks: list[tuple[int, SignalBlock]]) -> bool:
    snapshots = Snapshots(worker.log.parent / "snapshots", settings.kafka.namespace)
    lived, afresh = Engine.of(settings), Engine.of(settings)
    end, _ = snapshots.newest(lived)
    for offset, block in blocks:
        if offset < end:
            afresh.learn(block)
    return end == 0 or lived.log.checksums() != afresh.log.checksums()
