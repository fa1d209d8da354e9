"""Tables become logs: columns by option, by mapping, by usual names; times of every unit."""

import json
from pathlib import Path

import pytest

from deploy.datasets import complete_journey
from deploy.evaluation.columns import LOG, parse
from deploy.evaluation.items import read_items
from deploy.evaluation.logs import Log, Reading, load
from deploy.evaluation.times import seconds
from models.evaluation.walk import LogEvent
from schemas.errors import InvalidMessageError, SettingsError
from schemas.settings import MappingSettings

VIEWS = MappingSettings(
    topic="web.pageviews", type="click", ts_unit="ms",
    fields={"event_id": "id", "user_id": "visitor.id", "item_id": "product.sku", "ts": "at"},
)  # fmt: skip
TILL = MappingSettings(
    topic="till", type="purchase", ts_unit="iso",
    fields={"user_id": "card", "item_id": "ean", "ts": "when", "quantity": "n"},
)  # fmt: skip
FIRST = LogEvent("7", "tea", 1_500_000_000.0)


def read(folder: Path, text: str, reading: Reading | None = None, name: str = "log.csv") -> Log:
    path = folder / name
    path.write_text(text)
    return load(str(path), reading or Reading())


@pytest.mark.parametrize(
    "header",
    ["user,item,t", "user_id,item_id,ts", "userId,itemId,timestamp", "USER ID,Item-ID,Time",
     "user_id:token,item_id:token,timestamp:float", "customer_id,product_id,event_time"],
)  # fmt: skip
def test_usual_names_are_recognised(tmp_path: Path, header: str) -> None:
    """Whatever their case, separators and appended types."""
    log = read(tmp_path, f"{header}\n7,tea,1500000000\n")
    assert log.events == [FIRST]
    assert log.unit == "s"
    assert "times read as seconds" in log.reading()


def test_our_own_name_goes_before_others(tmp_path: Path) -> None:
    """A column called "user" wins over "customer_id", wherever it stands."""
    log = read(tmp_path, "customer_id,user,item,t\n1,7,tea,1500000000\n")
    assert log.events == [FIRST]
    assert log.columns["user"] == "user"


def test_named_columns(tmp_path: Path) -> None:
    """By option; in JSON, dots descend."""
    line = json.dumps({"who": {"id": 7}, "what": "tea", "at": 1500000000123, "stars": 4.5})
    reading = Reading(parse(["user=who.id", "item_id=what", "ts=at", "value=stars"], list(LOG)))
    log = read(tmp_path, line, reading, "log.jsonl")
    assert log.events == [LogEvent("7", "tea", 1_500_000_000.123, 4.5)]
    assert log.unit == "ms"


def test_a_mapping_of_the_settings(tmp_path: Path) -> None:
    """The source that is named, or the only one that fits; its unit holds; an option goes before it."""
    views = json.dumps({"visitor": {"id": 7}, "product": {"sku": "tea"}, "at": 1_500_000_000_000})
    for source in (None, "web.pageviews"):
        log = read(tmp_path, views, Reading(mappings=(TILL, VIEWS), source=source), "log.jsonl")
        assert log.events == [FIRST]
        assert log.unit == "ms"
    till = "card,ean,when,n,id\n7,tea,2017-07-14T02:40:00Z,3,8\n"
    log = read(tmp_path, till, Reading(mappings=(VIEWS, TILL)))
    assert log.events == [LogEvent("7", "tea", 1_500_000_000.0, 3.0)]
    log = read(tmp_path, till, Reading({"user": "id"}, mappings=(VIEWS, TILL)))
    assert log.events[0].user == "8"


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading(), "header: .*'card'.*: give a column 'user', or name it: --column user="),
        (Reading({"user": "cart"}), "no column 'cart' for 'user'"),
        (
            Reading(mappings=(VIEWS,), source="till"),
            "--source: 'till': no such mapping: one of web.pageviews",
        ),
        (Reading(source="till"), r"give --settings FILE with \[\[intake.mappings\]\]"),
        (Reading(mappings=(VIEWS,), source="web.pageviews"), "no column 'visitor.id' for 'user'"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, reading: Reading, said: str) -> None:
    """The error names what is missing, what there is, and the remedy."""
    with pytest.raises((InvalidMessageError, SettingsError), match=said):
        read(tmp_path, "card,ean,when,item,t\n1,2,3,4,5\n", reading)


def test_events_come_in_the_order_of_time_and_ties_in_that_of_the_file(tmp_path: Path) -> None:
    """As the protocol wants."""
    log = read(tmp_path, "user,item,t\na,late,9\na,first,5\nb,second,5\n")
    assert [e.item for e in log.events] == ["first", "second", "late"]


def test_ties_are_permuted_and_nothing_else(tmp_path: Path) -> None:
    """By a seed: the same one gives the same order, another one another."""
    rows = "".join(f"u,i{n},{n // 20}\n" for n in range(60))
    plain, once, again, other = (
        [e.item for e in read(tmp_path, f"user,item,t\n{rows}", Reading(shuffle=s)).events]
        for s in (None, 1, 1, 2)
    )
    assert plain == [f"i{n}" for n in range(60)]
    assert plain != once == again != other
    assert [{*once[n : n + 20]} for n in (0, 20, 40)] == [{*plain[n : n + 20]} for n in (0, 20, 40)]


@pytest.mark.parametrize(
    ("values", "unit", "found"),
    [
        ([5, 6], "auto", ([5.0, 6.0], "s")),
        (["1500000000000", "1500000000001"], "auto", ([1.5e9, 1500000000.001], "ms")),
        ([1.5e15], "auto", ([1.5e9], "us")),
        ([1.5e12], "us", ([1.5e6], "us")),
        (["2017-07-14", "2017-07-14T04:40:00+02:00"], "auto", ([1499990400.0, 1.5e9], "iso")),
        ([], "auto", ([], "s")),
    ],
)
def test_times(values, unit, found) -> None:
    """Told apart by form and by the size of the median; a given unit is believed."""
    assert seconds(values, [str(n) for n in range(len(values))], unit) == found


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [
        ([1, "soon"], "auto", "B: 'soon': seconds, milliseconds or microseconds since the epoch"),
        (["2017-07-14", 5], "auto", "B: 5: a time: seconds since the epoch, or ISO 8601"),
        ([1.5e9, 1.5e15], "auto", "B: .*: of the size of microseconds, most are seconds: .*--unit"),
        ([1.5e12, 1.5e9], "auto", "B: .*: of the size of seconds, most are milliseconds: .*--unit"),
        ([1.5e9, 1.5e12], "s", "B: .*: a time between 1970 and 9999, in seconds"),
        ([5, -1], "auto", "B: -1: a time between"),
        ([5, "nan"], "s", "B: 'nan': seconds since the epoch, a number"),
        ([5, True], "auto", "B: True"),
        (["2017-07-14", None], "iso", "B: None"),
    ],
)
def test_bad_times_are_named(values, unit, said) -> None:
    """One odd value among many changes nothing for the others."""
    with pytest.raises(InvalidMessageError, match=said):
        seconds([values[0], values[0], values[1]], ["A", "A", "B"], unit)


def test_whole_numbers_are_ids_without_a_fraction(tmp_path: Path) -> None:
    """As a table with missing values gives them."""
    log = read(
        tmp_path, '{"user": 7.0, "item": 1, "t": 5}\n{"user": 7.5, "item": "1", "t": 6}', name="a.jsonl"
    )
    assert [(e.user, e.item) for e in log.events] == [("7", "1"), ("7.5", "1")]


@pytest.mark.parametrize("wrong", ["true", '{"id": 7}', '["7"]', "null", '""'])
def test_what_is_no_id_is_refused(tmp_path: Path, wrong: str) -> None:
    """Its text would be one, and nobody would notice."""
    with pytest.raises(InvalidMessageError, match=r"a.jsonl:1: item: .*: (an id is|every line needs)"):
        read(tmp_path, f'{{"user": 7, "item": {wrong}, "t": 5}}', name="a.jsonl")


def test_the_data_set_of_the_package() -> None:
    """All its lines, in order, with the products' texts; a misspelt name gets the nearest."""
    log, data = load("complete-journey", Reading()), complete_journey.load()
    assert len(log.events) == 75_000
    assert log.events[0].t == data.seconds[0]
    assert [e.t for e in log.events] == sorted(e.t for e in log.events)
    assert {e.item for e in log.events} <= set(log.items)
    assert log.items["28897"].categories
    with pytest.raises(
        SettingsError, match="'complete-jurney': no such file; the nearest data set is complete-j"
    ):
        load("complete-jurney", Reading())
    with pytest.raises(SettingsError, match="no such file; data sets: complete-journey"):
        load("x.csv", Reading())


def test_items(tmp_path: Path) -> None:
    """Title, categories (text with bars, or a list) and text, under usual names or named ones."""
    (tmp_path / "a.csv").write_text(
        "item,title,genres,text\n1,Tea,Drink|Green|,Leaves\n2,,,\n1,Tea!,Drink,\n"
    )
    items = read_items(tmp_path / "a.csv", {})
    assert list(items) == ["1", "2"]
    assert (items["1"].title, items["1"].categories, items["1"].description) == ("Tea!", ("Drink",), "")
    assert items["2"].categories == ()
    (tmp_path / "a.jsonl").write_text('{"sku": 1, "label": "Tea", "categories": ["b", "a"], "plot": "x"}\n')
    item = read_items(tmp_path / "a.jsonl", {"title": "label"})["1"]
    assert (item.title, item.categories, item.description) == ("Tea", ("a", "b"), "x")
    (tmp_path / "b.csv").write_text("title\nTea\n")
    with pytest.raises(InvalidMessageError, match="give a column 'item', or name it: --item-column item="):
        read_items(tmp_path / "b.csv", {})
    (tmp_path / "c.csv").write_text("item,stock\n1,0\n2,\n3,7\n")
    assert [item.stock for item in read_items(tmp_path / "c.csv", {}).values()] == [0, None, 7]
    for wrong in ("many", "-1", "0.5"):
        (tmp_path / "d.csv").write_text(f"item,stock\n1,{wrong}\n")
        with pytest.raises(InvalidMessageError, match=r"d.csv:2: stock: .*a whole number of units"):
            read_items(tmp_path / "d.csv", {})
