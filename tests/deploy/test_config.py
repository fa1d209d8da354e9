"""Settings are read strictly: every error names the key, the value and what would be valid."""

from pathlib import Path

import pytest

from deploy.config import OTHER_VARIABLES, keys, load, redacted
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
        ('[engine]\nexclude_seen = "maybe"', ["engine.exclude_seen", "'maybe'", "true, false, 'auto'"]),
        ("[engine]\nseed = -1", ["engine.seed", "-1", ">= 0"]),
        ("[experiment]\nholdout = nan", ["experiment.holdout", "nan"]),
        ('[[intake.mappings]]\ntopic = "t"\ntyp = "click"', ["intake.mappings[0]", "type"]),
        ('[[intake.mappings]]\ntopic = "t"\ntype = "clik"', ["intake.mappings[0].type", "'clik'", "'click'"]),
        (
            '[[intake.mappings]]\ntopic = "t"\ntype = "click"\nfeilds = {a = "b"}',
            ["intake.mappings[0].feilds", "nearest valid key is intake.mappings[0].fields"],
        ),
        ("[kafka", ["streamwise.toml", "correct the TOML"]),
        ('[kafka]\nbootstrap = "broker"', ["kafka.bootstrap", "'broker'", "host:port"]),
        ('[kafka]\nbootstrap = ""', ["kafka.bootstrap", "''", "host:port"]),
        ('[kafka]\nbootstrap = "a:1,:2"', ["kafka.bootstrap", "':2'", "host:port"]),
        ('[kafka]\nbootstrap = "kafka://a:1"', ["kafka.bootstrap", "'kafka://a:1'", "host:port"]),
        ('[kafka]\nbootstrap = "::1:9092"', ["kafka.bootstrap", "'::1:9092'", "host:port"]),
        ('[kafka]\nbootstrap = "a:65536"', ["kafka.bootstrap", "'a:65536'", "1 to 65535"]),
        ('[kafka]\nbootstrap = "a:b"', ["kafka.bootstrap", "'a:b'", "1 to 65535"]),
        ('[kafka]\nnamespace = "shop a"', ["kafka.namespace", "'shop a'", "letters, digits"]),
        ('[kafka]\ngroup = ""', ["kafka.group", "''", "1 to 200 letters"]),
        ("[kafka]\nsession_seconds = -5", ["kafka.session_seconds", "-5", "> 0"]),
        ('[kafka]\nusername = "u"', ["kafka.password", "(missing)", "kafka.username"]),
        ('[kafka]\nbootstrap = "a:1, b:2"', ["kafka.bootstrap", "' b:2'", "host:port"]),
        ("[users]\ncheckpoint_seconds = inf", ["users.checkpoint_seconds", "inf", "finite"]),
        ("[policy]\ntemperature = inf", ["policy.temperature", "inf", "finite"]),
        ("[policy]\ntemperature = nan", ["policy.temperature", "nan"]),
        ("[audit]\nperiod_seconds = -1.0", ["audit.period_seconds", "-1.0", "> 0"]),
        ('[encoder]\nmodel = "minilmm"', ["encoder.model", "'minilmm'", "'minilm'", "folder"]),
        ('[api]\nhost = "http://x"', ["api.host", "'http://x'", "listen"]),
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
        ("STREAMWISE_ENGINE__WITHOUT", "popular", ["engine.without", "'popular'", '["a", "b"]']),
        ("STREAMWISE_KAFKA__PARTITIONS", "many", ["kafka.partitions", "'many'", "Expected `int`"]),
        ("STREAMWISE_KAFKA_BOOTSTRAP", "x", ["STREAMWISE_KAFKA__BOOTSTRAP", "two underscores"]),
        (
            "STREAMWISE_KAFKA_BOOSTRAP",
            "x",
            ["'x'", "nearest valid one is STREAMWISE_KAFKA__BOOTSTRAP"],
        ),
        ("STREAMWISE_SETINGS", "x.toml", ["STREAMWISE_SETINGS", "'x.toml'", "STREAMWISE_SETTINGS"]),
        ("STREAMWISE_FOO", "1", ["STREAMWISE_FOO", "'1'", "nearest valid one is STREAMWISE_"]),
        ("STREAMWISE_API_PORT", "8080", ["STREAMWISE_API__PORT", "two underscores"]),
        ("STREAMWISE_LISTS__DEADLINE_MS", "inf", ["lists.deadline_ms", "inf", "finite"]),
        ("STREAMWISE_REDIS__URL", "http://:hush@h", ["redis.url", "***", "redis://host:port"]),
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
    announced = {
        "STREAMWISE_API_PORT": "tcp://10.0.0.7:80",
        "STREAMWISE_API_PORT_8080_TCP": "tcp://10.0.0.7:80",
        "STREAMWISE_API_PORT_8080_TCP_ADDR": "10.0.0.7",
        "STREAMWISE_API_SERVICE_PORT_HTTP": "80",
        "STREAMWISE_SERVICE_HOST": "10.0.0.7",
        "STREAMWISE_SERVICE_PORT": "80",
    }
    assert load(None, announced) == Settings()


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """Tests and operators use some with our prefix."""
    assert load(None, dict.fromkeys(OTHER_VARIABLES, "anything")) == Settings()


@pytest.mark.parametrize("bootstrap", ["a:1", "a:1,b-2.c:65535", "[::1]:9092", "10.0.0.1:9092,b:2"])
def test_addresses_of_brokers(bootstrap: str) -> None:
    """Names, numbers, and IPv6 in brackets."""
    assert load(None, {"STREAMWISE_KAFKA__BOOTSTRAP": bootstrap}).kafka.bootstrap == bootstrap


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    """Weights of one's own."""
    assert load(None, {"STREAMWISE_ENCODER__MODEL": str(tmp_path)}).encoder.model == str(tmp_path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", {})


@pytest.mark.parametrize("key", sorted(SECRETS))
def test_no_print_shows_a_secret(key: str) -> None:
    """Neither the redacted tree nor any error message contains a secret's value."""
    section, _, name = key.partition(".")
    variable = f"STREAMWISE_{section}__{name}".upper()
    value = "redis://hush" if key == "redis.url" else "hush"
    assert "hush" not in repr(redacted(load(None, {variable: value})))
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
