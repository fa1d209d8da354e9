"""The log of a worker whose broker is dead can be read."""

import io
import logging

import pytest

from deploy.cli.quiet import CLIENTS, REMEMBERED, Seldom, quiet


@pytest.fixture
def levels():
    """Levels of the clients' loggers, put back."""
    before = {name: logging.getLogger(name).level for name in CLIENTS}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("levels")
def test_what_a_client_repeats_is_written_once(monkeypatch):
    """Other words, other loggers and our own are not held back."""
    written = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(written)])
    quiet()
    for _ in range(50):
        logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages from %s", 2)
        logging.getLogger("streams.learner").warning("ours")
    logging.getLogger("aiokafka").error("Unable to connect")
    logging.getLogger("faust").warning("chatter")
    lines = written.getvalue().splitlines()
    assert sum("Failed fetch messages from 2" in line for line in lines) == 1
    assert sum("Unable to connect" in line for line in lines) == 1
    assert sum("ours" in line for line in lines) == 50
    assert not any("chatter" in line for line in lines)


def test_sentences_that_never_repeat_are_forgotten():
    """A client that names a new number each time fills no memory."""
    seldom = Seldom()
    for n in range(10 * REMEMBERED):
        assert seldom.filter(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "error %d", (n,), None))
    assert len(seldom._said) <= REMEMBERED


def test_a_sentence_whose_values_do_not_fit_is_left_to_the_handler():
    """It says so itself; whoever spoke must not fall over it."""
    assert Seldom().filter(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "%d of %d", (1,), None))
