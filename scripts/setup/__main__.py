"""`make setup project_name=… your_name=… your_email=… package_name=…`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from remote.errors import RemoteError
from remote.settings import make_variables
from scripts.setup import changes, locks, pyproject, toolkit
from scripts.setup.values import Values, refuse_taken

ROOT = Path.cwd()


def main() -> int:
    """Check everything, then change it; the exit code."""
    try:
        values = Values.of(make_variables())
        package = pyproject.present(changes.read(ROOT / "pyproject.toml"))[1]
        refuse_taken(values, ROOT, package)
        planned = changes.planned(ROOT, values)
        is_first = toolkit.is_there(ROOT) and toolkit.is_in_git(ROOT)
    except (RemoteError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    dirty = _uncommitted()
    new = [f"src/{values.package}"] if package != values.package else []
    if is_first:
        new.append(_replace_toolkit(values))
        planned = changes.planned(ROOT, values)
    elif toolkit.is_there(ROOT):
        _say(
            "The toolkit's documents and tests stay: git doesn't have them, and couldn't bring them"
        )
        _say(
            "back. To have them go: git init && git add -A && git commit -m begin, then this again."
        )
    _rename(planned, package, values)
    _environment_file()
    if planned or is_first:
        _locks()
    if (planned or is_first) and dirty is not None:
        _tell_way_back(new, dirty)
    _say("Next: make run input_file=train.ipynb output_file=result.ipynb epoch=2")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _replace_toolkit(values: Values) -> str:
    """The path of the project's first test, which is new."""
    commit, gone = toolkit.last_commit(ROOT), toolkit.replace(ROOT, values)
    test = toolkit.test_file(values)
    _say(f"{gone} files of the toolkit's own went, its documents and tests among them")
    _say(f"git has them: git checkout {commit} -- docs, for its documents")
    _say(f"README.md, CHANGELOG.md and {test} are your project's own; make help: what there is")
    return test


def _rename(planned: changes.Changes, package: str, values: Values) -> None:
    source = ROOT / "src"
    changes.write(planned, (source / package, source / values.package))
    if not planned:
        _say("The project has these names already: no file was changed for that.")
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


def _tell_way_back(new: Sequence[str], dirty: str) -> None:
    remove = f" && rm -r {' '.join(new)}" if new else ""
    _say("See what changed: git add -A && git diff --cached")
    _say(f"Take it all back: git reset -q && git checkout -- .{remove}")
    if dirty:
        _say("That would take back your own uncommitted changes too: commit those first.")


if __name__ == "__main__":
    sys.exit(main())
