"""`make setup project_name=… your_name=… your_email=… package_name=…`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from remote.errors import RemoteError
from remote.settings import make_variables
from scripts.setup import changes, locks, pyproject
from scripts.setup.values import Values, refuse_taken

ROOT = Path.cwd()


def main() -> int:
    """Check everything, then change it; the exit code."""
    try:
        values = Values.of(make_variables())
        package = pyproject.present(changes.read(ROOT / "pyproject.toml"))[1]
        refuse_taken(values, ROOT, package)
        planned = changes.planned(ROOT, values)
    except (RemoteError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    dirty = _uncommitted()
    _rename(planned, package, values)
    _environment_file()
    if planned:
        _locks()
    _tell(values, package, planned, dirty)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _rename(planned: changes.Changes, package: str, values: Values) -> None:
    source = ROOT / "src"
    changes.write(planned, (source / package, source / values.package))
    if not planned:
        _say("The project has these names already: no file was changed.")
        return
    _say(f"pyproject.toml: {values.project}, by {values.name} <{values.email}>")
    if package != values.package:
        _say(f"src/{package} is src/{values.package} now; {len(planned)} files follow")
        _format(_moved(planned, source / package, source / values.package))


def _moved(paths: Iterable[Path], old: Path, new: Path) -> list[str]:
    """Where Python files are after a folder was renamed."""
    here = [new / path.relative_to(old) if old in path.parents else path for path in paths]
    return [str(path) for path in here if path.suffix == ".py"]


def _format(paths: list[str]) -> None:
    """Imports in their order, which goes by the package's name."""
    for words in (["isort", "-q"], ["black", "-q"]):
        subprocess.run([sys.executable, "-m", *words, *paths], cwd=ROOT)


def _environment_file() -> None:
    own, example = ROOT / ".env", ROOT / ".env.example"
    if not own.exists() and example.is_file():
        # Tokens are written into it.
        os.close(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(example, own)
        _say(".env was made from .env.example: your settings go there")


def _locks() -> None:
    _say("resolving the lock files (a minute, the first time) ...")
    try:
        new, failed = locks.resolve(ROOT)
    except KeyboardInterrupt:
        new, failed = [], "interrupted"
    if failed:
        _say(f"The lock files stay as they are, which will do: {failed}")
        _say("To resolve them later, with a network: make lock")
    else:
        _say(f"lock files: {', '.join(new) or 'what they name still fits'}")
    if not new:
        _installed()


def _installed() -> None:
    """Have .venv know the project's new name. All that its lock files name is in it already."""
    ready = Path(sys.prefix) / ".ready"
    if ROOT not in ready.parents or not ready.is_file():
        return
    failed = locks.install(ROOT)
    if failed:
        _say(f".venv knows the project by its old name until the next make install: {failed}")
    ready.touch()


def _uncommitted() -> str | None:
    """What git knows to be uncommitted; None without git."""
    try:
        done = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True)
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace")


def _tell(values: Values, package: str, planned: changes.Changes, dirty: str | None) -> None:
    if planned and dirty is not None:
        new = f" && rm -r src/{values.package}" if package != values.package else ""
        _say("See what changed: git add -A && git diff --cached")
        _say(f"Take it all back: git reset -q && git checkout -- .{new}")
        if dirty:
            _say("That would take back your own uncommitted changes too: commit those first.")
    _say("Next: make run input_file=train.ipynb output_file=result.ipynb epoch=2")


if __name__ == "__main__":
    sys.exit(main())
