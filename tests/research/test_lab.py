"""JupyterLab, TensorBoard and MLflow's UI on a target, reached through their tunnels."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from remote.agent import processes as process
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd, free_port
from tests.conftest import ROOT
from tests.real import browser
from tests.research.conftest import Laboratory, Make
from tests.research.environment import EXTRAS
from tests.research.researcher import Researcher
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

DEV_LOCK = ROOT / "requirements-dev.lock"
SHOTS = ROOT / ".demo" / "screenshots"

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "id": "one",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": "answer = 42",
        }
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@dataclass
class Opened:
    """An `inv remote-lab` that stays: what it printed, and how it is left."""

    process: subprocess.Popen[str]
    url: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return "http://" + urlsplit(self.url).netloc

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.url).query)["token"][0]

    def listen(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def hears(self, words: str) -> None:
        until(lambda: "".join(self.said), lambda said: words in said)

    def leave(self) -> str:
        """Ctrl-C, and all that it said."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0, "".join(self.said)
        return "".join(self.said)


@contextlib.contextmanager
def opened(lab: Laboratory, *words: str, **env: str) -> Iterator[Opened]:
    """`inv` with these words, once it has printed an address."""
    started = lab.start(*words, **env)
    found = Opened(started)
    listener = threading.Thread(target=found.listen)
    listener.start()
    try:
        assert started.stdout is not None
        found.url = started.stdout.readline().strip()
        assert found.url.startswith("http://127.0.0.1:"), "".join(found.said)
        yield found
    finally:
        started.kill()
        started.wait()
        listener.join()


def get(address: str, token: str = "", body: object = None, method: str = "GET") -> tuple[int, str]:
    """Status and text."""
    head = {"Content-Type": "application/json"}
    head.update({"Authorization": f"token {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


@pytest.fixture(scope="module")
def lab(laboratory: Make) -> Iterator[Laboratory]:
    """A project whose target will have the services; they end with the module.

    One lock file names everything, so that one environment is made for all of them.
    """
    made = laboratory("served")
    lock = made.root / "requirements.lock"
    extras = [made.root / f"requirements-{extra}.lock" for extra in EXTRAS]
    lock.write_text("".join(path.read_text() for path in (lock, *extras)))
    yield made
    for name in ("remote-lab", "remote-tensorboard", "remote-ui"):
        made.inv(name, "--stop", check=False)


@pytest.fixture(scope="module")
def target(lab: Laboratory, sshd: PrivateSshd) -> Path:
    return sshd.home / lab.env["TARGET_DIR"].partition(":")[2]


@pytest.fixture(scope="module")
def job(lab: Laboratory) -> str:
    """The id of a JupyterLab that goes on."""
    return lab.inv("remote-lab", "--background").out.strip()


def status(target: Path, job: str) -> dict:
    return json.loads((target / ".remote/jobs" / job / "status.json").read_text())


def processes(target: Path, job: str) -> list[int]:
    return process.descendants(status(target, job)["worker"]["pid"])


def listening(pids: list[int]) -> list[str]:
    """The TCP addresses that these processes listen on, as /proc/net/tcp writes them."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(entry)))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


def run_code(lab: Laboratory, at: Opened, notebook: str, code: str) -> str:
    script = str(Path(__file__).with_name("kernel.py"))
    return lab.python(script, at.base, at.token, notebook, code).out


def save(at: Opened, name: str, notebook: dict = NOTEBOOK) -> None:
    body = {"type": "notebook", "format": "json", "content": notebook}
    code, text = get(f"{at.base}/api/contents/{name}", at.token, body, "PUT")
    assert code in (200, 201), text


def test_jupyterlab_lets_nobody_in_without_its_token(
    lab: Laboratory, target: Path, job: str
) -> None:
    with opened(lab, "remote-lab", "--no-browser") as page:
        assert get(f"{page.base}/api/status")[0] == 403
        assert get(f"{page.base}/api/status", page.token)[0] == 200
        assert urlsplit(page.url).path == "/lab/tree/data/results/lab"
        code, text = get(page.url)
        # The page asks nobody in the world for news.
        assert code == 200 and '"news": {"disabled": true}' in text
        token = page.token.encode()
        said = page.leave()
    assert "JupyterLab keeps running" in said and "inv remote-lab --stop" in said
    found = listening(processes(target, job))
    assert len(found) == 1 and found[0].startswith("0100007F:")
    for proc in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert token not in proc.read_bytes(), proc
    for file in (target / ".remote/jobs" / job).rglob("*"):
        assert not file.is_file() or token not in file.read_bytes(), file


def test_typed_again_it_goes_to_the_same_one(lab: Laboratory, target: Path, job: str) -> None:
    assert lab.inv("remote-lab", "--background").out.strip() == job
    listed = lab.inv("remote-ps").out
    assert re.search(rf"{job} +running", listed)
    refused = lab.inv("remote-lab", "--folder", "src", "--no-browser", check=False)
    assert refused.code == 2 and "with folder data/results/lab" in refused.err
    assert "remote-lab --stop" in refused.err
    refused = lab.inv("remote-lab", "--extra", "torch", "--background", check=False)
    assert refused.code == 2 and "no extra torch" in refused.err


def test_a_cell_sees_the_files_of_the_target(lab: Laboratory, target: Path, job: str) -> None:
    code = (
        "import os; from lib import digits; print(os.getcwd()); print(digits.__file__);"
        " print(os.environ['JPY_SESSION_NAME']); print(sorted(os.listdir('data/raw')))"
    )
    (target / "data/raw").mkdir(parents=True, exist_ok=True)
    (target / "data/raw/only there.csv").touch()
    with opened(lab, "remote-lab", "--no-browser") as page:
        of_project = run_code(lab, page, "src/notebooks/a b.ipynb", code).splitlines()
        own = run_code(lab, page, "data/results/lab/x.ipynb", "import os; print(os.getcwd())")
    assert of_project[:2] == [str(target), str(target / "src/lib/digits.py")]
    assert of_project[2] == str(target / "src/notebooks/a b.ipynb")
    assert "only there.csv" in of_project[3]
    assert own.strip() == str(target / "data/results/lab")


def test_nobody_else_can_listen_to_a_kernel(lab: Laboratory, target: Path, job: str) -> None:
    code = "import os, time; print(os.getpid())  # --keep"
    with opened(lab, "remote-lab", "--no-browser") as page:
        pid = int(run_code(lab, page, "data/results/lab/kept.ipynb", code))
        assert pid in processes(target, job)
        # What is left takes the output of the kernel's own children, by a password.
        assert len(listening([pid])) <= 1
    folder = json.loads((target / ".remote/jobs" / job / "serving.json").read_text())["folder"]
    told = [json.loads(file.read_text()) for file in Path(folder).glob("kernel-*.json")]
    assert [each["transport"] for each in told] == ["ipc"]


def test_jupyterlab_in_a_browser(lab: Laboratory, target: Path, job: str, tmp_path: Path) -> None:
    (target / "data/results/lab/shown here.txt").write_text("hello")
    with opened(lab, "remote-lab", "--no-browser") as page:
        with browser.running(tmp_path / "profile") as chromium, chromium.page(page.url) as shown:
            shown.shows("shown here.txt")
            shown.shot(SHOTS / "remote-lab.png")


def test_what_is_saved_is_told_and_new_notebooks_are_pulled(
    lab: Laboratory, target: Path, job: str
) -> None:
    lab.write("src/notebooks/mine.ipynb", json.dumps(NOTEBOOK))
    lab.inv("sync-push")
    changed = json.loads(json.dumps(NOTEBOOK))
    changed["cells"][0]["source"] = "answer = 43"
    with opened(lab, "remote-lab", "--no-browser") as page:
        save(page, "src/notebooks/mine.ipynb", changed)
        save(page, "data/results/lab/new.ipynb")
        assert "answer = 43" in (target / "src/notebooks/mine.py").read_text()
        said = page.leave()
    assert "src/notebooks/mine.ipynb, src/notebooks/mine.py" in said and "--bring" in said
    lab.inv("sync-pull")
    assert (lab.root / "data/results/lab/new.ipynb").is_file()
    assert "# %%" in (lab.root / "data/results/lab/new.py").read_text()


def test_a_tunnel_that_breaks_is_opened_again(lab: Laboratory, job: str) -> None:
    with opened(lab, "remote-lab", "--no-browser") as page:
        Ssh("gpu", lab.env["REMOTE_SSH_CONFIG"]).close()
        page.hears("The tunnel is open again.")
        assert get(f"{page.base}/api/status", page.token)[0] == 200


def test_the_lab_is_no_run_and_its_runs_end_with_it(
    lab: Laboratory, target: Path, job: str
) -> None:
    code = (
        "import mlflow; run = mlflow.start_run(run_name='by hand'); print(run.info.run_id) #--keep"
    )
    with opened(lab, "remote-lab", "--no-browser") as page:
        run = run_code(lab, page, "data/results/lab/runs.ipynb", code).split()[-1]
        assert runs(target) == [(run, "RUNNING", "remote-gpu-workflow")]
        folder = json.loads((target / ".remote/jobs" / job / "serving.json").read_text())["folder"]
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        stopped = lab.inv("remote-lab", "--stop")
        page.hears("JupyterLab has ended: stopped")
        assert page.process.wait(30) == 0
    assert stopped.out == f"{job} stopped\n" and "--bring" in stopped.err
    [(ended, status, _)] = runs(target)
    assert ended == run and status != "RUNNING"
    assert not Path(folder).exists()
    none = lab.inv("remote-lab", "--stop", check=False)
    assert none.code == 2 and "is not running" in none.err


def runs(target: Path) -> list[tuple[str, str, str]]:
    """Id, status and experiment of every run in the target's store."""
    store = sqlite3.connect(target / "mlflow.db")
    query = (
        "SELECT r.run_uuid, r.status, e.name FROM runs r JOIN experiments e USING (experiment_id)"
    )
    found = store.execute(query).fetchall()
    store.close()
    return found


def test_what_was_saved_is_brought_before_a_push_replaces_it(lab: Laboratory) -> None:
    """The lab has ended, with what the test above saved in it."""
    refused = lab.inv("remote-lab", "--background", check=False)
    assert refused.code == 2 and "mine.ipynb" in refused.err and "--bring" in refused.err
    brought = lab.inv("remote-lab", "--bring")
    assert brought.out.splitlines() == ["src/notebooks/mine.ipynb", "src/notebooks/mine.py"]
    assert "answer = 43" in (lab.root / "src/notebooks/mine.ipynb").read_text()
    backup = re.findall(r"\.remote/backup/\S+/", brought.err)[0]
    assert json.loads((lab.root / backup / "src/notebooks/mine.ipynb").read_text()) == NOTEBOOK
    assert "Nothing was saved" in lab.inv("remote-lab", "--bring").err
    assert "mine" not in lab.inv("sync-push", "--dry-run").out


def test_two_at_once_start_one(lab: Laboratory, target: Path) -> None:
    started = [lab.start("remote-ui", "--background") for _ in range(2)]
    found = [each.communicate(timeout=240) for each in started]
    assert [each.returncode for each in started] == [0, 0], found
    assert found[0][0] == found[1][0]


def test_a_port_of_ones_own_choice(lab: Laboratory) -> None:
    port = free_port()
    with opened(lab, "remote-ui", "--no-browser", "--port", str(port)) as page:
        assert page.base == f"http://127.0.0.1:{port}"
        taken = lab.inv("remote-ui", "--no-browser", "--port", str(port), check=False)
        assert taken.code == 2 and f"Port {port} of this machine is in use" in taken.err
        page.leave()
    assert is_refused(f"http://127.0.0.1:{port}/")


def is_refused(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return True
    return False


def test_the_browser_is_opened_without_the_token_on_its_command_line(
    lab: Laboratory, tmp_path: Path
) -> None:
    script = tmp_path / "browser.py"
    script.write_text(
        "import sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1])\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(sys.argv[1] + ' ' + page.url)\n"
    )
    asked = f"{lab.bin / 'python'} {script} %s"
    with opened(lab, "remote-ui", BROWSER=asked) as page:
        until((tmp_path / "seen").exists)
        until(lambda: (tmp_path / "seen").read_text())
        typed, reached = (tmp_path / "seen").read_text().split()
        assert reached == page.url and not typed.startswith(page.base)
        # Whoever reads it there comes too late.
        until(lambda: is_refused(typed))


def test_the_ui_shows_the_targets_runs_on_no_port(
    lab: Laboratory, target: Path, tmp_path: Path
) -> None:
    job = lab.inv("remote-ui", "--background").out.strip()
    assert listening(processes(target, job)) == []
    with opened(lab, "remote-ui", "--no-browser") as page:
        with browser.running(tmp_path / "profile") as chromium:
            with chromium.page(f"{page.base}/#/experiments/1/runs") as shown:
                shown.shows("by hand", "runs.ipynb")
                shown.shot(SHOTS / "remote-ui.png")


EVENTS = """
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
import sys
writer = EventFileWriter(sys.argv[1])
value = Summary.Value(tag="loss", simple_value=0.5)
writer.add_event(Event(step=1, summary=Summary(value=[value])))
writer.close()
"""


def test_tensorboard_shows_the_targets_logs_on_no_port(lab: Laboratory, target: Path) -> None:
    lab.python("-c", EVENTS, str(target / "logs/first try"))
    job = lab.inv("remote-tensorboard", "--background").out.strip()
    assert listening(processes(target, job)) == []
    with opened(lab, "remote-tensorboard", "--no-browser") as page:
        until(lambda: "first try" in get(f"{page.base}/data/runs")[1])
        assert "loss" in get(f"{page.base}/data/plugin/scalars/tags")[1]


def test_the_commands_of_the_document_work(lab: Laboratory, sshd: PrivateSshd) -> None:
    """With MLflow's UI of the tests before."""
    reader = Researcher(lab, sshd, lab.env["TARGET_DIR"].partition(":")[2])
    reader.type(". .venv/bin/activate")
    reader.read("lab.md")


def test_an_environment_without_the_program_is_told(lab: Laboratory) -> None:
    extra = lab.root / "requirements-lab.lock"
    [one] = re.findall(r"^iniconfig==.*\n(?: .*\n)+", DEV_LOCK.read_text(), re.MULTILINE)
    (lab.root / "requirements.lock").write_text(one)
    extra.write_text("")
    done = lab.inv("remote-lab", "--no-browser", check=False)
    assert done.code == 2 and "JupyterLab did not start: failed" in done.err
    assert "This environment lacks jupyterlab" in done.err
    extra.unlink()
    gone = lab.inv("remote-lab", "--no-browser", check=False)
    assert gone.code == 2 and "The extra lab has no lock file requirements-lab.lock" in gone.err
