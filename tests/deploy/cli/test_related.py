"""``similar``, ``trending`` and ``recommend``: offline on a log and on snapshots, and from a running API."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.api.server import serve
from deploy.cli.main import run
from deploy.offline import OfflineEngine, Source
from schemas.settings import ApiSettings, KafkaSettings, LearnerSettings, Settings
from streams.learner import Snapshots

LIST = ["u3", "-k", "5", "--json"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people walk along a ring of thirty items; then everybody wants i7."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    walk = (f"u{n % 12},i{(n % 12 * 5 + n // 12) % 30},{1_000_000 + n * 60}" for n in range(400))
    lines = ["user,item,t", *walk]
    lines += [f"late{n},i7,{1_100_000 + n * 60}" for n in range(60)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def items(log: Path) -> Path:
    """Two items with a text; i8 is sold out."""
    path = log.with_name("items.csv")
    path.write_text("item,title,stock\nnew,green tea from China,\ni3,green tea from Japan,5\ni8,cup,0\n")
    return path


@pytest.fixture(scope="module")
def snapshots(log: Path) -> Path:
    """A learner's directory with one snapshot of the same log."""
    directory = log.with_name("snapshots")
    engine = OfflineEngine(Settings(), Source(log=str(log))).engine
    Snapshots(directory, "").write(460, engine.snapshot())
    return directory


def asked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_log_and_a_snapshot_of_it_say_the_same(log, snapshots, capsys) -> None:
    """Models learned in process, a directory's newest snapshot, and the file itself."""
    file = str(next(snapshots.glob("*.snapshot")))
    for verb in (["similar", "i10", "-k", "4"], ["trending"]):
        learned = asked([*verb, "--log", str(log)], capsys)
        assert learned == asked([*verb, "--snapshot", str(snapshots)], capsys)
        assert learned == asked([*verb, "--snapshot", file], capsys)
    assert [item["item_id"] for item in learned["items"]] == ["i7"]


def test_tables_say_what_contributed(log, items, capsys) -> None:
    """Parts of the score, evidence of the trend, and where it was read; a text alone is enough."""
    assert run(["similar", "new", "--log", str(log), "--items", str(items)]) == 0
    said = capsys.readouterr().out
    for word in ("i3", "transitions", "factors", "content", "read from", "log.csv"):
        assert word in said
    assert run(["trending", "--log", str(log)]) == 0
    assert "i7" in capsys.readouterr().out


def test_what_is_sold_out_is_nowhere(log, items, capsys) -> None:
    """In no list of the three verbs."""
    near = asked(["similar", "i7", "-k", "200", "--log", str(log)], capsys)
    assert "i8" in [item["item_id"] for item in near["items"]]
    for verb in (["similar", "i7", "-k", "200"], ["trending"], ["recommend", "u3", "-k", "30"]):
        found = asked([*verb, "--log", str(log), "--items", str(items)], capsys)
        assert "i8" not in [item["item_id"] for item in found["items"]]


def test_recommend_draws_offline(log, snapshots, capsys) -> None:
    """From a log learned here, from a snapshot with the log as memory, and for somebody described by hand."""
    learned = asked(["recommend", "u3", "-k", "5", "--log", str(log)], capsys)
    assert (len(learned["items"]), learned["arm"]) == (5, "treatment")
    both = asked(["recommend", "late3", "-k", "5", "--snapshot", str(snapshots), "--log", str(log)], capsys)
    assert len(both["items"]) == 5
    assert (
        run(["recommend", "me", "-k", "5", "--snapshot", str(snapshots), "--had", "i4", "--had", "i5"]) == 0
    )
    out, err = capsys.readouterr()
    assert "i6" in out
    assert err == ""
    assert run(["recommend", "stranger", "--snapshot", str(snapshots)]) == 0
    assert "'stranger': nothing is known of them here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similar", "i77"], "error: item: 'i77': no such item; the nearest are i7, i27, i17"),
        (["similar", "i7", "-k", "0"], "error: k: 0: ask for 1 to 200 items"),
        (["trending", "-k", "201"], "error: k: 201: ask for 1 to 200 items"),
        (["recommend", "u3", "-k", "-1"], "error: k: -1: ask for 1 to 200 items"),
        (["recommend", "me", "--had", "i77"], "error: item: 'i77': no such item; the nearest are"),
    ],
)
def test_what_is_wrong_is_a_sentence(log, capsys, arguments: list[str], message: str) -> None:
    """Exit code 2, one line on stderr, nothing on stdout."""
    assert run([*arguments, "--log", str(log)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(message)
    assert (out, err.count("\n")) == ("", 1)


def test_options_that_make_no_sense_are_refused(items, tmp_path, capsys) -> None:
    """A catalogue alone, a history of an online person, a directory without snapshots, another file."""
    assert run(["trending", "--items", str(items)]) == 2
    assert "--snapshot or --log" in capsys.readouterr().err
    assert run(["recommend", "u", "--had", "i1"]) == 2
    assert "only offline" in capsys.readouterr().err
    assert run(["trending", "--snapshot", str(tmp_path)]) == 1
    assert "no snapshot is there" in capsys.readouterr().err
    assert run(["trending", "--snapshot", str(items)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {items}: ")


def test_columns_are_named_as_for_evaluate(tmp_path, capsys) -> None:
    """What a message advises is an option here too."""
    (tmp_path / "log.csv").write_text("who,what,at\nu1,i1,5\nu1,i2,6\nu2,i1,7\n")
    (tmp_path / "items.csv").write_text("code,title\ni3,tea\n")
    ask = ["similar", "i1", "--log", str(tmp_path / "log.csv"), "--items", str(tmp_path / "items.csv")]
    assert run(ask) == 2
    assert "--item-column item=" in capsys.readouterr().err
    ask += ["--item-column", "item=code"]
    assert run(ask) == 2
    assert "--column user=" in capsys.readouterr().err
    found = asked([*ask, "--column", "user=who", "--column", "item=what", "--column", "t=at"], capsys)
    assert [item["item_id"] for item in found["items"]] == ["i2"]


@pytest.fixture
def api(snapshots: Path, unused_tcp_port_factory) -> Iterator[ApiSettings]:
    """A real API process's HTTP side on a port, without a broker: it has the learner's directory."""
    where = ApiSettings(port=unused_tcp_port_factory())
    settings = Settings(
        api=where,
        kafka=KafkaSettings(bootstrap=f"127.0.0.1:{unused_tcp_port_factory()}"),
        learner=LearnerSettings(directory=str(snapshots)),
    )
    up, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(serve(settings, stop, listening=lambda _: up.set()),)
    )
    thread.start()
    assert up.wait(30)
    yield where
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


def test_a_running_api_answers_the_same(api, snapshots, monkeypatch, capsys) -> None:
    """Online and offline agree, answers and errors alike."""
    monkeypatch.setenv("STREAMWISE_API__PORT", str(api.port))
    for verb in (["similar", "i10", "-k", "4"], ["trending"]):
        assert asked(verb, capsys) == asked([*verb, "--snapshot", str(snapshots)], capsys)
    assert run(["similar", "i77"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: item: 'i77': no such item; the nearest are i7, i27, i17"
    )
    assert run(["trending", "-k", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: k: ")


def test_no_api_is_a_sentence(monkeypatch, capsys, unused_tcp_port) -> None:
    """Exit code 1, and what to do."""
    monkeypatch.setenv("STREAMWISE_API__PORT", str(unused_tcp_port))
    assert run(["trending"]) == 1
    said = capsys.readouterr().err
    assert "start 'streamwise api'" in said
    assert "--snapshot or --log" in said
