"""Sweeps as they are kept here, and what is sent for them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import Exit

from remote.config import Project
from remote.errors import ConnectError, JobError, NoAnswer
from remote.job.messages.jobs import StopAnswer, SubmitAnswer
from remote.job.spec import JobSpec, sweep_run
from remote.job.status import FINISHED
from remote.operations.jobs import sweep as sweeps
from remote.operations.jobs import sweep_jobs
from remote.operations.sweep_record import Sweep, SweepJob, find_sweep
from remote.session import TargetSession
from remote.target import Target
from remote.tasks.sweep_jobs import remove_sweep
from tests.agent.job_folder import IDS, add

JOBS = [JobSpec(kind="command", source="", name="it's train", arguments=(x,)) for x in "abc"]
VALUES = [{"x": x} for x in "abc"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project", {})


def servers(project: Project, tmp_path: Path) -> list[TargetSession]:
    return [TargetSession.of(project, Target.parse(str(tmp_path / name))) for name in ("a", "b")]


def kept(project: Project, *ids: str) -> None:
    for name in ids:
        job = SweepJob(target="gpu1", id="j1")
        sweep = Sweep(id=name, name="x", program="x", user="ada", submitted=1.0, jobs=(job,))
        sweep.write(project.state)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train-3f9a1c", "train-3f9a1c"),
        ("3f9a1c", "train-3f9a1c"),
        ("train", ""),
        ("9a1c", ""),
        ("", ""),
        ("../train-3f9a1c", ""),
        # Two have these letters.
        ("aaaaaa", ""),
        ("one-aaaaaa", "one-aaaaaa"),
    ],
)
def test_a_sweep_is_found_by_its_id_or_the_letters_at_its_end(
    project: Project, text: str, found: str
) -> None:
    kept(project, "train-3f9a1c", "one-aaaaaa", "two-aaaaaa")
    sweep = find_sweep(project.state, text)
    assert (sweep.id if sweep else "") == found


def test_its_parameters_are_its_owners_alone(project: Project) -> None:
    kept(project, "train-3f9a1c")
    file = project.state / "sweeps/train-3f9a1c.json"
    assert file.stat().st_mode & 0o077 == 0


def test_so_many_are_kept_and_no_more(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote.operations.sweep_record.KEPT", 2)
    kept(project, "c-000001", "a-000002", "b-000003")
    names = [path.stem for path in (project.state / "sweeps").iterdir()]
    assert sorted(names) == ["a-000002", "b-000003"]


def test_each_target_is_asked_once_for_all_its_jobs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = dict[str, list[JobSpec]]()

    def start_on(
        server: TargetSession, jobs: list[JobSpec], request: str, *, is_usual: bool
    ) -> SubmitAnswer:
        asked[Path(server.target.path).name] = jobs
        assert not is_usual and len(request) == 32
        ids = tuple(job.name for job in jobs)
        return SubmitAnswer(id=ids[0], ids=ids)

    monkeypatch.setattr(sweeps, "_start_on", start_on)
    a, b = servers(project, tmp_path)
    sweep, _ = sweeps.start(project, JOBS, VALUES, [a, b], lambda: [a, b, a])
    assert {name: [job.arguments for job in jobs] for name, jobs in asked.items()} == {
        "a": [("a",), ("c",)],
        "b": [("b",)],
    }
    assert [job.id for job in sweep.jobs] == [f"{sweep.id}-{number}" for number in (1, 2, 3)]
    assert [job.values for job in sweep.jobs] == VALUES
    assert asked["b"][0].parent_run == sweep_run(sweep.id)
    assert find_sweep(project.state, sweep.id) == sweep
    # Typed again, it is another one.
    assert sweeps.start(project, JOBS, VALUES, [a, b], lambda: [a, b, a])[0].id != sweep.id


def test_one_that_was_cut_off_goes_on_as_it_was_planned(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception | None] = [None, NoAnswer("The connection broke.")]
    requests = list[tuple[str, str]]()

    def start_on(
        server: TargetSession, jobs: list[JobSpec], request: str, **_: Any
    ) -> SubmitAnswer:
        requests.append((server.target.path, request))
        if server.target.path.endswith("b") and errors[1]:
            raise errors[1]
        ids = tuple(job.name for job in jobs)
        return SubmitAnswer(id=ids[0], ids=ids)

    monkeypatch.setattr(sweeps, "_start_on", start_on)
    a, b = servers(project, tmp_path)
    first, replies = sweeps.start(project, JOBS, VALUES, [a, b], lambda: [a, b, a])
    assert isinstance(replies[1].error, ConnectError)
    assert [bool(job.id) for job in first.jobs] == [True, False, True]
    # As a pull has it, once those that are known have ended.
    first.replace(ended=True).write(project.state)
    errors[1] = None
    # As at the end of its process: the error's frames hold what was pending.
    replies.clear()
    gc.collect()
    # Wherever it would go now.
    again, _ = sweeps.start(project, JOBS, VALUES, [a, b], lambda: [b, b, b])
    assert again.id == first.id and all(job.id for job in again.jobs) and not again.ended
    assert sorted(requests[:2]) == sorted(requests[2:])


def test_what_the_server_refused_begins_anew(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **named: Any) -> SubmitAnswer:
        raise JobError("It never has that.")

    monkeypatch.setattr(sweeps, "_start_on", refuse)
    a, b = servers(project, tmp_path)
    ids = {sweeps.start(project, JOBS, VALUES, [a], lambda: [a] * 3)[0].id for _ in range(2)}
    assert len(ids) == 2
    assert not list((project.state / "sweeps").iterdir())


def test_run_again_it_is_a_new_one_that_goes_on_where_it_broke_off(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = list[str]()

    def rerun(source: TargetSession, job: str, **named: Any) -> SubmitAnswer:
        if len(started) == 1:
            started.append("")
            raise NoAnswer("The connection broke.")
        started.append(job)
        return SubmitAnswer(id=f"again-{named['name']}")

    monkeypatch.setattr(sweeps, "rerun", rerun)
    a, _ = servers(project, tmp_path)
    label = a.target.label
    jobs = tuple(SweepJob(target=label, id=name) for name in ("j1", "j2"))
    old = Sweep(id="x-3f9a1c", name="x", program="x", user="u", submitted=1.0, jobs=jobs)
    old.write(project.state)
    first = sweeps.rerun_all(project, old, [a], resume=False)[0]
    assert [job.id for job in first.jobs] == [f"again-{first.id}-1", ""]
    first.replace(ended=True).write(project.state)
    again = sweeps.rerun_all(project, old, [a], resume=False)[0]
    assert [job.id for job in again.jobs] == [f"again-{again.id}-1", f"again-{again.id}-2"]
    assert started == ["j1", "", "j2"] and not again.ended
    assert sweeps.rerun_all(project, old, [a], resume=False)[0].id not in (old.id, again.id)


def test_run_again_a_dead_server_costs_its_jobs_alone_and_is_asked_once(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, dead = list[str](), {"b"}

    def rerun(source: TargetSession, job: str, **named: Any) -> SubmitAnswer:
        asked.append(job)
        if Path(source.target.path).name in dead:
            raise ConnectError("b can't be reached.")
        if job == "a1":
            raise JobError("There is no job 'a1' on this target.")
        return SubmitAnswer(id=f"again-{job}")

    monkeypatch.setattr(sweeps, "rerun", rerun)
    pair = servers(project, tmp_path)
    a, b = (each.target.label for each in pair)
    jobs = tuple(
        SweepJob(target=a if name[0] == "a" else b, id=name) for name in ("a1", "b1", "b2", "a2")
    )
    old = Sweep(id="x-3f9a1c", name="x", program="x", user="u", submitted=1.0, jobs=jobs)
    first, replies = sweeps.rerun_all(project, old, pair, resume=False)
    assert {reply.server.target.label: str(reply.error) for reply in replies} == {
        a: "There is no job 'a1' on this target.",
        b: "b can't be reached.",
    }
    assert asked == ["a1", "b1", "a2"] and [job.id for job in first.jobs] == [
        "",
        "",
        "",
        "again-a2",
    ]
    dead.clear()
    second = sweeps.rerun_all(project, old, pair, resume=False)[0]
    assert second.id == first.id and asked[3:] == ["a1", "b1", "b2"]
    assert [job.id for job in second.jobs] == ["again-b1", "again-b2", "again-a2"]


def test_run_again_it_has_those_jobs_that_can(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rerun(source: TargetSession, job: str, **named: Any) -> SubmitAnswer:
        if job == "gone":
            raise JobError("There is no job 'gone' on this target.")
        return SubmitAnswer(id=f"again-{named['name']}")

    monkeypatch.setattr(sweeps, "rerun", rerun)
    a, _ = servers(project, tmp_path)
    label = a.target.label
    jobs = tuple(SweepJob(target=label, id=name) for name in ("gone", "j2"))
    old = Sweep(id="x-3f9a1c", name="x", program="x", user="u", submitted=1.0, jobs=jobs)
    first, second = (sweeps.rerun_all(project, old, [a], resume=False)[0] for _ in range(2))
    # The second one is anew: nothing of the first is left to be started.
    assert [job.id for job in first.jobs] == [f"again-{first.id}-2"] and first.id != second.id


def test_what_is_there_of_a_sweep_is_stopped_and_removed_though_one_job_is_gone(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, _ = servers(project, tmp_path)
    a.prepare(take_over=True)
    jobs = tuple(SweepJob(target=a.target.label, id=name) for name in IDS[:2])
    sweep = Sweep(id="x-3f9a1c", name="x", program="x", user="u", submitted=1.0, jobs=jobs)
    paths = add(Path(a.target.path), IDS[1], state=FINISHED)
    (reply,) = sweep_jobs.stop(project, sweep)
    assert reply.answer and [job.id for job in reply.answer.stopped] == [IDS[1]]
    with pytest.raises(Exit, match="Not all"):
        remove_sweep(project, sweep, force=False)
    assert "was not pulled yet" in capsys.readouterr().err and paths.folder.is_dir()
    for _ in range(2):
        remove_sweep(project, sweep, force=True)
        assert not paths.folder.exists()
    assert sweep_jobs.stop(project, sweep)[0].answer == StopAnswer(stopped=())
