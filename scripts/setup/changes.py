"""Which files change, and the writing of them: all or none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from remote.errors import ConfigError
from remote.files import write_atomic
from scripts.setup import follow, pyproject
from scripts.setup.values import Values

#: The toolkit is not called after the package, and `make setup` must still know what it was.
LEFT = ("remote/", "scripts/setup/", "tests/research/test_setup.py", "LICENSE", "CHANGELOG.md")
READMES = ("README.md", "docs/ja/README.md")
KINDS = (".py", ".ipynb", ".md", ".yaml", ".yml", ".toml", ".sh", ".cfg", ".txt", "")

#: Where nobody's own files lie, or where a job's do. Only asked where git doesn't know.
SKIPPED = {".git", ".venv", ".remote", ".demo", "__pycache__", "node_modules"}
RESULTS = ("data", "logs", "outputs", "multirun", "mlruns", "mlartifacts")

Changes = dict[Path, str]


def planned(root: Path, values: Values) -> Changes:
    """The new text of every file that changes; nothing is written. Raises ConfigError."""
    config = root / "pyproject.toml"
    before = read(config)
    project, package = pyproject.present(before)
    source = root / "src" / package
    if not (source / "__init__.py").is_file():
        raise ConfigError(
            f"src/{package} is not there, so its files can't be renamed.",
            "pyproject.toml names the package: [tool.template] package.",
        )
    renaming = follow.Renaming(package, values.package, modules(source))
    found = {path: _followed(root, path, renaming) for path in sources(root)}
    found[config] = pyproject.renamed(found.get(config, before), values)
    for path in (root / name for name in READMES):
        if path in found:
            found[path] = follow.title(found[path], project, values.project)
    return {path: text for path, text in found.items() if text != read(path)}


def modules(package: Path) -> list[str]:
    """The names of what can be imported from a package's folder."""
    names = [path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()]
    return [name for name in names if name != "__pycache__"]


def sources(root: Path) -> Iterator[Path]:
    """The text files of the project that may name the package."""
    for name in _listed(root):
        path = root / name
        if name.startswith(LEFT) or path.suffix not in KINDS:
            continue
        if path.is_file() and not path.is_symlink() and _is_text(path):
            yield path


def _listed(root: Path) -> list[str]:
    """All files that are the project's own, relative to `root`."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(argv, cwd=root, capture_output=True)
    except FileNotFoundError:
        return list(_walked(root))
    if done.returncode:
        return list(_walked(root))
    return list(filter(None, os.fsdecode(done.stdout).split("\0")))


def _walked(root: Path) -> Iterator[str]:
    for place, folders, names in os.walk(root):
        skipped = SKIPPED | (set(RESULTS) if Path(place) == root else set())
        folders[:] = sorted(set(folders) - skipped)
        for name in names:
            yield (Path(place) / name).relative_to(root).as_posix()


def _is_text(path: Path) -> bool:
    try:
        path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return True


def read(path: Path) -> str:
    """A text file with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def _followed(root: Path, path: Path, renaming: follow.Renaming) -> str:
    text = read(path)
    if renaming.old == renaming.new:
        return text
    try:
        return renaming.text(text, path.suffix)
    except ValueError as error:
        name = path.relative_to(root).as_posix()
        raise ConfigError(f"{name} is no notebook that can be read: {error}.") from None


def write(changes: Mapping[Path, str], folder: tuple[Path, Path]) -> None:
    """Write all changes and rename a folder; where something fails, put back what was there."""
    before = {path: path.read_bytes() for path in changes}
    old, new = folder
    try:
        for path, text in changes.items():
            _replace(path, text.encode("utf-8"))
        if old != new:
            os.rename(old, new)
    except BaseException:
        for path, data in before.items():
            if path.read_bytes() != data:
                _replace(path, data)
        raise


def _replace(path: Path, data: bytes) -> None:
    write_atomic(path, data, mode=path.stat().st_mode & 0o777)
