"""What `make setup` is given, and the rules for it."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from importlib.util import find_spec
from pathlib import Path

from remote.errors import ConfigError

NAMES = ("project_name", "your_name", "your_email", "package_name")

EXAMPLE = (
    'make setup project_name="Treadstone" your_name="Jason Bourne" '
    'your_email="jason@bourne.com" package_name="treadstone"'
)

#: What PEP 508 lets a project be called.
PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
PACKAGE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Values:
    """The names of a project, its package, and whose it is."""

    project: str
    name: str
    email: str
    package: str

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Values:
        """Read make's variables; raises ConfigError, which names what is missing."""
        found = {name: given.get(name, "").strip() for name in NAMES}
        missing = [name for name in NAMES if not found[name]]
        if missing:
            raise ConfigError(f"make setup wants {', '.join(missing)} too.", f"Type: {EXAMPLE}")
        values = cls(*(found[name] for name in NAMES))
        _check_project(values.project)
        _check_name(values.name)
        _check_email(values.email)
        _check_package(values.package)
        return values


def _check_project(value: str) -> None:
    if not PROJECT.fullmatch(value):
        raise ConfigError(
            f"project_name={value!r}: letters (A-Z, a-z), digits, '-', '_' and '.' only, "
            "a letter or digit first and last.",
            "A title in other letters can stand in README.md.",
        )


def _check_name(value: str) -> None:
    if not value.isprintable():
        raise ConfigError(f"your_name={value!r}: no line breaks or control characters.")


def _check_email(value: str) -> None:
    try:
        fits = value.count("@") == 1 and Address(addr_spec=value).addr_spec == value
    except (HeaderParseError, IndexError, ValueError):
        fits = False
    if not fits or not all(value.split("@")):
        raise ConfigError(
            f"your_email={value!r} is no e-mail address: name@host, with one @ and no blanks."
        )


def _check_package(value: str) -> None:
    if not PACKAGE.fullmatch(value) or keyword.iskeyword(value):
        raise ConfigError(
            f"package_name={value!r}: lower-case letters (a-z), digits and '_' only, "
            "a letter first, and no word of Python's own.",
            "It is what you will write after `import`.",
        )


def refuse_taken(values: Values, root: Path, present: str) -> None:
    """Raise ConfigError where another module, folder or dependency has one of the names.

    `present` is what the package is called now.
    """
    locked = _locked(root)
    if _plain(values.project) in locked:
        raise ConfigError(
            f"project_name={values.project!r}: the project depends on a package of that name.",
            "Choose another one.",
        )
    if values.package != present and _is_taken(values.package, root, locked):
        raise ConfigError(
            f"package_name={values.package!r}: a module, folder or dependency has that name.",
            "Choose another one, so that `import` can't take one for the other.",
        )


def _is_taken(package: str, root: Path, locked: set[str]) -> bool:
    here = [folder / name for folder in (root, root / "src") for name in (package, f"{package}.py")]
    if any(path.exists() for path in here):
        return True
    known = package in sys.stdlib_module_names or find_spec(package) is not None
    return known or _plain(package) in locked


def _locked(root: Path) -> set[str]:
    """The names of all packages in the lock files, as indexes compare them."""
    texts = (path.read_text("utf-8") for path in root.glob("requirements*.lock"))
    return {_plain(name) for text in texts for name in re.findall(r"^([\w.-]+)==", text, re.M)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
