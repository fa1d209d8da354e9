"""Settings from a TOML file and the environment, strictly: a typo is an error that names the nearest key.

``STREAMWISE_KAFKA__BOOTSTRAP=broker:9092`` sets ``kafka.bootstrap`` and wins over the file.  Nothing
else in the program reads settings from the environment.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from deploy.checks import check
from schemas.errors import SettingsError, shorten
from schemas.settings import SECRETS, MappingSettings, Settings

PREFIX = "STREAMWISE_"
HIDDEN = "***"

OTHER_VARIABLES = {
    "STREAMWISE_SETTINGS": "the settings file, as --settings",
    "STREAMWISE_CRASH_AT": "where to die or to stand still, for fault tests",
    "STREAMWISE_KAFKA": "bootstrap of a running Kafka, for tests",
    "STREAMWISE_KAFKA_HOME": "where tests find a Kafka to start",
    "STREAMWISE_DATA": "where tests find data sets",
    "STREAMWISE_REFEREE": "the outside referee's program, for tests",
}
"""Variables with our prefix that are no settings."""

ANNOUNCEMENT = re.compile(
    r"STREAMWISE(_\w+?)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_[A-Z]+(_\w+)?|PORT)"
)
"""Kubernetes tells every pod of a service ``streamwise-api`` in such variables: not ours."""

Tree = dict[str, Any]


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a TOML file (None: all defaults), overridden by the environment.

    Parameters
    ----------
    path
        The file; its tables are the sections of ``schemas.settings.Settings``.
    environ
        ``os.environ``, or a mapping like it; only ``STREAMWISE_SECTION__KEY`` names are settings.

    Raises
    ------
    SettingsError
        Names the key, the value (never a secret's) and the nearest valid key or the expected type.

    Examples
    --------
    >>> load(None, {"STREAMWISE_KAFKA__PARTITIONS": "8"}).kafka.partitions
    8
    >>> load(None, {"STREAMWISE_KAFKA__TSL": "true"})
    Traceback (most recent call last):
    ...
    schemas.errors.SettingsError: kafka.tsl: 'true': no such setting; the nearest valid key is kafka.tls
    """
    tree = _read(path) if path is not None else {}
    _refuse_unknown(tree)
    for key, text in _overrides(environ):
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = _parse(key, text)
    settings = _build(tree)
    check(settings)
    return settings


def keys() -> dict[str, Any]:
    """Every valid dotted key and its type.

    Examples
    --------
    >>> keys()["kafka.bootstrap"]
    <class 'str'>
    """
    return {
        f"{section.name}.{field.name}": field.type
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    }


def redacted(settings: Settings) -> Tree:
    """The whole tree as plain data, with secrets that are set replaced by ``"***"``.

    Examples
    --------
    >>> redacted(load(None, {"STREAMWISE_KAFKA__PASSWORD": "hush"}))["kafka"]["password"]
    '***'
    """
    tree: Tree = msgspec.to_builtins(settings)
    for key in SECRETS:
        section, _, name = key.partition(".")
        if tree[section][name]:
            tree[section][name] = HIDDEN
    return tree


def _read(path: Path) -> Tree:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}: name a TOML file that can be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}: correct the TOML") from error


def _refuse_unknown(tree: Tree) -> None:
    sections = [f.name for f in msgspec.structs.fields(Settings)]
    for section, table in tree.items():
        if section not in sections:
            raise _unknown(section, table, sections)
        if not isinstance(table, dict):
            raise SettingsError(f"{section}: {shorten(table)}: expected a table [{section}]")
        for name, value in table.items():
            if f"{section}.{name}" not in keys():
                raise _unknown(f"{section}.{name}", value, keys())


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES or _announced(variable, text):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if "__" not in name:
            raise _unknown_variable(variable, text)
        key = name.replace("__", ".", 1)
        if key not in keys():
            raise _unknown(key, text, keys())
        yield key, text


def _announced(variable: str, text: str) -> bool:
    if not ANNOUNCEMENT.fullmatch(variable):
        return False
    return not variable.endswith("_PORT") or variable.endswith("_SERVICE_PORT") or text.startswith("tcp://")


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "__").upper()


def _unknown_variable(variable: str, text: str) -> SettingsError:
    """A name with our prefix and without two underscores: a setting misspelt, or another variable."""
    settings = {_variable(key): key for key in keys()}
    for name, key in settings.items():
        if variable == name.replace("__", "_"):
            return SettingsError(f"{variable}: {_shown(key, text)}: write {name} (two underscores)")
    near = difflib.get_close_matches(variable, [*settings, *OTHER_VARIABLES], n=1, cutoff=0.0)[0]
    shown = _shown(settings.get(near, ""), text)
    return SettingsError(f"{variable}: {shown}: no such variable; the nearest valid one is {near}")


def _parse(key: str, text: str) -> Any:
    """An environment value as its key's type reads it: JSON for lists and tables, else the plain text."""
    kind = keys()[key]
    try:
        if get_origin(kind) in {tuple, dict}:
            return msgspec.json.decode(text)
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        remedy = '; write a JSON list: ["a", "b"]' if get_origin(kind) is tuple else _choices(key)
        raise SettingsError(f"{key}: {_shown(key, text)}: {error}{remedy}") from error


def _build(tree: Tree) -> Settings:
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        remedy, _, place = str(error).partition(" - at `")
        key, value = _locate(tree, place.rstrip("`"))
        if "unknown field `" in remedy:
            wrong = remedy.split("`")[1]
            raise _unknown(f"{key}.{wrong}", value.get(wrong), _fields_of_mapping(key)) from error
        raise SettingsError(f"{key}: {_shown(key, value)}: {remedy}{_choices(key)}") from error


def _locate(tree: Tree, path: str) -> tuple[str, Any]:
    """The dotted key and the value at a msgspec path (``$.intake.mappings[0].topic``)."""
    key = path.removeprefix("$").removeprefix(".")
    value: Any = tree
    for step in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict):
            value = value.get(step, value)
        elif isinstance(value, list | tuple) and step.isdigit():
            value = value[int(step)]
    return key, value


def _fields_of_mapping(key: str) -> list[str]:
    return [f"{key}.{field.name}" for field in msgspec.structs.fields(MappingSettings)]


def _choices(key: str) -> str:
    """What a key that takes one of several words would accept."""
    mapping = {f"intake.mappings.{f.name}": f.type for f in msgspec.structs.fields(MappingSettings)}
    kind = (keys() | mapping).get(re.sub(r"\[\d+\]", "", key))
    several = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    words = [repr(word) for one in several if get_origin(one) is Literal for word in get_args(one)]
    if not words:
        return ""
    if bool in several:
        words = ["true", "false", *words]
    return f"; choose one of {', '.join(words)}"


def _unknown(key: str, value: object, valid: Iterator[str] | list[str] | Mapping[str, Any]) -> SettingsError:
    near = difflib.get_close_matches(key, list(valid), n=1, cutoff=0.0)[0]
    # A misspelt secret is still a secret.
    shown = _shown(near, value)
    return SettingsError(f"{key}: {shown}: no such setting; the nearest valid key is {near}")


def _shown(key: str, value: object) -> str:
    return HIDDEN if key in SECRETS else shorten(value)
