"""Packages that are part of the project: a workspace's members, `./pkgs/backend`, the project itself.

An environment holds what they declare (their dependencies, commands, metadata), and its name tells
all that this is made from. Their modules each job imports from its own snapshot, as from an editable
installation. Only what has to be compiled is installed whole: there all files decide on the name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence

from remote.agent.environments.requirement_files import read, text_of
from remote.files import sha256
from remote.job.outputs import links
from remote.job.paths import STATE

#: In an environment's folder: where modules are imported from, below the project's root.
IMPORT_ROOTS = "import-roots.json"

#: How lock files name a folder.
_IN_TOML = re.compile(
    r'^source = \{ (?:editable|directory) = "([^"]+)"|\bdirectory = \{ path = "([^"]+)"'
    r'|^\[packages\.directory\]\npath = "([^"]+)"|^type = "directory"\nurl = "([^"]+)"',
    re.MULTILINE,
)
_IN_REQUIREMENTS = re.compile(
    r"^[ \t]*(?:-e|--editable)[ \t=]*(?:[\w.\[\],-]+[ \t]+@[ \t]*)?(?:file:(?://)?)?([^;#\[\n]+)"
    r"|^[ \t]*(?:[\w.\[\],-]+[ \t]*@[ \t]*)?(?:file:(?://)?)?"
    r"(\.[^;#\[\n]*|[^\s;#\[-][^\s;#\[]*/[^;#\[\n]*)",
    re.MULTILINE,
)

#: What a package's metadata is made from; requirement files are often read by its setup.py.
_DECLARATIONS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt")

#: What a declaration calls the lists elsewhere that it takes dependencies from.
_LISTS = re.compile(rb"""["']([\w./-]+\.(?:txt|in))["']""")

#: What the declaration of a package with compiled parts speaks of.
_COMPILED = re.compile(
    rb"ext[_-]modules|cythonize|Extension\(|maturin|scikit[_-]build|mesonpy|meson-python"
    rb"|setuptools[_-]rust|pybind11|cffi_modules|mypycify|tool\.poetry\.build|hatch-cython|nanobind"
)

_LEFT_OUT = {STATE, *links(), "__pycache__", ".git", ".venv", "build"}


def folders(code: Path, lock_files: Iterable[Path]) -> List[str]:
    """The local packages that these lock files name, as folders below `code`."""
    return [name for name in _named(code, lock_files) if _is_package(code / name)]


def _named(code: Path, lock_files: Iterable[Path]) -> List[str]:
    """The paths below `code` that these lock files name."""
    names = set()
    for file in lock_files:
        is_toml = file.suffix == ".toml" or file.name in ("uv.lock", "poetry.lock")
        for match in (_IN_TOML if is_toml else _IN_REQUIREMENTS).finditer(text_of(file)):
            # A single file may have its hash behind it.
            name = re.split(r"[ \t]+--hash=", next(filter(None, match.groups())))[0]
            name = name.strip(" \t\"'")
            for place in (code, file.parent):
                path = os.path.relpath(os.path.normpath(str(place / name)), str(code))
                if not path.startswith(".."):
                    names.add(path)
    return sorted(names)


def _is_package(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("pyproject.toml", "setup.py"))


def contents(code: Path, lock_files: Sequence[Path]) -> Dict[str, bytes]:
    """What decides on an environment, by path, of all that these lock files name of the project:
    packages, and archives of some, which may be built anew under the same name."""
    found: Dict[str, bytes] = {}
    for name in _named(code, lock_files):
        if _is_package(code / name):
            found.update(content(code, name))
        elif (code / name).is_file():
            found[name] = sha256(code / name).encode("ascii")
    return found


def content(code: Path, package: str) -> Dict[str, bytes]:
    """The files of a local package that decide on an environment, by path."""
    files: List[Path] = []
    if is_compiled(code / package):
        for place, names, found in os.walk(str(code / package)):
            names[:] = [name for name in names if name not in _LEFT_OUT]
            files += [Path(place, name) for name in found]
    else:
        for pattern in _DECLARATIONS:
            files += (code / package).glob(pattern)
        declared = b"\n".join(map(read, files))
        files += [code / package / os.fsdecode(name) for name in _LISTS.findall(declared)]
    readable = [file for file in files if file.is_file()]
    return {os.path.relpath(str(file), str(code)): file.read_bytes() for file in readable}


def is_compiled(folder: Path) -> bool:
    """Whether a package's declaration tells of parts that have to be compiled."""
    files = [folder / name for name in _DECLARATIONS[:3]]
    return any(_COMPILED.search(read(file)) for file in files)


def import_roots(env: Path, code: Path) -> List[Path]:
    """Where the modules of the environment's local packages lie in the project at `code`."""
    try:
        names = json.loads((env / IMPORT_ROOTS).read_text("utf-8"))
    except OSError:
        return []
    return [code / name for name in names]


def copy_for(env: Path) -> Path:
    """Where the project lies while the packages of an environment are built: what a build leaves
    there must not come into the snapshot of the job that was first."""
    return env.with_suffix(".source")


@contextlib.contextmanager
def installed_from_copy(code: Path, packages: Sequence[str], env: Path) -> Iterator[None]:
    """Have the project in `copy_for(env)`, where these packages are installed from meanwhile."""
    if not packages:
        yield
        return
    import shutil

    copy = copy_for(env)
    shutil.rmtree(str(copy), ignore_errors=True)
    try:
        shutil.copytree(str(code), str(copy), symlinks=True)
        for package in packages:
            _give_version(copy / package)
        yield
        _leave_to_snapshots(env, copy)
    finally:
        shutil.rmtree(str(copy), ignore_errors=True)


def _give_version(folder: Path) -> None:
    """A version for a package that asks git for it, since the history isn't pushed: these read
    what stands in for it in a source archive."""
    files = [folder / name for name in _DECLARATIONS[:2]]
    info = folder / "PKG-INFO"
    if any(b"scm" in read(file) or b"hatch-vcs" in read(file) for file in files):
        info.write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0\n", "utf-8")


def _leave_to_snapshots(env: Path, source: Path) -> None:
    """Take the modules of local packages, installed from `source`, out of a new environment."""
    # Here, and so elsewhere, since each submission starts faster without.
    from urllib.parse import unquote, urlsplit

    roots: List[str] = []
    for file in sorted(env.glob("lib/python*/site-packages/*.dist-info/direct_url.json")):
        path = Path(unquote(urlsplit(json.loads(file.read_text("utf-8")).get("url", "")).path))
        package = os.path.relpath(os.path.realpath(str(path)), os.path.realpath(str(source)))
        if package.startswith("..") or not path.is_dir() or is_compiled(path):
            continue
        modules = _remove_modules(file.parent)
        roots += (root for root in _roots(source, package, modules) if root not in roots)
    (env / IMPORT_ROOTS).write_text(json.dumps(roots), "utf-8")


def _remove_modules(dist_info: Path) -> List[str]:
    """Remove what a distribution put into site-packages, but for its metadata; the paths of that."""
    import csv

    with open(str(dist_info / "RECORD"), encoding="utf-8", newline="") as record:
        names = [row[0] for row in csv.reader(record) if row]
    # Its commands lie in `bin`, which is `../../../bin` here.
    names = [name for name in names if not name.startswith(("../", f"{dist_info.name}/"))]
    for name in names:
        file = dist_info.parent / name
        with contextlib.suppress(OSError):
            file.unlink()
            while file.parent != dist_info.parent:
                file = file.parent
                file.rmdir()
    return names


def _roots(source: Path, package: str, modules: List[str]) -> List[str]:
    """The folder of a package that holds these modules: its `src`, itself, or one below; without
    any modules, the first two."""
    inner = [os.path.join(package, name) for name in sorted(os.listdir(str(source / package)))]
    usual = [os.path.join(package, "src"), package]
    places = [os.path.normpath(name) for name in usual + inner if (source / name).is_dir()]
    fitting = [name for name in places if any((source / name / file).exists() for file in modules)]
    return fitting[:1] or places[:2]
