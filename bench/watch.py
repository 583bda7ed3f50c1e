"""From a save to the file being there: `inv watch`, against inotifywait and rsync in a loop."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.push import FILES, FOLDERS, OURS, THEIRS, make_tree, quoted
from bench.report import Row
from bench.stage import INV, Failed, Stage, run
from bench.turns import Trial, alternate
from scripts.sshd import ALIAS, PrivateSshd

BAR = 0.5

#: Seconds before each save, so that both loops wait for it; and within which it has to be there.
PAUSE, LIMIT = 2.0, 60.0


def measure(stage: Stage) -> Iterator[Row]:
    """One save at a time, each in another folder."""
    files = stage.size(FILES)
    loop = "while inotifywait -r .; do rsync -az --delete --exclude-from=.rsyncignore; done"
    what = f"a saved file is there; {files} small files in {FOLDERS} folders, one save every"
    what += f" {PAUSE:g} s; inv watch / {loop}, over a cold ssh"
    if not shutil.which("inotifywait"):
        why = "skipped: inotifywait isn't installed (sudo apt-get install inotify-tools)"
        yield Row("watch", f"{what}; {why}", BAR)
        return
    with stage.server("watch") as server, contextlib.ExitStack() as loops:
        ours = loops.enter_context(_ours(stage.folder / "watch" / OURS, files, server))
        theirs = loops.enter_context(_theirs(stage.folder / "watch" / THEIRS, files, server))
        yield Row("watch", what, BAR, alternate(ours, theirs, runs=stage.trials(9)))


@contextlib.contextmanager
def _ours(root: Path, files: int, server: PrivateSshd) -> Iterator[Trial]:
    make_tree(root, files)
    env = {"TARGET_DIR": f"{ALIAS}:{OURS}", "REMOTE_SSH_CONFIG": str(server.config)}
    run([INV, "sync-push"], cwd=root, env=env)
    with _running(shlex.join([INV, "watch"]), root, env):
        yield _saves(root, server.home / OURS)


@contextlib.contextmanager
def _theirs(root: Path, files: int, server: PrivateSshd) -> Iterator[Trial]:
    make_tree(root, files)
    rsync = ["rsync", "-az", "--delete", "--exclude-from=.rsyncignore"]
    rsync += ["-e", f"ssh -F {quoted(server.config)}", "./", f"{ALIAS}:{THEIRS}/"]
    run(rsync, cwd=root)
    wait = "inotifywait -qq -r -e close_write,create,delete,move ."
    with _running(f"while {wait}; do {shlex.join(rsync)}; done", root, {}):
        yield _saves(root, server.home / THEIRS)


@contextlib.contextmanager
def _running(line: str, root: Path, env: dict[str, str]) -> Iterator[None]:
    """A line of sh that goes on meanwhile."""
    process = subprocess.Popen(
        ["sh", "-c", line],
        cwd=root,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _saves(root: Path, there: Path) -> Trial:
    """Seconds from a save to its content being there; each call saves another file."""
    names = sorted(path.relative_to(root) for path in root.glob("src/*/*.py"))
    numbers = iter(range(1, len(names)))

    def save() -> float:
        time.sleep(PAUSE)
        number = next(numbers)
        name = names[number * 211 % len(names)]
        content = f"SAVED = {number}\n"
        start = time.perf_counter()
        (root / name).write_text(content)
        while (there / name).read_text() != content:
            if time.perf_counter() - start > LIMIT:
                raise Failed(f"{name} did not arrive in {there.name}")
            time.sleep(0.001)
        return time.perf_counter() - start

    return save
