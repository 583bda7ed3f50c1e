"""What the files in config/ say, and what of it is effective for one task."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

#: The project's root, wherever one stands.
ROOT = Path(__file__).resolve().parents[2]

CATALOG, PARAMETERS, OPTIMIZER = "catalog.yaml", "parameters.yaml", "optimizer.yaml"


class SettingsError(ValueError):
    """Settings that can't be used. The message says where, and what would do."""


@dataclass(frozen=True)
class Settings:
    """What is effective for a task, and the `files` it was read from, whole.

    `parameters` are all of them, `optimizer` those that the optimizer takes, `data` is the entry
    of the catalog.
    """

    parameters: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    data: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)

    def effective(self) -> str:
        """As YAML, without the files; `of_effective` reads it."""
        parts = {"parameters": self.parameters, "optimizer": self.optimizer, "data": self.data}
        return OmegaConf.to_yaml(OmegaConf.create(parts))

    @classmethod
    def of_effective(cls, text: str) -> Settings:
        """Those that a task ran with."""
        return cls(**yaml.safe_load(text))


def settled(
    lineage: Sequence[str], changes: Mapping[str, Any] = {}, *, folder: Path = ROOT / "config"
) -> Settings:
    """What the files in `folder` and then `changes` say; raises SettingsError.

    `lineage` are the names of the task and of those it inherits from, the oldest first.
    """
    files = {name: _text(folder / name) for name in (CATALOG, PARAMETERS, OPTIMIZER)}
    catalog, sections, optimizers = (of_yaml(text, name) for name, text in files.items())
    first, *layers = [(f"config/{PARAMETERS}, {name}", _own(sections, name)) for name in lineage]
    found = _layered(first[1], [*layers, ("--set", changes)], optimizers)
    optimizer = _optimizer(found, optimizers)
    return Settings(
        parameters={**optimizer, **found},
        optimizer={key: found.get(key, value) for key, value in optimizer.items()},
        data=chosen(catalog, found["data"], CATALOG) if "data" in found else {},
        files=files,
    )


def _own(sections: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in sections:
        raise SettingsError(
            f"config/{PARAMETERS} has no section for the task {name}.\n"
            "Add one that says what differs from its parent; `{}` if nothing does."
        )
    return chosen(sections, name, PARAMETERS)


def _layered(
    first: Mapping[str, Any],
    layers: Iterable[tuple[str, Mapping[str, Any]]],
    optimizers: Mapping[str, Any],
) -> dict[str, Any]:
    """`first`, changed by each layer, which may have no parameters but those that are known."""
    found = dict(first)
    for where, layer in layers:
        known = {**_optimizer({**found, **layer}, optimizers), **found}
        found.update((key, _of_type(key, value, known, where)) for key, value in layer.items())
    # What a parent's optimizer took says nothing where another was chosen.
    taken = {key for each in optimizers.values() for key in each or ()}
    stray = taken - {*first, *_optimizer(found, optimizers)}
    return {key: value for key, value in found.items() if key not in stray}


def _optimizer(parameters: Mapping[str, Any], optimizers: Mapping[str, Any]) -> dict[str, Any]:
    name = parameters.get("optimizer")
    return {} if name is None else chosen(optimizers, name, OPTIMIZER)


def chosen(sections: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    """The section called `name`; raises SettingsError that tells those that are there."""
    name = str(name)
    if name not in sections:
        raise SettingsError(f"config/{file} has no section {name!r}. {nearest(name, sections)}")
    section = sections[name] if sections[name] is not None else {}
    if not isinstance(section, dict):
        raise SettingsError(f"config/{file}, {name}: there must be lines of `name: value`.")
    return section


def _of_type(key: str, value: Any, known: Mapping[str, Any], where: str) -> Any:
    if key not in known:
        raise SettingsError(f"{where}: there is no parameter {key!r}. {nearest(key, known)}")
    kind = type(known[key])
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind and known[key] is not None:
        raise SettingsError(
            f"{where}: {key} is {value!r}, but must be of the type {kind.__name__},"
            f" such as {known[key]!r}."
        )
    return value


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that was meant, perhaps; else all there are."""
    known = {str(each).lower(): str(each) for each in names}
    found = difflib.get_close_matches(str(name).lower(), known, n=1)
    return (
        f"Did you mean {known[found[0]]}?" if found else f"There are: {', '.join(known.values())}"
    )


def typed(words: Sequence[str]) -> dict[str, Any]:
    """What --set says, read as it would be from a file; raises SettingsError."""
    pairs("--set", words)
    return _plain(lambda: OmegaConf.from_dotlist(list(words)), "--set")


def pairs(flag: str, words: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE words; raises SettingsError."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise SettingsError(f"{flag} takes NAME=VALUE, not {word!r}.")
        found[name] = value
    return found


def of_yaml(text: str, file: str) -> dict[str, Any]:
    """The sections of a file of config/; raises SettingsError."""
    return _plain(lambda: OmegaConf.create(text), f"config/{file}")


def _plain(make: Callable[[], Any], where: str) -> dict[str, Any]:
    try:
        found = OmegaConf.to_container(make(), resolve=True)
    except OmegaConfBaseException as error:
        raise SettingsError(f"{where} can't be read: {str(error).splitlines()[0]}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{where} can't be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{where} has no sections.")
    return {str(key): value for key, value in found.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path} is not there.") from None
