"""`make pictures`: play the loop on a private sshd with four fake GPUs, and draw what was shown.

Everything that is seen was printed by the real commands; pauses are cut to a second. The diagrams
(`job.svg`, `merge.svg`) are drawn by hand.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from scripts.demo import DEMO, ROOT
from scripts.pictures.svg import MODES, picture
from scripts.pictures.terminal import Frame, Terminal, opened
from scripts.sshd import PrivateSshd, running
from tests.fakegpu import FakeGpus
from tests.real import browser, ui

PICTURES = ROOT / "docs/pictures"
#: What a user's project has of this repository.
PROJECT = (
    "Makefile",
    "tasks.py",
    "pyproject.toml",
    "requirements*.lock",
    ".rsyncignore",
    "remote",
    "src",
)
SOCKET = f"remote-pictures-jobs-{os.getpid()}"
COLUMNS, ROWS = 100, 30


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        play(Path(folder))
    for file in sorted(PICTURES.iterdir()):
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1000:.0f} kB")


def play(place: Path) -> None:
    gpus = FakeGpus(place / "gpus", card={"name": "NVIDIA A100-SXM4-80GB"})
    with stage(place, gpus) as (project, env):
        with opened(COLUMNS, ROWS, project, env) as terminal:
            play_the_loop(terminal)
            show_jobs(terminal, gpus)
        shoot_ui(project, place / "profile")


@contextmanager
def stage(place: Path, gpus: FakeGpus) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project, and the environment of a user whose ssh knows the server `gpu`."""
    project = place / "digits"
    names = subprocess.run(
        ["git", "ls-files", "--", *PROJECT], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for name in names:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
        # Older than .venv, which make would install anew.
        os.utime(project / name, (1_700_000_000, 1_700_000_000))
    (project / ".venv").symlink_to(sys.prefix)
    (project / ".env").write_text("TARGET_DIR=gpu:digits\n")
    (project / ".env").chmod(0o600)
    settings = {"UV_CACHE_DIR": str(DEMO / "uv-cache"), "REMOTE_TMUX_SOCKET": SOCKET}
    server = PrivateSshd(
        place / "sshd", place / "server", path=f"{gpus.bin}:/usr/bin:/bin", settings=settings
    )
    kept = ("SSL_", "UV_", "PIP_", "LANG", "USER", "LOGNAME")
    env = {key: value for key, value in os.environ.items() if key.startswith(kept)}
    env.update(HOME=str(place), PATH=f"{sys.prefix}/bin:/usr/bin:/bin", LANG="C.UTF-8")
    env.update(REMOTE_SSH_CONFIG=str(server.config), REMOTE_TMUX_SOCKET=SOCKET)
    env.update(REMOTE_LEASES=str(place))
    try:
        with running(server):
            yield project, env
    finally:
        subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True)


def play_the_loop(terminal: Terminal) -> None:
    """The store and the environment are made before: once each, on a user's machine too."""
    terminal.run("make sync-push && inv remote-setup && make sync-pull")
    terminal.clear()
    terminal.run("make sync-push TARGET_DIR=gpu:digits")
    terminal.run("inv remote-run train.ipynb --epoch 12 --follow")
    terminal.run("make sync-pull")
    terminal.type("mlflow ui")
    terminal.look(1)
    frames, length = terminal.recording()
    draw("loop", frames, length)
    for mode in MODES:
        draw("loop", frames, length, mode)
    terminal.press("C-c")


def show_jobs(terminal: Terminal, gpus: FakeGpus) -> None:
    for flags in (
        "--gpus 1 -- sleep 300",
        "train.ipynb --epoch 300 --gpus 2",
        "--gpus 2 -- sleep 300",
    ):
        terminal.run(f"inv remote-run {flags}")
    terminal.run("inv remote-run --gpus 0 --shell 'python -c \"raise ValueError(42)\"'")
    terminal.run("inv remote-wait last")
    for index, load in enumerate((97, 88, 91)):
        gpus.card(index, memory_used=41_000 + 3_000 * index, utilization_gpu=load)
    for command in ("remote-ps", "remote-gpus"):
        terminal.clear()
        terminal.run(f"inv {command}")
        still(command, terminal)
    terminal.clear()
    terminal.type("inv remote-top")
    terminal.look(8)
    still("remote-top", terminal)
    terminal.press("q")
    terminal.look(1)
    terminal.run("inv remote-stop --all --yes")


def still(name: str, terminal: Terminal) -> None:
    draw(name, [Frame(terminal.screen(), 0)], 1)


def draw(name: str, frames: list[Frame], length: float, mode: str = "") -> None:
    file = PICTURES / f"{'-'.join(filter(None, (name, mode)))}.svg"
    title = f"inv {name}" if "-" in name else "digits"
    file.write_text(picture(frames, length, COLUMNS, title, mode))


def shoot_ui(project: Path, profile: Path) -> None:
    """The charts of the runs, as MLflow draws them."""
    query = "workflowType=machine_learning&compareRunsMode=CHART"
    with ui.served(project) as address, browser.running(profile) as chromium:
        place = f"{address}/#/experiments/{_experiment(project)}/runs?{query}"
        with chromium.page(place) as page:
            page.shows("train", "accuracy")
            page.wait("document.querySelectorAll('.js-plotly-plot .main-svg').length > 3")
            file = PICTURES / "mlflow.png"
            page.shot(file)
            shrink(file)


def _experiment(project: Path) -> int:
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as store:
        return int(store.execute("SELECT max(experiment_id) FROM runs").fetchone()[0])


def shrink(file: Path) -> None:
    """256 colours are enough for a page, and take a third of the room."""
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        # At its right is MLflow's assistant.
        shown = image.crop((0, 0, min(1100, image.width), image.height))
        shown.convert("RGB").quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    main()
