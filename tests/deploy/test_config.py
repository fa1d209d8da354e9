"""Settings are read strictly: every error names the key, the value and what would be valid."""

from pathlib import Path

import pytest

from deploy.config import keys, load, redacted
from schemas.errors import SettingsError
from schemas.settings import SECRETS, Settings


def write(folder: Path, toml: str) -> Path:
    path = folder / "streamwise.toml"
    path.write_text(toml)
    return path


def test_nothing_given_gives_the_defaults() -> None:
    """No file and no variables: every default."""
    assert load(None, {}) == Settings()


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Both are read; a variable beats the file, the file beats the default."""
    path = write(tmp_path, '[kafka]\nbootstrap = "file:1"\npartitions = 2\n')
    kafka = load(path, {"STREAMWISE_KAFKA__PARTITIONS": "8", "PATH": "/bin"}).kafka
    assert (kafka.bootstrap, kafka.partitions, kafka.group) == ("file:1", 8, "streamwise")


def test_values_of_the_environment_are_read_as_their_type() -> None:
    """Text stays text, truth is true, lists and tables are JSON."""
    settings = load(
        None,
        {
            "STREAMWISE_KAFKA__NAMESPACE": "12",
            "STREAMWISE_KAFKA__TLS": "true",
            "STREAMWISE_EXPERIMENT__HOLDOUT": "0.25",
            "STREAMWISE_INTAKE__MAPPINGS": '[{"topic": "t", "type": "purchase", "fields": {"ts": "at"}}]',
        },
    )
    assert settings.kafka.namespace == "12"
    assert settings.kafka.tls is True
    assert settings.experiment.holdout == 0.25
    assert settings.intake.mappings[0].fields == {"ts": "at"}


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ('[kafka]\nbootsrap = "x"', ["kafka.bootsrap", "'x'", "nearest valid key is kafka.bootstrap"]),
        ("[kafca]\ntls = true", ["kafca", "nearest valid key is kafka"]),
        ("kafka = 3", ["kafka", "3", "table [kafka]"]),
        ("[kafka]\npartitions = 0", ["kafka.partitions", "0", ">= 1"]),
        ('[kafka]\npartitions = "3"', ["kafka.partitions", "'3'", "Expected `int`"]),
        ('[kafka]\nfence = "transaction"', ["kafka.fence", "'transaction'", "'transactions', 'none'"]),
        ("[experiment]\nholdout = nan", ["experiment.holdout", "nan"]),
        ('[[intake.mappings]]\ntopic = "t"\ntyp = "click"', ["intake.mappings[0]", "type"]),
        ('[[intake.mappings]]\ntopic = "t"\ntype = "clik"', ["intake.mappings[0].type", "'clik'", "'click'"]),
        (
            '[[intake.mappings]]\ntopic = "t"\ntype = "click"\nfeilds = {a = "b"}',
            ["intake.mappings[0].feilds", "nearest valid key is intake.mappings[0].fields"],
        ),
        ("[kafka", ["streamwise.toml", "correct the TOML"]),
    ],
)
def test_a_wrong_file_is_an_error_that_names_everything(tmp_path: Path, toml: str, parts: list[str]) -> None:
    """Key, value and remedy stand in the message."""
    with pytest.raises(SettingsError) as raised:
        load(write(tmp_path, toml), {})
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("STREAMWISE_KAFKA__BOOTSRAP", "x", ["kafka.bootsrap", "'x'", "kafka.bootstrap"]),
        ("STREAMWISE_KAFKA__PARTITIONS", "many", ["kafka.partitions", "'many'", "Expected `int`"]),
        ("STREAMWISE_KAFKA_BOOTSTRAP", "x", ["STREAMWISE_KAFKA__BOOTSTRAP", "two underscores"]),
        ("STREAMWISE_INTAKE__MAPPINGS", "[{", ["intake.mappings", "'[{'"]),
        ("STREAMWISE_LISTS__PUBLISH", "never", ["lists.publish", "'always', 'requests'"]),
    ],
)
def test_a_wrong_variable_is_an_error_that_names_everything(name: str, text: str, parts: list[str]) -> None:
    """Key, value and remedy stand in the message."""
    with pytest.raises(SettingsError) as raised:
        load(None, {name: text})
    for part in parts:
        assert part in str(raised.value)


def test_service_announcements_of_kubernetes_are_not_settings() -> None:
    """A service called streamwise-api sets STREAMWISE_API_PORT in every pod."""
    announced = {"STREAMWISE_API_PORT": "tcp://10.0.0.7:80", "STREAMWISE_SERVICE_HOST": "10.0.0.7"}
    assert load(None, announced) == Settings()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", {})


@pytest.mark.parametrize("key", sorted(SECRETS))
def test_no_print_shows_a_secret(key: str) -> None:
    """Neither the redacted tree nor any error message contains a secret's value."""
    section, _, name = key.partition(".")
    variable = f"STREAMWISE_{section}__{name}".upper()
    assert "hush" not in repr(redacted(load(None, {variable: "hush"})))
    for wrong in (variable[:-1], variable.replace("__", "_")):
        with pytest.raises(SettingsError) as raised:
            load(None, {wrong: "hush"})
        assert "hush" not in str(raised.value)


def test_a_secret_of_a_wrong_type_is_not_shown(tmp_path: Path) -> None:
    """A number where the password should be is still a password."""
    with pytest.raises(SettingsError) as raised:
        load(write(tmp_path, "[kafka]\npassword = 12345"), {})
    assert "12345" not in str(raised.value)


def test_secrets_name_keys_that_exist() -> None:
    """A renamed key cannot silently lose its redaction."""
    assert set(keys()) >= SECRETS
