"""The settings reference tells what the settings are."""

from pathlib import Path

from deploy.reference import settings_markdown

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    """docs/settings.md is what the structs say (``make docs`` writes it)."""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_markdown()


def test_every_setting_says_what_it_means() -> None:
    """A setting without a sentence is a setting that nobody can set."""
    rows = [line for line in settings_markdown().splitlines() if line.startswith("| `")]
    assert not [row for row in rows if row.endswith("|  |")]
