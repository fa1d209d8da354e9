"""The figures are the outside referee's, for the same stream and engine.

``STREAMWISE_REFEREE`` names its program (``prequential.py``); a plain computation over the lists that
the engine gives, one by one, stands in for it everywhere.
"""

import csv
import json
import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from deploy.cli.verbs.evaluate import command
from models.evaluation.evaluation import Plan
from models.evaluation.metrics import METRICS, SEGMENTS
from models.evaluation.walk import LogEvent
from schemas.catalogue import Item

EVERY = 3
VARIANTS = [[], ["--keep-seen", "--shuffle-ties", "1"], ["--catalogue"], ["--catalogue", "--keep-seen"]]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A stream with ties and repeats, and items of which some never occur and some are not described."""
    folder, rng = tmp_path_factory.mktemp("stream"), np.random.default_rng(8)
    place = rng.integers(0, 60, 25)
    with (folder / "log.csv").open("w") as log:
        log.write("user,item,t,value\n")
        for n in range(900):
            user = int(rng.integers(25))
            place[user] = (place[user] + int(rng.geometric(0.4))) % 60
            log.write(f"u{user},i{place[user]},{1_000_000 + 90 * (n // 2)},1\n")
    with (folder / "items.csv").open("w") as items:
        items.write("item,title,genres,text\n")
        for n in range(5, 70):
            genres = "|".join(sorted({f"g{n % 7}", f"g{n % 4}"})) if n % 9 else ""
            items.write(f"i{n},Thing {n % 12},{genres},{'long words of it' if n % 2 else ''}\n")
    return folder / "log.csv", folder / "items.csv"


def own(files, options) -> dict:
    """Figures of ``streamwise evaluate``."""
    log, items = files
    arguments = [str(log), "--items", str(items), "--every", str(EVERY), "--json", *options]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["fused"]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: " ".join(o) or "plain")
def test_against_a_plain_computation(files, options) -> None:
    """Every metric of every segment, and coverage, novelty and ILD."""
    found, expected = own(files, options), plain(files, options)
    for segment in SEGMENTS:
        assert {m: found[segment][m] for m in ("n", *METRICS)} == pytest.approx(expected[segment]), segment
    for name in ("coverage@10", "novelty@10", "ILD@10"):
        assert found[name] == pytest.approx(expected[name]), name
    assert expected["all"]["HR@10"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: " ".join(o) or "plain")
def test_against_the_referee(files, options) -> None:
    """The same through its pipe, intervals included."""
    program = os.environ.get("STREAMWISE_REFEREE")
    if not program:
        pytest.skip("no referee: set STREAMWISE_REFEREE to its prequential.py")
    log, items = files
    served = f"{sys.executable} -m deploy.cli evaluate --jsonl"
    line = [sys.executable, program, str(log), "--items", str(items), "--every", str(EVERY), "--cmd", served]
    done = subprocess.run([*line, *options], capture_output=True, text=True, check=True, timeout=240)
    theirs, found = json.loads(done.stdout), own(files, options)
    for segment in SEGMENTS:
        assert {m: found[segment][m] for m in ("n", *METRICS)} == pytest.approx(theirs[segment]), segment
    for name in ("coverage@10", "novelty@10", "ILD@10"):
        assert found[name] == pytest.approx(theirs[name]), name
    ends = [found["all"]["NDCG@10_low"], found["all"]["NDCG@10_high"]]
    assert ends == pytest.approx(theirs["NDCG@10_ci95"])


def plain(files, options) -> dict:
    """The protocol over the lists of a session, in the plainest way."""
    keep_seen, catalogue = "--keep-seen" in options, "--catalogue" in options
    with files[0].open() as lines:
        log = [LogEvent(r["user"], r["item"], float(r["t"])) for r in csv.DictReader(lines)]
    if "--shuffle-ties" in options:
        random.Random(1).shuffle(log)
    log.sort(key=lambda event: event.t)
    with files[1].open() as lines:
        items = {r["item"]: item_of(r) for r in csv.DictReader(lines)}
    session = Plan(keep_seen=keep_seen).session()
    told = dict(items) if catalogue else {}
    for item in told.values():
        session.describe(item)
    count, person, has = Counter(), Counter(), defaultdict(set)
    tests, shown, novelty, distance, lists = defaultdict(list), set(), 0.0, 0.0, 0
    for n, event in enumerate(log):
        if n % EVERY == 0 and (keep_seen or event.item not in has[event.user]):
            listed = session.recommend(event.user, 100, event.t, exclude_seen=not keep_seen)
            rank = listed.index(event.item) + 1 if event.item in listed else 0
            cold_user, cold_item = person[event.user] < 3, count[event.item] < 5
            member = {
                "all": True, "last50": n >= len(log) // 2, "cold_user": cold_user, "cold_item": cold_item,
                "warm": not cold_user and not cold_item, "new_item": count[event.item] == 0,
            }  # fmt: skip
            for segment in (s for s, inside in member.items() if inside):
                tests[segment].append(credit(rank))
            top = listed[:10]
            shown |= set(top)
            if top:
                shares = [(count[i] + 1) / (count.total() + 1) for i in top]
                novelty += sum(-math.log2(share) for share in shares) / len(top)
            if lists % 7 == 0 and len(top) > 1:
                sets = [set(items[i].categories) if i in items else set() for i in top]
                pairs = [(a, b) for x, a in enumerate(sets) for b in sets[:x]]
                distance += sum(1 - len(a & b) / len(a | b) if a | b else 1 for a, b in pairs) / len(pairs)
            lists += 1
        if count[event.item] == 0 and event.item not in told:
            session.describe(items.get(event.item, Item(item_id=event.item)))
        session.observe(event)
        count[event.item] += 1
        person[event.user] += 1
        has[event.user].add(event.item)
    out = {s: dict(zip(("n", *METRICS), mean(tests[s]), strict=True)) for s in SEGMENTS}
    seen = len([i for i in count if count[i]])
    ild = 7 * distance / lists
    return out | {"coverage@10": len(shown) / seen, "novelty@10": novelty / lists, "ILD@10": ild}


def item_of(row) -> Item:
    """A line of the items file."""
    genres = tuple(sorted({g for g in row["genres"].split("|") if g}))
    return Item(item_id=row["item"], title=row["title"], categories=genres, description=row["text"])


def credit(rank) -> tuple[float, ...]:
    """The four metrics of a place."""
    if not 0 < rank <= 100:
        return 0.0, 0.0, 0.0, 0.0
    gain = 1 / math.log2(rank + 1)
    return (1.0, gain, 1 / rank, gain) if rank <= 10 else (0.0, 0.0, 1 / rank, gain)


def mean(rows) -> list[float]:
    """How many, and the mean of each metric."""
    return [len(rows), *(sum(r[m] for r in rows) / len(rows) if rows else 0.0 for m in range(4))]
