"""`make demo`: the whole loop on this machine, typed as a user types it.

A private sshd on loopback with throw-away keys is the GPU server; its files lie in `.demo/`.
Where no sshd can run, a plain directory stands in for it. ~/.ssh is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.job.paths import CACHE, STATE
from remote.transport.ssh import Ssh
from scripts.sshd import ALIAS, PrivateSshd

ROOT = Path(__file__).parent.parent
DEMO = ROOT / ".demo"
TMUX = "remote-demo"

_RUNS = """
SELECT runs.name, runs.status,
       (SELECT value FROM params WHERE run_uuid = runs.run_uuid AND key = 'epoch'),
       (SELECT value FROM latest_metrics WHERE run_uuid = runs.run_uuid AND key = 'accuracy'),
       (SELECT value FROM tags WHERE run_uuid = runs.run_uuid AND key = 'remote.job')
FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time
"""


@dataclass(frozen=True)
class Stage:
    """The server that the demonstration plays on."""

    target: str
    ssh_config: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user whose ssh configuration knows the server."""
        names = ("TARGET_DIR", "REMOTE_", "MLFLOW_", "MAKE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(names)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        own = {"PATH": path, "REMOTE_TMUX_SOCKET": TMUX}
        return {**kept, **own, "REMOTE_SSH_CONFIG": self.ssh_config}


def main() -> None:
    """Play the demonstration; its exit code is that of the first command that fails."""
    with stage() as scene, last_target_kept():
        type_in(scene, "make", "sync-push", f"TARGET_DIR={scene.target}")
        type_in(scene, "inv", "remote-run", "train.ipynb", "--epoch", "20", "--follow")
        type_in(scene, "inv", "remote-ps")
        type_in(scene, "make", "sync-pull")
    print_runs()
    print("\nThe records of the server are in mlflow.db now. Look at them:")
    print("    make ui      (http://127.0.0.1:5000, Ctrl-C ends it)")


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A server to play on, gone again afterwards (its files stay, for the next time)."""
    server = PrivateSshd(DEMO / "sshd", DEMO / "server", settings=_server_settings())
    try:
        server.start()
    except (OSError, RuntimeError) as error:
        note(f"no sshd can run here ({error}); a plain directory plays the server")
        yield Stage(str(Path.home() / CACHE / "demo"), "")
        return
    note(f"a private sshd on 127.0.0.1:{server.port} plays the GPU server ({ALIAS})")
    try:
        yield Stage(f"{ALIAS}:digits", str(server.config))
    finally:
        Ssh(ALIAS, str(server.config)).close()
        server.stop()


@contextlib.contextmanager
def last_target_kept() -> Iterator[None]:
    """Afterwards the project means the same target as before where none is named."""
    file = ROOT / STATE / "last-target"
    before = file.read_bytes() if file.is_file() else None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_bytes(before)


def _server_settings() -> dict[str, str]:
    """The server shares uv's downloads with this machine, and how it trusts certificates."""
    names = ("UV_CACHE_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    found = {name: os.environ[name] for name in names if name in os.environ}
    return {"UV_CACHE_DIR": str(DEMO / "uv-cache"), **found}


def type_in(scene: Stage, *words: str) -> None:
    """Run a command the way a user would, and leave with its exit code where it fails."""
    print(f"\n$ {shlex.join(words)}", flush=True)
    code = subprocess.call(words, cwd=ROOT, env=scene.env)
    if code:
        sys.exit(code)


def note(text: str) -> None:
    """A remark of the demonstration itself."""
    print(f"# {text}", flush=True)


def print_runs() -> None:
    """The table of the runs in the local store."""
    with contextlib.closing(sqlite3.connect(ROOT / "mlflow.db")) as store:
        rows = store.execute(_RUNS).fetchall()
    print(f"\n{'RUN':<16}{'STATUS':<11}{'EPOCH':<7}{'ACCURACY':<10}JOB")
    for name, status, epoch, accuracy, job in rows:
        shown = "" if accuracy is None else f"{accuracy:.3f}"
        print(f"{name or '':<16}{status:<11}{epoch or '':<7}{shown:<10}{job or ''}")


if __name__ == "__main__":
    main()
