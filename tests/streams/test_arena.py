"""The arena: one writer, versions that are whole or not there, readers that keep what they hold."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.fold import Lent
from schemas.errors import SnapshotError, UnavailableError
from schemas.settings import KafkaSettings, LearnerSettings, Settings
from streams.arena import CURRENT, KEPT, SHARED_MEMORY, ArenaReader, ArenaWriter, current, directory
from streams.observer import NullObserver
from streams.publisher import SHARE, Publisher

ROOT = Path(__file__).parents[2]


class Clock:
    """Milliseconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def lent(value: int, n: int = 1000) -> Lent:
    return Lent({"a": np.full(n, value), "b": np.zeros((0, 3), np.float32)}, {"rows": value, "folds": {}})


def writer(place: Path) -> ArenaWriter:
    return ArenaWriter(place, "shop", Clock())


def newest(reader: ArenaReader):
    found = reader.look()
    assert found is not None
    return reader.open(found)


def test_a_reader_sees_what_was_published_and_keeps_it(tmp_path):
    """A held version stays as it was while others come and its file goes."""
    reader = ArenaReader(tmp_path, "shop")
    assert reader.look() is None
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 10, 12)
        version, held = newest(reader)
        assert (version.offset, version.rows) == (10, 1)
        assert reader.look() is None
        for n in range(2, 8):
            arena.publish(lent(n), 10 + n, 30)
        assert len(list(tmp_path.glob("*.arena"))) == KEPT
        assert (held.arrays["a"] == 1).all()
        assert (newest(reader)[1].arrays["a"] == 7).all()


def test_what_a_reader_writes_reaches_nobody(tmp_path):
    """A mapping is private."""
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 10, 10)
        newest(ArenaReader(tmp_path, "shop"))[1].arrays["a"][:] = 9
        assert (newest(ArenaReader(tmp_path, "shop"))[1].arrays["a"] == 1).all()


def test_a_beat_tells_where_the_log_ends_and_changes_no_version(tmp_path):
    """Readers hear that the learner lives without mapping anything anew."""
    reader = ArenaReader(tmp_path, "shop")
    with writer(tmp_path) as arena:
        arena.beat(5)
        assert reader.look() is None
        arena.publish(lent(1), 10, 10)
        first = reader.look()
        arena.beat(25)
        second = reader.look()
    assert first is not None
    assert second is not None
    assert (second.file, second.offset, second.end) == (first.file, 10, 25)
    assert second.beat > first.beat
    assert second.learner == os.getpid()


HOLD = """
import sys, time
from pathlib import Path
from streams.arena import ArenaWriter
with ArenaWriter(Path(sys.argv[1]), "shop", lambda: 0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_learner_is_refused_and_the_first_is_named(tmp_path):
    """The lock ends with its process, however that ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UnavailableError, match=f"process {holder.pid} is its learner"), writer(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 1, 1)


def test_damage_is_named_and_the_next_version_serves(tmp_path):
    """Cut short, empty, gone, or another deployment's: each a sentence; nothing else is raised."""
    reader, other = ArenaReader(tmp_path, "shop"), ArenaReader(tmp_path, "other")
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 10, 10)
        found = reader.look()
        assert found is not None
        with pytest.raises(SnapshotError, match="of deployment 'shop'"):
            newest(other)
        path = tmp_path / found.file
        whole = path.read_bytes()
        for bad, named in (
            (whole[:-64], "cut short"),
            (b"", "wait for the next"),
            (b"x" * 99, "not a version"),
        ):
            path.write_bytes(bad)
            with pytest.raises(SnapshotError, match=named):
                reader.open(found)
        path.unlink()
        with pytest.raises(SnapshotError, match="wait for the next version"):
            reader.open(found)
        arena.publish(lent(2), 11, 11)
        assert newest(reader)[0].offset == 11


def test_what_a_killed_learner_left_is_swept_and_its_version_stays(tmp_path):
    """Half a version has no name that readers know; the last whole one serves on."""
    with writer(tmp_path) as arena:
        arena.publish(lent(3), 30, 30)
    (tmp_path / "models-5-1.arena.draft").write_bytes(b"half")
    with writer(tmp_path) as arena:
        assert arena.offset == 30
        assert not list(tmp_path.glob("*.draft"))
        assert newest(ArenaReader(tmp_path, "shop"))[0].offset == 30
        arena.clear()
        assert arena.offset == 0
    assert {p.name for p in tmp_path.iterdir()} == {"learner"}
    assert current(tmp_path) is None


def test_other_files_of_the_directory_are_left_alone(tmp_path):
    """A directory that is used for something else, too, loses nothing of it."""
    others = [tmp_path / "signals-1.draft", tmp_path / "letter.draft"]
    for path in others:
        path.write_bytes(b"mine")
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 10, 10)
        arena.clear()
    assert all(path.exists() for path in others)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a folder away")
def test_a_folder_that_somebody_else_has_made_is_refused(tmp_path):
    """Whoever owns the folder could replace a draft by a link, and have another file written over."""
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UnavailableError, match="belongs to user 12345"), writer(tmp_path):
        pass


def test_a_pointer_that_cannot_be_read_is_nothing(tmp_path):
    """Readers wait for the next."""
    (tmp_path / CURRENT).write_bytes(b"{")
    assert ArenaReader(tmp_path, "shop").look() is None


def test_the_usual_place_is_a_deployments_own(tmp_path):
    """In shared memory, told apart by snapshots and namespace; a setting wins."""

    def place(**learner: str) -> Path:
        return directory(Settings(learner=LearnerSettings(**learner)))

    one, two = place(directory=str(tmp_path / "a")), place(directory=str(tmp_path / "b"))
    assert one != two
    shop = Settings(
        kafka=KafkaSettings(namespace="shop"), learner=LearnerSettings(directory=str(tmp_path / "a"))
    )
    assert directory(shop) != one
    assert one.parent in (SHARED_MEMORY, tmp_path)
    assert place(arena="/somewhere") == Path("/somewhere")


class Learned:
    """An engine that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def lend(self) -> Lent:
        self.asked += 1
        return lent(self.asked)


class Seconds:
    """A clock whose every look costs ``cost``."""

    def __init__(self) -> None:
        self.now, self.cost = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.cost
        return self.now


def publisher(arena: ArenaWriter, clock: Seconds, floor: int = 0) -> tuple[Publisher, Learned]:
    engine = Learned()
    return Publisher(engine, arena, seconds=1.0, floor=floor, observer=NullObserver(), clock=clock), engine


def test_publishing_takes_a_small_share_of_the_time(tmp_path):
    """What takes a second is done every twenty; what is quick, every interval, and only if it is new."""
    clock = Seconds()
    with writer(tmp_path) as arena:
        publish, engine = publisher(arena, clock)
        for n in range(100):
            publish(1 + n // 40, 50)
            clock.now += 0.1
        assert engine.asked == 3
        clock.cost = 1.0
        publish(50, 50)
        clock.cost, began, asked = 0.0, clock.now, engine.asked
        while engine.asked == asked:
            clock.now += 0.25
            publish(51 + int(clock.now), 99)
        assert clock.now - began >= 1.0 / SHARE - 1.5


def test_less_than_is_there_is_not_published_unless_the_log_is_shorter(tmp_path):
    """A learner that starts from an old snapshot catches up first; lists never go back."""
    for end, published in ((60, False), (30, True)):
        with writer(tmp_path / str(end)) as arena:
            publish, engine = publisher(arena, Seconds(), floor=50)
            publish(40, end)
            assert bool(engine.asked) is published
            publish(55, 60)
            assert engine.asked


@contextmanager
def disk_of(size: int):
    """No file of this process grows beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_reason_not_an_end(tmp_path):
    """The version before stays, the reason is told, and it goes away with the next success."""
    with writer(tmp_path) as arena:
        clock = Seconds()
        publish, _ = publisher(arena, clock)
        publish(1, 1)
        clock.now += 5
        with disk_of(4000):
            publish(2, 2)
        assert "cannot be published" in str(publish.failure)
        assert newest(ArenaReader(tmp_path, "shop"))[0].offset == 1
        assert not list(tmp_path.glob("*.draft"))
        clock.now += 5
        with disk_of(10):
            publish(1, 2)
        assert newest(ArenaReader(tmp_path, "shop"))[0].offset == 1
        clock.now += 5
        publish(3, 3)
        assert publish.failure is None
        assert newest(ArenaReader(tmp_path, "shop"))[0].offset == 3


def test_current_is_plain_json(tmp_path):
    """For whoever looks into the folder."""
    with writer(tmp_path) as arena:
        arena.publish(lent(1), 10, 12)
    found = msgspec.json.decode((tmp_path / CURRENT).read_bytes())
    assert found["offset"] == 10
    assert found["end"] == 12
