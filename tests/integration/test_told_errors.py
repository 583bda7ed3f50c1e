"""What is said to who makes a mistake, word by word: errors.txt beside this file is read by people.

Each mistake is typed on one target. After a change of words: pytest --rewrite-errors, then read what
differs. A line says what is wrong, the next one what to do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.api import Target
from remote.connection import Connection
from remote.errors import RemoteError
from remote.operations.sweep_record import Sweep, SweepJob
from tests.integration.farm import Farm, resident_farm
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(600)

FILE = Path(__file__).with_name("errors.txt")

#: Sections, in the order in which they are typed: what is made before, and the mistakes. `$ENDED` is
#: the id of a job that has ended, `$GOES` of one that goes on, `$RUN` that of a run.
MISTAKES: dict[str, tuple[Callable[[Farm], None] | None, str]] = {}


NAMES: dict[str, str] = {}

#: It holds a port of this machine.
BUSY = socket.socket()


def section(title: str, mistakes: str) -> Callable[[Callable[[Farm], None]], None]:
    """Have these mistakes be typed after the decorated function has run."""

    def add(prepare: Callable[[Farm], None]) -> None:
        MISTAKES[title] = prepare, mistakes

    return add


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
    "cells": [
        {
            "cell_type": "code",
            "id": "a",
            "metadata": {"tags": ["parameters"]},
            "source": 'epoch: int = 3\nlr = 0.1\nshuffle = True\nname = "x"\n',
            "outputs": [],
            "execution_count": None,
        }
    ],
}


@section(
    "Words",
    """
    remote-rnu
    logs
    sync-pul
    sync-push --dryrun
    sync-push -d
    remote-ps one two
    remote-run train.ipynb epochs=3
    remote-run train.ipynb -epoch 3
    remote-rm
    remote-diff
    remote-put
    mlflow-merge
    add
    sync-push remote-ps extra
    remote-logs last remote-rm x
    add ==
    remote-logs --tail
    remote-logs --tail=many
    remote-logs --tail -1
    remote-logs --since 10
    remote-logs --since soon
    remote-logs --follow=yes
    remote-stop last --all
    remote-rerun --lost --follow
    remote-prune --older 30
    remote-prune --older 0d
    remote-secrets --forget
    remote-secrets WORD
    mlflow-conflicts --theirs --ours
    ui --port 99999
    ui --port http
    mlflow-push nothing
    sync-pull --artifacts-max lots
    sync-pull --watch soon
    diary --edit
    remote-shell
    """,
)
def _(farm: Farm) -> None:
    farm.project.write("src/notebooks/train.ipynb", json.dumps(NOTEBOOK))
    farm.project.write("src/train.py", "print(1)\n")


@section(
    "Programs and their parameters",
    """
    run
    remote-run
    remote-run tarin.ipynb
    remote-run nothing
    remote-run nothing.py
    remote-run 'echo hi'
    remote-run src
    remote-run train.ipynb --shell 'echo hi'
    remote-run --shell 'echo hi' -- ls
    remote-run train.ipynb --epohc 3
    remote-run train.ipynb --epoch three
    remote-run train.ipynb --epoch
    remote-run train.ipynb --lr much
    remote-run train.ipynb --shuffle=maybe
    remote-run train.ipynb -- --epoch 3
    remote-run train.ipynb --output ../x
    remote-run src/train.py --lr 0.1
    remote-run src/train.py --entry-point main
    remote-run /etc/hostname.py
    remote-run broken.ipynb
    remote-run r.ipynb
    remote-run ml
    remote-run ml --entry-point none
    remote-run ml --entry-point train
    remote-run ml --alpha 1 -- more
    remote-run docker
    remote-run bad
    run train.ipynb --epoch three
    run train.ipynb --output ../x
    run train.ipynb --output $LONG
    remote-run ml/kinds.ipynb --mode slow
    remote-run $OUTSIDE
    """,
)
def _(farm: Farm) -> None:
    NAMES["OUTSIDE"] = str(farm.root.parent.parent / "outside.ipynb")
    Path(NAMES["OUTSIDE"]).write_text(json.dumps(NOTEBOOK))
    farm.project.write("src/notebooks/broken.ipynb", "{")
    other = {**NOTEBOOK, "metadata": {"kernelspec": {"name": "ir", "language": "R"}}}
    farm.project.write("src/notebooks/r.ipynb", json.dumps(other))
    entries = "main:\n    parameters: {alpha: float}\n    command: echo {alpha}\n"
    farm.project.write("ml/MLproject", f"name: a\nentry_points:\n  {entries}")
    farm.project.write("docker/MLproject", "name: a\ndocker_env: {image: x}\n")
    farm.project.write("bad/MLproject", "a: [\n")
    NAMES["LONG"] = "x" * 300
    cell = {**NOTEBOOK["cells"][0], "source": 'mode: Literal["fast", "exact"] = "fast"\n'}
    farm.project.write("ml/kinds.ipynb", json.dumps({**NOTEBOOK, "cells": [cell]}))


@section(
    "What a job is asked",
    """
    remote-run --gpus many -- true
    remote-run --gpus 1.5 -- true
    remote-run --gpus 99 -- true
    remote-run --gpus 0 --gpus-memory 20G -- true
    remote-run --gpus 0.5 --gpus-memory 20G -- true
    remote-run --gpus-memory 20 -- true
    remote-run --gpus-model H999 -- true
    remote-run --gpus-exclude 'a b' -- true
    remote-run --cpus 1000000 --gpus 0 -- true
    remote-run --timeout 8 -- true
    remote-run --timeout 0s -- true
    remote-run --timeout 9999w -- true
    remote-run --idle soon -- true
    remote-run --retries often -- true
    remote-run --env 1A=2 -- true
    remote-run --env A -- true
    remote-run --tag =b -- true
    remote-run --extra none -- true
    remote-run --cwd nowhere -- true
    remote-run --after nothing -- true
    remote-run --nodes 2 -- true
    remote-run --sbatch "'" -- true
    remote-sweep
    remote-sweep train.ipynb --lr 0.1,,0.2
    remote-sweep train.ipynb --epoch 1,two
    remote-sweep src/train.py --follow
    remote-sweep src/train.py -- --a 1,2,3,4,5,6,7,8,9,10,11 --b 1,2,3,4,5,6,7,8,9,10,11 --c 1,2,3,4,5,6,7,8,9,10
    remote-tensorboard --logdir ../x
    remote-ui --port 0
    remote-ui --port $BUSY
    remote-ui --stop --port 20001
    remote-ui --stop
    remote-lab --stop
    remote-lab --stop --background
    remote-lab --folder ../..
    """,
)
def _(farm: Farm) -> None:
    BUSY.bind(("127.0.0.1", 0))
    BUSY.listen()
    NAMES["BUSY"] = str(BUSY.getsockname()[1])


@section(
    "Targets and settings",
    """
    sync-push --target gpu1
    sync-push --target lab
    sync-push --target @host:x
    sync-push --target host:/
    sync-push --target host:
    sync-push --target host:../x
    sync-push --target host:~bob/x
    sync-push --target user@host
    sync-push --target [::1]
    sync-push --target -x:proj
    sync-push --target rsync://host/x
    sync-push --target host::module
    sync-push --target /
    sync-push --target .
    sync-push --target src
    sync-push --target /proc/none
    sync-push --target closed:proj
    sync-push --target nokey:proj
    remote-attach --target all
    remote-ps --target /proc/none/proj
    remote-ps nothing --target lab
    remote-gpus --target lab
    sync-pull --target lab
    remote-setup --target /proc/none
    remote-prune --target all --older 1d
    remote-put folder
    remote-put nothing.bin
    remote-put large.bin --to src
    remote-put large.bin --to ../x
    remote-put large.bin other/large.bin
    remote-put .env
    remote-put /dev/null
    remote-put large.bin --to data/sets/x --target linked
    remote-put sets --to data --target linked
    remote-run --target any --gpus 99 -- true
    sync-push --target both
    remote-code --target linked
    remote-secrets LD_PRELOAD
    remote-ps --target dead
    sync-push --target dead
    """,
)
def _(farm: Farm) -> None:
    farm.project.write("large.bin", "x")
    farm.project.write(".env", "")
    farm.project.write("other/large.bin", "x")
    farm.project.write("sets/x", "x")
    farm.project.write("ssh_config", "Host closed\nHostName 127.0.0.1\nPort 1\n")
    farm.project.env["REMOTE_SSH_CONFIG"] = str(farm.project.root / "ssh_config")
    toml = farm.project.root / "pyproject.toml"
    table = '[tool.remote.targets]\none = "/proc/none/one"\n[tool.remote.groups]\nlab = ["one"]\n'
    table = table.replace(
        "[tool.remote.groups]", 'c = "closed:x"\n[tool.remote.groups]\ndead = ["c"]'
    )
    place = farm.root.with_name("linked")
    links = f'dir = "{place}"\nlinks = {{ "data/sets" = "{farm.root.parent}" }}'
    table += f'both = ["linked", "c"]\n[tool.remote.targets.linked]\n{links}\n'
    toml.write_text(f"{toml.read_text()}\n{table}")


@section(
    "Jobs that are not there, or not so",
    """
    remote-logs nothing
    remote-ps nothing
    remote-wait nothing
    remote-rerun nothing
    remote-fetch nothing
    remote-diff nothing
    remote-stop nothing
    remote-rm nothing
    remote-logs sh
    remote-attach $ENDED
    remote-top
    remote-rm $ENDED
    remote-rm $GOES
    remote-fetch $ENDED none.txt
    remote-wait $ENDED
    remote-run --after $ENDED -- true
    remote-rerun $ENDED --resume --on /proc/none/proj
    remote-code $ENDED
    remote-rerun $SWEEP --follow
    remote-stop $SWEEP $ENDED
    remote-logs $SWEEP
    remote-run --after apart-000001 -- true
    remote-ps broken-000002
    remote-attach $GOES
    remote-rerun $GOES --on /proc/none/proj
    """,
)
def _(farm: Farm) -> None:
    NAMES["ENDED"] = farm.submit("exit 3", "--gpus", "0")
    NAMES["GOES"] = farm.submit(farm.wait, "--gpus", "0")
    words = ("src/train.py", "--gpus", "0", "--json", "--", "--lr", "1,2")
    NAMES["SWEEP"] = json.loads(farm.project.inv("remote-sweep", *words).out)["sweep"]
    farm.until(NAMES["ENDED"], "failed")
    farm.until(NAMES["GOES"], "running")
    state = farm.project.root / ".remote"
    jobs = tuple(SweepJob(target=name, id=NAMES["GOES"]) for name in ("gpu1", "gpu2"))
    Sweep("apart-000001", "apart", "train.py", "ada", 1.0, jobs).write(state)
    (state / "sweeps/broken-000002.json").write_text("{")
    (state / f"submitted/{NAMES['GOES']}.json").unlink()


@section(
    "Records",
    """
    mlflow-push
    mlflow-push nothing
    mlflow-push abc
    mlflow-push --experiment none
    mlflow-push twice
    mlflow-merge nowhere.db
    mlflow-merge mlflow.db
    mlflow-merge src
    mlflow-merge src/train.py
    mlflow-merge postgresql://u:secret@host/db
    mlflow-check nowhere.db
    mlflow-check src
    mlflow-check http://host
    mlflow-conflicts 7
    mlflow-push 22222222222222222222222222222222
    mlflow-push --experiment empty
    mlflow-merge old.db --artifacts none
    mlflow-merge sqlite://
    mlflow-merge file://elsewhere/mlruns
    remote-fetch 00000000
    mlflow-push late
    mlflow-push away
    """,
)
def _(farm: Farm) -> None:
    import sqlite3

    with sqlite3.connect(empty_store(farm.project.root)) as store:
        for number, stage in enumerate(("active", "active", "deleted")):
            store.execute(
                "INSERT INTO runs (run_uuid, name, experiment_id, status, start_time, lifecycle_stage)"
                " VALUES (?, 'twice', 0, 'FINISHED', ?, ?)",
                (f"{number}" * 32, 1_700_000_000_000 + number * 60_000, stage),
            )
        experiments = "INSERT INTO experiments (experiment_id, name, lifecycle_stage)"
        store.execute(f"{experiments} VALUES (7, 'empty', 'active'), (8, 'gone', 'deleted')")
        for run, name, experiment in (("3" * 32, "late", 8), ("4" * 32, "away", 0)):
            store.execute(
                "INSERT INTO runs (run_uuid, name, experiment_id, status, start_time,"
                " lifecycle_stage, artifact_uri) VALUES (?, ?, ?, 'FINISHED', 0, 'active', '/away')",
                (run, name, experiment),
            )
    shutil.copy(farm.project.root / "mlflow.db", farm.project.root / "old.db")


def setting(text: str) -> Callable[[Farm], None]:
    """A project whose .env has this text."""

    def write(farm: Farm) -> None:
        (farm.project.root / ".env").write_bytes(text.encode("utf-8", "surrogateescape"))

    return write


section("An .env that can't be right", "sync-push")(setting("TARGETDIR=gpu1:/x\n"))
section("An .env with an unknown setting", "sync-push")(setting("REMOTE_NOTFY=x\n"))
section("An .env whose quote isn't closed", "sync-push")(setting("TARGET_DIR='gpu1:/x\n"))
section("An .env that is no text", "sync-push")(setting("A=\udcff\n"))
section("A database as the destination", "sync-pull")(setting("MLFLOW_TRACKING_URI=mysql://h/d\n"))
section("A destination that is none", "sync-pull")(setting("MLFLOW_TRACKING_URI=ftp://h/d\n"))

TOMLS = {
    "no TOML": "[tool.remote",
    "an unknown key": '[tool.remote.targets.a]\ndir = "h:x"\ngpu = 1\n',
    "a number for a target": "[tool.remote.targets]\na = 3\n",
    "a text for all": '[tool]\nremote = "gpu"\n',
    "a text for a group": '[tool.remote.groups]\nlab = "a"\n',
    "no dir": "[tool.remote.targets.a]\ngpus = 1\n",
    "an unfit value": '[tool.remote.targets.a]\ndir = "h:x"\ngpus = "many"\n',
    "no address": '[tool.remote.targets]\na = "x"\n',
    "an unknown launcher": '[tool.remote.targets.a]\ndir = "h:x"\nlauncher = "pbs"\n',
    "two environments": '[tool.remote]\npython = "/a"\nimage = "x.sif"\n',
    "a group of nothing": '[tool.remote.groups]\nlab = ["a"]\n',
    "a group that is a target": '[tool.remote.targets]\na = "h:x"\n[tool.remote.groups]\na = ["a"]\n',
    "a name of the toolkit's": '[tool.remote.targets]\nall = "h:x"\n',
    "outputs that are code": '[tool.remote]\noutputs = ["src"]\n',
    "outputs outside": '[tool.remote]\noutputs = ["../x"]\n',
    "outputs that are no list": '[tool.remote]\noutputs = "out"\n',
}


def toml(text: str) -> Callable[[Farm], None]:
    """A project whose pyproject.toml has this text alone."""

    def write(farm: Farm) -> None:
        farm.project.write(".env", "")
        farm.project.write("pyproject.toml", text)

    return write


for _title, _text in TOMLS.items():
    section(f"pyproject.toml: {_title}", "sync-push --dry-run\nremote-ps --target a")(toml(_text))


@section("A store that is none", "mlflow-push nothing\nsync-pull")
def _(farm: Farm) -> None:
    farm.project.write("pyproject.toml", '[project]\nname = "a"\n')
    farm.project.write("mlflow.db", "This is no database, but a text of several words.\n" * 99)


@section("A store on a disk that isn't there", "mlflow-push nothing")
def _(farm: Farm) -> None:
    (farm.project.root / "mlflow.db").unlink()
    (farm.project.root / "mlflow.db").symlink_to("/away/mlflow.db")


@section(
    "From Python",
    """
    >>> Target().run()
    >>> Target().run("src/train.py", shell="ls")
    >>> Target().run(shell="ls", parameters={"lr": 1})
    >>> Target().run("src/train.py", arguments="--lr 1")
    >>> Target().run(shell="ls", gpu=1)
    >>> Target().run(shell="ls", timeout="8")
    >>> Target().run(shell="ls", env=["A"])
    >>> Target().records()
    >>> Target("all")
    >>> Target(project="data/results/theirs")
    >>> connect()
    """,
)
def _(farm: Farm) -> None:
    (farm.project.root / "mlflow.db").unlink()
    farm.project.write("data/results/theirs/tasks.py", "")


IGNORED = {"that empties the list": "!", "of many": "!*.pem", "in a kept folder": "!.ssh/id"}
for _title, _text in {**IGNORED, "with a NUL": "a\0b"}.items():

    def ignore(farm: Farm, text: str = _text) -> None:
        farm.project.write(".rsyncignore", f"{text}\n")

    section(f".rsyncignore: a line {_title}", "sync-push")(ignore)


@section("A project whose number is damaged", "sync-push")
def _(farm: Farm) -> None:
    farm.project.write(".rsyncignore", "")
    farm.project.write(".remote/id", "x")


def editor(text: str) -> Callable[[Farm], None]:
    """Somebody's EDITOR."""

    def name(farm: Farm) -> None:
        farm.project.env["EDITOR"] = text

    return name


section("An EDITOR that can't be read", "diary --edit")(editor("'vi"))
section("An EDITOR that isn't there", "diary --edit")(editor("/nowhere/vi"))


@section("Programs that aren't installed", "sync-push\nremote-ps --target host:x")
def _(farm: Farm) -> None:
    (farm.project.root / ".remote/id").unlink()
    farm.project.env["PATH"] = "/nowhere"


@section("No target", "sync-push\nremote-ps")
def _(farm: Farm) -> None:
    farm.project.write("pyproject.toml", "")
    del farm.project.env["TARGET_DIR"]
    (farm.project.root / ".remote/last-target").unlink()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with (
        pytest.MonkeyPatch.context() as patch,
        resident_farm(tmp_path_factory.mktemp("errors")) as made,
    ):
        for name in ("EDITOR", "VISUAL", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield made
        made.open_gate()


def test_every_mistake_is_told_in_these_words(farm: Farm, request: pytest.FixtureRequest) -> None:
    text = "\n".join(said(farm))
    if request.config.getoption("--rewrite-errors"):
        FILE.write_text(text, "utf-8")
    assert "Traceback" not in text
    assert text == FILE.read_text("utf-8"), "See the head of this file."


def said(farm: Farm) -> Iterator[str]:
    """The lines of errors.txt."""
    for title, (prepare, mistakes) in MISTAKES.items():
        if prepare:
            prepare(farm)
        yield f"# {title}\n"
        for line in filter(None, map(str.strip, mistakes.splitlines())):
            if line.startswith(">>> "):
                yield f"{line}\n{plain(farm, in_python(farm, line[4:]))}\n"
                continue
            words = [NAMES.get(word.removeprefix("$"), word) for word in shlex.split(line)]
            done = farm.project.inv(*words, check=False)
            told = plain(farm, done.err.strip()) or "(nothing)"
            yield f"$ inv {line}\n[{done.code}] {told}\n"


def in_python(farm: Farm, line: str) -> str:
    """The error of a line of Python that is typed in the project."""
    names = {"Target": Target, "connect": lambda: Connection(Target().session.target)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(farm.project.root)
        for name, value in farm.project.env.items():
            patch.setenv(name, value)
        try:
            eval(line, names)
        except RemoteError as error:
            return str(error)
    return "(nothing)"


def plain(farm: Farm, text: str) -> str:
    """The same, wherever and whenever it is said."""
    for name, job in NAMES.items():
        text = text.replace(job, f"${name}")
    places = {farm.project.root: "HERE", farm.root: "THERE", farm.root.parent.parent: "TMP"}
    for place, name in places.items():
        text = text.replace(str(place), name)
    text = re.sub(r"\b[0-9]{8}-[0-9]{6}-([a-z]+)-[0-9a-f]{4}\b", r"ID-\1", text)
    text = text.replace(os.uname().nodename, "SERVER")
    text = re.sub(r"[0-9.]+ k?B, [0-9.]+ s", "SIZE, TIME", text)
    # Who shares its empty stores with other tests finds that one of them has copied it before.
    text = text.replace("copying mlflow store to the server (once)\n", "")
    return re.sub(r"20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}", "DATE", text)
