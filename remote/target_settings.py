"""`[tool.remote]` of pyproject.toml: targets by name, groups of them, and what belongs to each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remote.errors import ConfigError
from remote.job import fields
from remote.job.fields import MANY, NAME, WORD, Misfit
from remote.job.status import UUID
from remote.job.struct import Struct
from remote.target import FORMS, Target

FILE = "pyproject.toml"

#: What stands for several targets wherever one is named, and is no name of one.
ALL, ANY = "all", "any"

#: What a target or a group may be called: no address looks like that.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

_ABSOLUTE = re.compile(r"/[^\x00]*")

#: What each of these says of the kind of environment.
_IMPLIED = {"python": "python", "image": "container"}


#: What is told with a value that doesn't fit, where its form isn't plain.
_EXAMPLES = {"links": 'Such as: { "data/imagenet" = "/datasets/imagenet" }'}


class TargetSettings(Struct):
    """What is in force for one target: what stands by it, else what stands for all of them."""

    dir: str = fields.text(NAME, default="")
    """Where it is, as `remote.target` reads it; empty where these are the settings of all."""
    launcher: str = fields.text(64, WORD, default="")
    """A row of remote.agent.launchers; empty is what the server has."""
    environment: str = fields.text(64, WORD, default="")
    """A row of remote.agent.environments; empty is what suits the project."""
    python: str = fields.text(NAME, default="")
    image: str = fields.text(NAME, default="")
    torch_backend: str = fields.text(64, WORD, default="")
    setup: tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """Lines for bash, before the job."""
    sbatch: tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """More words for sbatch."""
    extras: tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    gpus: int | None = fields.optional(fields.integer(0, 1024), default=None)
    gpus_exclude: tuple[str, ...] = fields.list_of(fields.text(128, UUID), 1024, default=())
    """Which no job is to take, by index or UUID."""
    cpus: int | None = fields.optional(fields.integer(1, 1 << 16), default=None)
    """How many CPU slots the jobs there have that have no GPU."""
    links: Mapping[str, str] = fields.mapping_of(
        fields.text(NAME, _ABSOLUTE), MANY, key=fields.path(), default={}
    )
    """Paths of the project, and where on the server each of them leads."""
    proxy: str = fields.text(NAME, default="")
    """How the internet is reached, as REMOTE_PROXY says it for all targets."""

    @property
    def has_extras(self) -> bool:
        """Whether its environment may be made from a lock file, which alone has extras."""
        return self.environment in ("", "uv")

    @property
    def words_for_sbatch(self) -> tuple[str, ...]:
        """Those of `sbatch`, unless tmux is to run the jobs."""
        return () if self.launcher == "tmux" else self.sbatch


#: The keys of a target's own table.
KEYS = {name.replace("_", "-"): name for name in TargetSettings.fields}

#: Those of `[tool.remote]` itself.
COMMON_KEYS = [*(key for key in KEYS if key != "dir"), "outputs", "targets", "groups"]


@dataclass(frozen=True)
class ToolSettings:
    """All of `[tool.remote]` but its `outputs`."""

    common: TargetSettings
    targets: Mapping[str, TargetSettings]
    groups: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, pyproject: Mapping[str, object]) -> ToolSettings:
        """What the whole file says, read; raises ConfigError that names the key that is wrong."""
        tool = pyproject.get("tool")
        table = _table("tool.remote", tool.get("remote", {}) if isinstance(tool, dict) else {})
        _refuse_unknown("tool.remote", table, COMMON_KEYS)
        common = {key: value for key, value in table.items() if key in KEYS}
        # What is wrong there is told there, and not of each target that has it.
        for_all = _settings("tool.remote", common)
        own = _table("tool.remote.targets", table.get("targets", {}))
        targets = {name: _target(name, value, common) for name, value in own.items()}
        members = _table("tool.remote.groups", table.get("groups", {}))
        groups = {name: _group(name, value, targets) for name, value in members.items()}
        return cls(for_all, targets, groups)

    @property
    def names(self) -> list[str]:
        """All that can be named in the place of an address."""
        return [*self.targets, *self.groups, *((ALL, ANY) if self.targets else ())]

    def members(self, name: str) -> tuple[str, ...] | None:
        """The targets that a group, `all` or `any` stands for; None where it is none of these."""
        if name in (ALL, ANY):
            return tuple(self.targets)
        return self.groups.get(name)

    def named(self, name: str) -> Target:
        """The target of that name; raises ConfigError where there is none."""
        if name not in self.targets:
            raise self.unknown(name)
        return _place(name, self.targets[name].dir)

    def of_target(self, target: Target) -> TargetSettings:
        """What is in force for a target: by its name, or by its place where it was given as that."""
        if target.name in self.targets:
            return self.targets[target.name]
        same = (each for name, each in self.targets.items() if _place(name, each.dir) == target)
        return next(same, self.common)

    def unknown(self, name: str) -> ConfigError:
        """What is said of a name that is no target, group or address."""
        if not self.targets:
            return ConfigError(
                f"{name!r} is no address, and {FILE} names no targets.",
                f"An address is {FORMS}; a folder of this machine is ./{name}",
            )
        return ConfigError(
            f"There is no target or group {name!r} in {FILE}.",
            _guess(name, self.names) or f"There are {', '.join(self.names)}; or type {FORMS}.",
        )


def is_name(text: str) -> bool:
    """Whether it may be the name of a target or a group; an address is never one."""
    return bool(_NAME.fullmatch(text))


def _target(name: str, value: object, common: Mapping[str, object]) -> TargetSettings:
    """One of the targets: its address, or a table; what that doesn't say, the `common` table does."""
    where = f"tool.remote.targets.{name}"
    _check_name(where, name)
    if not isinstance(value, (str, dict)):
        raise ConfigError(f"{FILE}: {where} has to be an address or a table.", f"It takes {FORMS}.")
    table = {"dir": value} if isinstance(value, str) else value
    _refuse_unknown(where, table, KEYS)
    if any(key in table for key in ("environment", *_IMPLIED)):
        # Who names one environment means no part of another.
        common = {
            key: text for key, text in common.items() if key not in ("environment", *_IMPLIED)
        }
    settings = _settings(where, {**common, **table})
    if not settings.dir:
        raise ConfigError(f"{FILE}: {where} lacks its dir.", f"It takes {FORMS}.")
    _place(name, settings.dir)
    return settings


def _place(name: str, text: str) -> Target:
    """The target at an address of the file."""
    if is_name(text):
        raise ConfigError(
            f"{FILE}: tool.remote.targets.{name}: {text!r} is no address.", f"It takes {FORMS}."
        )
    try:
        return Target.parse(text).called(name)
    except ConfigError as error:
        message = error.message.replace("TARGET_DIR", f"{FILE}: tool.remote.targets.{name}:", 1)
        raise ConfigError(message, error.hint) from None


def _settings(where: str, table: Mapping[str, object]) -> TargetSettings:
    document = {KEYS[key]: value for key, value in table.items()}
    try:
        settings = TargetSettings.read(document)
    except Misfit as misfit:
        path = where + "".join(reversed(misfit.path)).replace("torch_backend", "torch-backend")
        hint = _EXAMPLES.get(path[len(where) :].strip(".").partition("[")[0], "")
        raise ConfigError(f"{FILE}: {path}: {misfit.reason}.", hint) from None
    _refuse_unknown_rows(where, settings)
    for key, kind in _IMPLIED.items():
        if getattr(settings, key) and settings.environment not in ("", kind):
            given = next(
                (word for word in _IMPLIED if word in table and word != key), "environment"
            )
            raise ConfigError(
                f"{FILE}: {where}: {key} and {given} mean different environments.",
                "Remove one of them.",
            )
        if getattr(settings, key):
            settings = settings.replace(environment=kind)
    return settings


def _refuse_unknown_rows(where: str, settings: TargetSettings) -> None:
    """Raises ConfigError for a launcher or a kind of environment that isn't there."""
    if not (settings.launcher or settings.environment):
        return
    # Most projects name neither, and start faster without.
    from remote.agent.environments import ENVIRONMENTS
    from remote.agent.launchers import LAUNCHERS

    for key, rows in (("launcher", [*LAUNCHERS]), ("environment", [*ENVIRONMENTS])):
        value = getattr(settings, key)
        if value and value not in rows:
            hint = _guess(value, rows) or f"There are {', '.join(rows)}."
            raise ConfigError(f"{FILE}: {where}.{key}: there is no {value!r}.", hint)


def _group(name: str, value: object, targets: Mapping[str, object]) -> tuple[str, ...]:
    where = f"tool.remote.groups.{name}"
    _check_name(where, name)
    if name in targets:
        raise ConfigError(f"{FILE}: {name!r} is a target and a group.", "Rename one of them.")
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ConfigError(f'{FILE}: {where} has to be a list of targets, such as ["gpu1", "gpu2"].')
    for member in value:
        if member not in targets:
            hint = _guess(member, targets) or f"There are {', '.join(targets) or 'none'}."
            raise ConfigError(f"{FILE}: {where}: there is no target {member!r}.", hint)
    return tuple(dict.fromkeys(value))


def _check_name(where: str, name: str) -> None:
    if not is_name(name) or name in (ALL, ANY):
        reason, hint = (
            "looks like no name",
            "A name has letters, digits, dots, dashes and underscores, and begins with no dash.",
        )
        if name in (ALL, ANY):
            reason, hint = "means several targets", "Give it another name."
        raise ConfigError(f"{FILE}: {where}: {name!r} {reason}.", hint)


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{FILE}: {where} has to be a table.")
    return value


def _refuse_unknown(where: str, table: Mapping[str, object], known: Iterable[str]) -> None:
    known = [*known]
    for key in table:
        if key not in known:
            hint = _guess(key, known) or f"It takes {', '.join(known)}."
            raise ConfigError(f"{FILE}: {where} takes no {key!r}.", hint)


def _guess(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, [*known], n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else ""
