"""`inv mlflow-push`: runs from here, in a target's store, with the models that jobs load there."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from remote.agent import environments
from remote.config import Project as Config
from remote.errors import StoreError, TransferError
from remote.job.messages.records import ArtifactFolder, TakeRequest
from remote.operations.tracking import push_runs
from remote.operations.tracking.conflict_list import listed
from remote.operations.tracking.conflict_list import resolve as resolve_conflicts
from remote.operations.tracking.pull_records import pull_records
from remote.operations.tracking.push_runs import PushedRuns
from remote.operations.tracking.select_runs import Selection
from remote.session import TargetSession
from remote.target import Target
from remote.tracking.revisions import schema_of
from scripts.sshd import PrivateSshd
from tests.conftest import ProjectFolder
from tests.kept import made_once, move, packages
from tests.migrations import warm_migrations
from tests.prefixes import make_prefix
from tests.stores import empty_store
from tests.tracking.merge.conftest import Project

pytestmark = pytest.mark.timeout(600)


class Desk:
    """A project here, with a store, and its target in a plain folder, or behind a wire."""

    def __init__(self, here: Project, far: Project, server: TargetSession) -> None:
        self.here, self.far, self.server = here, far, server

    def push(self, *words: str, dry_run: bool = False, **options: Any) -> PushedRuns:
        selection = Selection(words, **options)
        pushed = push_runs.push_runs(self.server, selection, dry_run=dry_run)
        assert self.here.broken_links() == [] and self.far.broken_links() == []
        return pushed

    def pull(self) -> Any:
        return pull_records(self.server)

    def quiet(self) -> None:
        """Nothing is new, nothing is a conflict."""
        before = self.here.dump()
        pulled = self.pull()
        assert pulled.summary.new_runs == pulled.summary.grown_runs == 0
        assert pulled.summary.conflicts == () and pulled.artifacts == []
        assert self.here.dump() == before

    def run(self, experiment: str = "mnist", *, child_of: str = "", text: str = "") -> str:
        """A run here, with one artifact where there is a text for it."""
        found = self.here.client.get_experiment_by_name(experiment)
        run = self.here.run(found.experiment_id if found else self.here.experiment(experiment))
        if child_of:
            self.here.client.set_tag(run, "mlflow.parentRunId", child_of)
        if text:
            self.here.client.log_text(run, text, "notes/it's a note.txt")
        return run


def desk(folder: Path, template: Path, target: str, far: Path, **settings: str) -> Desk:
    here = Project(folder / "it's here", template)
    there = Project(far, template)
    server = TargetSession.of(Config(here.root, settings), Target.parse(target))
    server.prepare(take_over=True)
    return Desk(here, there, server)


@pytest.fixture(autouse=True, scope="module")
def quick_migrations() -> Iterator[None]:
    with warm_migrations():
        yield


@pytest.fixture
def plain(tmp_path: Path, template: Path) -> Desk:
    """A target on this machine."""
    far = tmp_path / "there's one; 100% $(touch pwned)"
    return desk(tmp_path, template, str(far), far)


@pytest.fixture
def wired(tmp_path: Path, template: Path, sshd: PrivateSshd) -> Desk:
    """A target behind SSH."""
    name = f"given to {tmp_path.name}"
    settings = {"REMOTE_SSH_CONFIG": str(sshd.config)}
    return desk(tmp_path, template, f"gpu:{name}", sshd.home / name, **settings)


# A model trained here is loaded there

TRAIN = """
import sys, mlflow, mlflow.sklearn
from sklearn.linear_model import LinearRegression
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("trained")
with mlflow.start_run(run_name="teacher") as run:
    mlflow.log_param("lr", 0.5)
    for step in range(20):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    info = mlflow.sklearn.log_model(
        model, name="model", pip_requirements=[], serialization_format="cloudpickle"
    )
    with mlflow.start_run(nested=True, run_name="pupil"):
        mlflow.log_metric("loss", 0.0)
print(run.info.run_id, info.model_id)
"""

LOAD = """
import sys, mlflow.sklearn, mlflow.pyfunc
for uri in sys.argv[1:]:
    one = mlflow.sklearn.load_model(uri).predict([[2.0]])[0]
    other = mlflow.pyfunc.load_model(uri).predict([[3.0]])[0]
    print(f"predicted {one:.3f} {other:.3f}")
"""


def python(code: str, *words: str, root: Path, **env: str) -> list[str]:
    """What a Python program with this project's packages prints, run in `root`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=root,
        env={**os.environ, "_MLFLOW_SERVER_ARTIFACT_ROOT": str(root / "mlruns"), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def trained(root: Path) -> list[str]:
    """Have a project the store in which TRAIN was run; what it printed."""

    def make(folder: Path) -> None:
        empty_store(folder)
        (folder / "said").write_text(" ".join(python(TRAIN, root=folder)))

    kept = made_once("trained", (TRAIN, packages(Path(sys.executable).parent)), make)
    shutil.copytree(kept, root, dirs_exist_ok=True)
    move(root, str(kept), str(root))
    return (root / "said").read_text().split()


def test_a_model_trained_here_is_the_same_there(wired: Desk) -> None:
    here, far = wired.here, wired.far
    far.run(far.experiment("what has the number 1 there"))
    run, model = trained(here.root)
    pushed = wired.push("teacher")
    assert len(pushed.runs) == 2 and pushed.new_runs == 2 and pushed.models == (model,)
    assert pushed.model == f"runs:/{run}/model" and pushed.refused == ()
    (child,) = set(pushed.runs) - {run}
    one, other = far.client.get_run(run), here.client.get_run(run)
    assert one.data.to_dictionary() == other.data.to_dictionary()
    assert (one.info.start_time, one.info.end_time) == (other.info.start_time, other.info.end_time)
    assert [m.step for m in far.client.get_metric_history(run, "loss")] == list(range(20))
    assert far.client.get_run(child).data.tags["mlflow.parentRunId"] == run
    wired.quiet()


def test_a_job_there_starts_from_it(
    shared_project: ProjectFolder, shared_root: Path, tmp_path: Path
) -> None:
    """A colleague's is merged here first. Also where the target has an environment and no store yet."""
    project = shared_project
    run, model = trained(tmp_path / "colleague")
    project.inv("mlflow-merge", str(tmp_path / "colleague"))
    project.write("src/load.py", LOAD)
    project.inv("remote-setup")
    done = push(project, run[:8])
    assert "copied to" in done and f"load_model('runs:/{run}/model')" in done
    # Nothing there may need what is here.
    models = (project.root / "mlruns").rename(project.root / "gone")
    words = ["--", f"runs:/{run}/model", f"models:/{model}"]
    job = project.inv("remote-run", "--follow", "src/load.py", *words)
    assert job.out.count("predicted 5.000 7.000") == 2, job.text
    models.rename(project.root / "mlruns")
    again = json.loads(push(project, run, "--json"))
    assert again["new_runs"] == 0 and again["files"] == [] and again["runs"][0] == run


def push(project: ProjectFolder, *words: str, code: int = 0) -> str:
    """`inv mlflow-push`."""
    done = project.inv("mlflow-push", *words, check=False)
    assert done.code == code, done.text
    return done.out if "--json" in words else done.text


# What is selected


def test_a_run_goes_with_all_below_it_and_nothing_else(plain: Desk) -> None:
    parent = plain.run(text="parent")
    child = plain.run("elsewhere", child_of=parent, text="child")
    grandchild = plain.run(child_of=child)
    stranger = plain.run(text="stranger")
    pushed = plain.push(parent)
    assert set(pushed.runs) == {parent, child, grandchild}
    assert {run for (run,) in plain.far.sql("SELECT run_uuid FROM runs")} == set(pushed.runs)
    assert sorted(Path(name).name for name in pushed.files) == ["it's a note.txt"] * 2
    assert not list(plain.far.mlruns.rglob(stranger))
    assert pushed.without == (grandchild,)
    plain.quiet()


def test_an_experiment_gives_all_its_runs(plain: Desk) -> None:
    name = 'it\'s "one"; $(touch pwned)\n日本'
    runs = {plain.run(name), plain.run(name)}
    deleted = plain.run(name)
    plain.here.client.delete_run(deleted)
    plain.run("other")
    assert set(plain.push(experiment=name).runs) == runs
    assert plain.far.client.get_experiment_by_name(name) is not None
    assert not list(plain.far.root.parent.rglob("pwned"))


def test_words_name_runs(plain: Desk) -> None:
    run, twin = plain.run(), plain.run()
    for each in (run, twin):
        plain.here.client.update_run(each, name="twins")
    only = plain.run()
    hostile = "-x'; DROP TABLE runs; --\n$(touch pwned)"
    plain.here.client.update_run(only, name=hostile)
    for word in (only, only[:9], hostile):
        assert plain.push(word, dry_run=True).runs == (only,)
    for word, said in (
        ("twins", "2 runs are called 'twins'"),
        (only[:3], "No local run is called"),
        ("nothing", "No local run is called 'nothing'"),
        ("%", "No local run"),
        ("", "No local run"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            plain.push(word)
    with pytest.raises(StoreError, match="No run is named"):
        plain.push()
    with pytest.raises(StoreError, match="no local experiment 'x'"):
        plain.push(experiment="x")
    plain.here.client.delete_run(only)
    with pytest.raises(StoreError, match="is deleted locally") as caught:
        plain.push(only)
    assert "mlflow runs restore" in caught.value.hint
    assert plain.far.sql("SELECT 1 FROM runs") == []


def test_a_dry_run_tells_and_changes_nothing(plain: Desk) -> None:
    run = plain.run(text="four")
    here, far = plain.here.dump(), plain.far.dump()
    pushed = plain.push(run, dry_run=True)
    assert pushed.runs == (run,) and pushed.new_runs == 1 and pushed.bytes == len("four")
    assert [Path(name).name for name in pushed.files] == ["it's a note.txt"]
    assert (plain.here.dump(), plain.far.dump()) == (here, far)
    assert not list(plain.far.mlruns.rglob("*.txt"))
    plain.push(run)
    assert plain.push(run, dry_run=True).new_runs == 0


# Twice, and after changes on either side


def test_twice_changes_nothing(wired: Desk) -> None:
    run = wired.run(text="note")
    wired.push(run)
    before = (wired.here.dump(), wired.far.dump(), files(wired.far.root), files(wired.here.root))
    pushed = wired.push(run)
    assert pushed.new_runs == 0 and pushed.files == () and pushed.replaced == ()
    after = (wired.here.dump(), wired.far.dump(), files(wired.far.root), files(wired.here.root))
    assert after == before


def files(root: Path) -> dict[str, int]:
    """The artifacts below a project or target, with their times."""
    found = (path for path in (root / "mlruns").rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_both_sides_meet(plain: Desk) -> None:
    """What was changed there is pulled first, and what was changed here is pushed."""
    run = plain.run(text="note")
    plain.push(run)
    plain.far.client.set_tag(run, "there", "1")
    plain.far.client.log_text(run, "made there", "there.txt")
    plain.here.client.set_tag(run, "here", "2")
    plain.here.client.delete_tag(run, "colour")
    plain.here.log(run, range(3, 9))
    plain.push(run)
    for side in (plain.here, plain.far):
        tags = side.client.get_run(run).data.tags
        assert (tags["there"], tags["here"], "colour" in tags) == ("1", "2", False)
        assert len(side.client.get_metric_history(run, "loss")) == 9
        assert len(list(side.mlruns.rglob("*.txt"))) == 2
    plain.quiet()


def test_a_conflict_is_settled_first(plain: Desk) -> None:
    run, other = plain.run(), plain.run()
    plain.push(run, other)
    plain.far.client.set_tag(run, "colour", "green")
    plain.here.client.set_tag(run, "colour", "blue")
    far = plain.far.dump()
    for _ in range(2):
        with pytest.raises(StoreError, match="was changed both locally and on") as caught:
            plain.push(run)
        assert "inv mlflow-conflicts" in caught.value.hint and run in caught.value.message
    assert plain.far.dump() == far
    plain.push(other)
    config = plain.server.project
    resolve_conflicts(config, listed(config), theirs=False)
    plain.push(run)
    assert plain.far.client.get_run(run).data.tags["colour"] == "blue"
    plain.quiet()


class Meanwhile:
    """Changes something on the target each time before it takes what was sent."""

    def __init__(self, desk: Desk, change: Any, times: int) -> None:
        self.whole, self.change, self.left = desk.server.agent.call, change, times
        self.takes = 0

    def __call__(self, request: Any, **more: Any) -> Any:
        if isinstance(request, TakeRequest):
            self.takes += 1
            if self.left:
                self.left -= 1
                self.change(self.takes)
        return self.whole(request, **more)


def test_what_changes_there_meanwhile_is_pulled_and_kept(
    plain: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = plain.run()
    plain.push(run)
    plain.here.client.set_tag(run, "here", "2")

    def change(number: int) -> None:
        plain.far.client.set_tag(run, "there", str(number))

    meanwhile = Meanwhile(plain, change, 1)
    monkeypatch.setattr(plain.server.agent, "call", meanwhile)
    plain.push(run)
    assert meanwhile.takes == 2
    for side in (plain.here, plain.far):
        tags = side.client.get_run(run).data.tags
        assert (tags["there"], tags["here"]) == ("1", "2")
    meanwhile.left = 99
    far = plain.far.client.get_run(run).data.tags["there"]
    with pytest.raises(StoreError, match=f"changed each time meanwhile: {run}"):
        plain.push(run)
    assert plain.far.client.get_run(run).data.tags["there"] != far
    assert not list(plain.far.root.glob(".remote/incoming-*"))


def test_what_was_deleted_there_comes_back(plain: Desk) -> None:
    soft, hard = plain.run(text="soft"), plain.run(text="hard")
    plain.push(soft, hard)
    plain.far.client.delete_run(soft)
    plain.far.hard_delete(hard)
    plain.pull()
    # The pull deleted it here as well: who gives it then is told to restore it.
    with pytest.raises(StoreError, match="is deleted locally"):
        plain.push(soft)
    plain.here.client.restore_run(soft)
    plain.push(soft, hard)
    for run in (soft, hard):
        assert plain.far.client.get_run(run).info.lifecycle_stage == "active"
    assert plain.far.client.get_run(hard).data.params == {"lr": "0.1"}
    assert "remote.deleted_on" not in plain.here.client.get_run(hard).data.tags
    plain.quiet()
    # Deleted since the last pull: who gives it, means it.
    plain.far.client.delete_run(soft)
    plain.push(soft)
    assert plain.far.client.get_run(soft).info.lifecycle_stage == "active"
    assert plain.here.client.get_run(soft).info.lifecycle_stage == "active"
    plain.quiet()


# Cut off in between


@pytest.mark.parametrize("place", ["before it is taken", "after it is taken", "in the artifacts"])
def test_cut_off_the_next_push_does_the_rest(
    plain: Desk, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    run = plain.run(text="note")
    plain.pull()

    def cut(*words: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    def taken(request: Any, whole: Any = plain.server.agent.call, **more: Any) -> Any:
        if isinstance(request, TakeRequest) and place.startswith("before"):
            raise KeyboardInterrupt
        answer = whole(request, **more)
        return cut() if isinstance(request, TakeRequest) else answer

    with monkeypatch.context() as patch:
        if place == "in the artifacts":
            patch.setattr(push_runs.rsync_args, "give_argv", cut)
        else:
            patch.setattr(plain.server.agent, "call", taken)
        with pytest.raises(KeyboardInterrupt):
            plain.push(run)
    plain.push(run)
    assert [path.read_text() for path in plain.far.mlruns.rglob("*.txt")] == ["note"]
    assert plain.far.client.get_run(run).data.params == {"lr": "0.1"}
    names = [name for (name,) in plain.far.sql("SELECT name FROM experiments")]
    assert names == ["Default", "mnist"]
    assert not list(plain.far.root.glob(".remote/incoming-*"))
    assert not list(plain.here.root.glob(".remote/give-*"))
    plain.quiet()


# Artifacts


def note_of(project: Project, run: str) -> Path:
    return Path(project.client.get_run(run).info.artifact_uri) / "notes/it's a note.txt"


def test_a_file_that_differs_there_is_kept_in_a_backup(plain: Desk) -> None:
    run = plain.run(text="note")
    plain.push(run)
    note_of(plain.far, run).write_text("changed there")
    note_of(plain.here, run).write_text("changed here, and longer")
    pushed = plain.push(run)
    assert note_of(plain.far, run).read_text() == "changed here, and longer"
    assert len(pushed.replaced) == 1
    (kept,) = (plain.far.root / pushed.backup).rglob("*.txt")
    assert kept.read_text() == "changed there"
    assert str(kept).startswith(f"{plain.far.root}/.remote/backup/give-")


def test_artifacts_behind_a_link_are_kept_too(plain: Desk, tmp_path: Path) -> None:
    """A target's mlruns may be on another disk; `..` of it is somewhere else."""
    disk = tmp_path / "big/disk"
    disk.mkdir(parents=True)
    plain.far.mlruns.rmdir() if plain.far.mlruns.exists() else None
    plain.far.mlruns.symlink_to(disk)
    run = plain.run(text="note")
    plain.push(run)
    note_of(plain.far, run).write_text("changed there")
    note_of(plain.here, run).write_text("changed here, and longer")
    pushed = plain.push(run)
    assert note_of(plain.far, run).read_text() == "changed here, and longer"
    assert "mlruns" in pushed.backup
    kept = {path.read_text() for path in disk.rglob("*.txt")}
    assert kept == {"changed there", "changed here, and longer"}
    assert [path.name for path in tmp_path.glob("big/*")] == ["disk"]


def test_what_is_there_beside_it_stays(plain: Desk) -> None:
    run = plain.run(text="note")
    plain.push(run)
    more = note_of(plain.far, run).with_name("made there.txt")
    more.write_text("precious")
    plain.push(run)
    assert more.read_text() == "precious"


def test_artifacts_outside_of_the_project_stay_outside(plain: Desk, tmp_path: Path) -> None:
    run, child = plain.run(text="note"), plain.run(text="note")
    plain.here.client.set_tag(child, "mlflow.parentRunId", run)
    away = tmp_path / f"away/mlruns/1/{child}/artifacts"
    away.mkdir(parents=True)
    (away / "secret.txt").write_text("secret")
    plain.here.sql("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", str(away), child)
    pushed = plain.push(run)
    assert pushed.runs == (run,) and str(away) in pushed.refused[0]
    with pytest.raises(StoreError, match="aren't in this project's mlruns"):
        plain.push(child)
    link = note_of(plain.here, run).with_name("link.txt")
    link.symlink_to(away / "secret.txt")
    plain.push(run)
    assert not [path for path in plain.far.root.rglob("*.txt") if path.read_text() == "secret"]


def test_a_server_can_not_ask_for_other_files(plain: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other = plain.run(text="note"), plain.run("other", text="not for them")
    (plain.here.root / "data/artifacts").mkdir(parents=True)
    (plain.here.root / "data/artifacts/key").write_text("secret")
    not_mine = plain.here.client.get_run(other).info.artifact_uri
    whole = plain.server.agent.call

    def hostile(request: Any, **more: Any) -> Any:
        answer = whole(request, **more)
        if not isinstance(request, TakeRequest):
            return answer
        (pair,) = answer.artifacts
        pairs = (
            ArtifactFolder("data/artifacts", "mlruns/1/data/artifacts"),
            ArtifactFolder(os.path.relpath(not_mine, plain.here.root), pair.local),
            ArtifactFolder(pair.remote, pair.local.replace("mlruns", "../../x")),
            ArtifactFolder(pair.remote, "-e sh/" + pair.local),
        )
        return answer.replace(artifacts=pairs)

    monkeypatch.setattr(plain.server.agent, "call", hostile)
    assert plain.push(run).files == ()
    found = [path for path in plain.far.root.parent.rglob("*") if path.is_file()]
    texts = [path.read_text("utf-8", "replace") for path in found if path.suffix == ".txt"]
    assert not [path for path in found if path.name == "key" and "here" not in str(path)]
    assert texts.count("not for them") == 1


# Where it can't be done


def test_a_target_that_is_not_there_says_what_to_do(tmp_path: Path, template: Path) -> None:
    here = Project(tmp_path / "here", template)
    run = here.run(here.experiment("mnist"))
    server = TargetSession.of(Config(here.root, {}), Target.parse(str(tmp_path / "nowhere")))
    with pytest.raises(TransferError, match="does not exist yet") as caught:
        push_runs.push_runs(server, Selection((run,)))
    assert "make sync-push" in caught.value.hint
    server.prepare()
    (tmp_path / "nowhere/requirements.lock").write_text("")
    with pytest.raises(StoreError, match="no MLflow store yet") as caught2:
        push_runs.push_runs(server, Selection((run,)))
    assert "inv remote-setup" in caught2.value.hint


def test_without_a_store_here_there_is_nothing_to_give(plain: Desk) -> None:
    plain.here.store.unlink()
    with pytest.raises(StoreError, match="there is no run to copy"):
        plain.push("abcd")
    config = Config(plain.here.root, {"MLFLOW_TRACKING_URI": "https://me:secret@db/x"})
    server = TargetSession.of(config, plain.server.target)
    # Records that a pull exports to a server lie in the project's own store first.
    with pytest.raises(StoreError, match="there is no run to copy") as caught:
        push_runs.push_runs(server, Selection(("abcd",)))
    assert "secret" not in str(caught.value)


# The command


def test_the_command_tells_what_it_did(tmp_path: Path, template: Path) -> None:
    far = tmp_path / "there"
    made = desk(tmp_path, template, str(far), far)
    project = ProjectFolder(made.here.root, {"TARGET_DIR": str(far)})
    project.write("tasks.py", (Path(__file__).parents[2] / "tasks.py").read_text())
    name = "\x1b[31mred"
    run = made.run(text="note")
    made.here.client.update_run(run, name=name)
    said = push(project, run[:8], "--dry-run")
    assert f"copy    {run}" in said and "would copy to" in said and "1 run (1 new)" in said
    said = push(project, name)
    assert f"copied to {far}: 1 run (1 new), 1 artifact, " in said
    found = json.loads(push(project, run, "--json"))
    assert found["runs"] == [run] and found["new_runs"] == 0 and found["target"] == str(far)
    assert "No local run is called" in push(project, "\x1b[31mnone", code=2)
    assert "\x1b" not in push(project, "\x1b[31mnone", code=2)


# Into a store of another MLflow's schema


KNOWN = schema_of(Path(), Path(sys.executable)).known
#: The last schema in which a trace's name is a tag.
BEFORE_NAMES = KNOWN[KNOWN.index("75868b020152") - 1]


@pytest.fixture(scope="module")
def old_template() -> Path:
    """A folder with an empty store as an older MLflow makes it."""
    return made_once("old template", (BEFORE_NAMES, version("mlflow")), make_old)


def make_old(folder: Path) -> None:
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    url = f"sqlite:///{folder}/mlflow.db"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(url), BEFORE_NAMES)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage, creation_time)"
            " VALUES (0, 'Default', 'active', 1)"
        )


@pytest.fixture
def away(tmp_path: Path, template: Path) -> Desk:
    """A target on this machine. MLflow can't be installed below a folder with `%` in its name."""
    return desk(tmp_path, template, str(tmp_path / "it's away"), tmp_path / "it's away")


def replace_store(project: Project, template: Path) -> None:
    """Have its store be an empty one of that schema."""
    Project(project.root, template)


def traced(project: Project, name: str) -> str:
    """A run with a trace, written as any MLflow since 2.14 has it."""
    run, ms = os.urandom(16).hex(), 1_700_000_000_000
    project.sql(
        "INSERT INTO runs (run_uuid, name, user_id, status, start_time, lifecycle_stage,"
        " artifact_uri, experiment_id, source_type) VALUES"
        " (?, ?, 'ada', 'FINISHED', ?, 'active', ?, 0, 'LOCAL')",
        *(run, name, ms, f"{project.mlruns}/0/{run}/artifacts"),
    )
    trace = f"tr-{run}"
    project.sql(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status)"
        " VALUES (?, 0, ?, 5, 'OK')",
        *(trace, ms),
    )
    if project.sql("SELECT 1 FROM pragma_table_info('trace_info') WHERE name = 'trace_name'"):
        project.sql("UPDATE trace_info SET trace_name = ?", name)
    else:
        project.sql("INSERT INTO trace_tags VALUES ('mlflow.traceName', ?, ?)", name, trace)
    key = "mlflow.sourceRun"
    project.sql("INSERT INTO trace_request_metadata VALUES (?, ?, ?)", key, run, trace)
    return run


def environment_there(project: Project) -> None:
    """One that is ready, with the MLflow of the tests."""
    (project.root / "requirements.lock").write_text("mlflow\n")
    made = environments.of(project.root, project.root).folder
    make_prefix(made)
    (made / environments.COMPLETE).touch()


def test_without_an_environment_there_what_is_not_merged_is_said(
    away: Desk, old_template: Path
) -> None:
    replace_store(away.here, old_template)
    run = traced(away.here, "told by name")
    (away.far.root / "requirements.lock").write_text("mlflow\n")
    for _ in range(2):
        pushed = away.push(run, traces=True)
        assert pushed.runs == (run,) and away.far.client.get_run(run).info.run_name
        assert f"its schema ({BEFORE_NAMES}) is another than that of mlflow.db on the server" in (
            pushed.obstacle
        )
        assert pushed.obstacle.endswith("inv remote-setup")
    # With one, whose MLflow migrates them, the next push brings the rest.
    environment_there(away.far)
    pushed = away.push(run, traces=True)
    assert (pushed.runs, pushed.obstacle, pushed.left_out) == ((run,), "", ())
    assert away.far.sql("SELECT request_id, trace_name FROM trace_info") == [
        (f"tr-{run}", "told by name")
    ]


def test_an_older_store_there_is_named_with_how_it_gets_the_schema(
    away: Desk, old_template: Path
) -> None:
    replace_store(away.far, old_template)
    environment_there(away.far)
    run = traced(away.here, "told by name")
    before = away.here.dump()
    # The next pull would bring the trace without its name.
    with pytest.raises(StoreError, match="has no place for trace_info.trace_name") as caught:
        away.push(run, traces=True)
    assert away.far.sql("SELECT name FROM runs") == []
    pushed = away.push(run)
    assert pushed.runs == (run,) and away.here.dump() == before
    assert away.far.sql("SELECT name FROM runs") == [("told by name",)]
    command = f"inv remote-run --gpus 0 --no-record -- mlflow db upgrade sqlite:///{away.far.store}"
    assert pushed.obstacle.endswith(command) and caught.value.hint.endswith(f"{command}.")
