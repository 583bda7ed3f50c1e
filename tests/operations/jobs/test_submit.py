"""What is asked of a job, before anything leaves this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from remote.config import Project
from remote.errors import ConfigError, JobError, NotebookError, TransferError
from remote.job.messages.jobs import PUSH, SubmitAnswer
from remote.job.spec import Git, JobSpec
from remote.operations.jobs import submit
from remote.operations.jobs.run_options import RunOptions
from remote.programs import notebook
from remote.programs.program import Command
from remote.target_settings import TargetSettings
from remote.transport.rsync_problems import Problem

TOML = '[project]\nname = "digits"\nrequires-python = ">=3.10"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "my proj"
    (root / "src/notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text(TOML)
    return Project(root, {})


def source(project: Project, *cells: str, name: str = "src/notebooks/train.ipynb") -> Any:
    """The notebook of these cells, the first one tagged `parameters`."""
    made = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"] if not i else []}, "source": text}
        for i, text in enumerate(cells)
    ]
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "metadata": {}, "cells": made}), "utf-8")
    return notebook.read(path, project.root)


def test_a_job_is_described(project: Project) -> None:
    found = source(project, "epoch = 3\nname = 'a'\nwhen = now()")
    job = submit.describe(project, found, {"epoch": 10})
    assert job.name == "train" and job.source == "src/notebooks/train.ipynb"
    assert job.parameters == {"epoch": 10}
    assert job.defaults == {"epoch": 3, "name": "a", "when": "now()"}
    assert job.experiment == "digits"
    assert (job.python, job.output, job.cwd) == (">=3.10", "train", "")
    assert job.git == Git() and job.user


@pytest.mark.parametrize(
    "default", ["{1, 2}", "b'x'", "1j", "...", "(1, {2})", "{(1, 2): 3}", "float('nan')", "-1"]
)
def test_any_default_can_be_written_down(project: Project, default: str) -> None:
    job = submit.describe(project, source(project, f"a = {default}"), {})
    assert JobSpec.from_json(json.loads(json.dumps(job.to_json())), "job").defaults == job.defaults


@pytest.mark.parametrize("value", ["日本 \n'\"$(x)", "-x", "", None, False, [1, {"a": None}], 1.5])
def test_parameters_are_written_down_as_they_are(project: Project, value: Any) -> None:
    job = submit.describe(project, source(project, "a = 1"), {"a": value})
    assert json.loads(json.dumps(job.to_json()))["parameters"] == {"a": value}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "train"),
        ("result.ipynb", "result"),
        ("result", "result"),
        ("a.b.ipynb", "a.b"),
        ("結果 1.ipynb", "結果 1"),
        ("exp/結果.ipynb", "exp/結果"),
        ("./a/b/../c", "a/c"),
    ],
)
def test_the_output_has_a_name_and_may_have_folders(
    project: Project, output: str, expected: str
) -> None:
    job = submit.describe(project, source(project, ""), {}, output=output)
    assert job.output == expected


@pytest.mark.parametrize(
    "output", ["x" * 250, "../x", "a/../../x.ipynb", "/tmp/x.ipynb", "..", ".", "exp/", ".ipynb"]
)
def test_an_output_that_can_not_be_is_refused(project: Project, output: str) -> None:
    """Else the job would run to its end, and its notebook could not be kept, or lie elsewhere."""
    with pytest.raises(NotebookError):
        submit.describe(project, source(project, ""), {}, output=output)


def test_a_notebook_outside_of_the_project_is_refused(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "else.ipynb"
    path.write_text(json.dumps({"cells": [], "metadata": {}}))
    with pytest.raises(NotebookError) as caught:
        submit.describe(project, notebook.read(path, project.root), {})
    assert "outside of the project" in caught.value.message


# The experiment


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        ("", ""),
        ("notebook", "src/notebooks"),
        ("src", "src"),
        ("./src/../src", "src"),
        (".", ""),
        ("src/notebook", "src/notebook"),
    ],
)
def test_a_job_runs_where_it_is_told(project: Project, typed: str, folder: str) -> None:
    (project.root / "src/notebook").mkdir(parents=True)
    job = submit.describe(project, source(project), {}, options=RunOptions(cwd=typed))
    assert job.cwd == folder


@pytest.mark.parametrize("typed", ["no-such-folder", "..", "/tmp", "src/notebooks/train.ipynb"])
def test_a_folder_that_is_none_of_the_projects_is_refused(project: Project, typed: str) -> None:
    with pytest.raises(JobError):
        submit.describe(project, source(project), {}, options=RunOptions(cwd=typed))


def test_what_a_server_would_refuse_is_refused_before_a_push(project: Project) -> None:
    for options, told in (
        (RunOptions(cpus=99999), "--cpus: a whole number from 0 to 65536"),
        (RunOptions(gpus=2000), "--gpus: a whole number from 0 to 1024"),
        (RunOptions(gpu_memory=1 << 41), "--gpus-memory: a whole number"),
        (RunOptions(gpu_model="A" * 300), "--gpus-model: it is longer than 256"),
        (RunOptions(gpu_exclude=("0", "9" * 200)), r"--gpus-exclude\[1\]: it is longer than 128"),
        (RunOptions(tags={"a": "b" * (2 << 20)}), r"--tag\['a'\]: it is longer"),
    ):
        with pytest.raises(JobError, match=told):
            submit.describe(project, source(project), {}, options=options)
    named = Project(project.root, {"MLFLOW_EXPERIMENT_NAME": "x" * 5000})
    with pytest.raises(JobError, match="^experiment: it is longer than 4096"):
        submit.describe(named, source(project), {})


def test_a_command_has_no_folder_of_its_own(project: Project) -> None:
    with pytest.raises(JobError, match="no folder 'notebook'"):
        submit.describe(project, Command(("true",)), {}, options=RunOptions(cwd="notebook"))


def test_a_notebook_in_another_language_is_refused(project: Project) -> None:
    path = project.root / "a.ipynb"
    kernel = {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}
    path.write_text(json.dumps({"nbformat": 4, "metadata": kernel, "cells": []}), "utf-8")
    with pytest.raises(NotebookError, match="a.ipynb is written in R, and jobs run"):
        submit.describe(project, notebook.read(path, project.root), {})


def experiment(project: Project, *cells: str, **given: Any) -> str:
    job = submit.describe(project, source(project, *cells), given)
    return job.experiment


def test_a_notebook_that_names_none_goes_to_the_projects(project: Project) -> None:
    assert experiment(project, "a = 1") == "digits"


def test_a_setting_comes_before_the_projects_name(project: Project) -> None:
    named = Project(project.root, {"MLFLOW_EXPERIMENT_NAME": "from .env"})
    assert experiment(named, "a = 1") == "from .env"


def test_what_a_notebooks_text_names_decides_nothing(project: Project) -> None:
    assert experiment(project, "", "mlflow.set_experiment('its own')") == "digits"


# pyproject.toml


@pytest.mark.parametrize(
    ("toml", "name", "python"),
    [
        (TOML, "digits", ">=3.10"),
        ("[project]\nname = 'single'\n", "single", ""),
        ("[project]\nname='tight'  # why\n", "tight", ""),
        ('[tool.x]\nname = "wrong"\n[project]\nname = "right"\n', "right", ""),
        ('[project]\n[tool.x]\nname = "wrong"\n', "my proj", ""),
        ('[project]\nclassifiers = [\n  "a",\n]\nname = "after a list"\n', "after a list", ""),
        ('[project]\r\nname = "windows"\r\n', "windows", ""),
        ('[project]  # the project\nname = "commented"\n', "commented", ""),
        ('[ project ]\nname = "blanks"\n', "blanks", ""),
        ('[project]\n  name = "indented"\n', "indented", ""),
        ('[project.urls]\nname = "wrong"\n', "my proj", ""),
        ("", "my proj", ""),
    ],
)
def test_the_projects_name_and_python(project: Project, toml: str, name: str, python: str) -> None:
    (project.root / "pyproject.toml").write_bytes(toml.encode())
    job = submit.describe(project, Command(("true",)), {})
    assert (job.project, job.python) == (name, python)


@pytest.mark.parametrize("content", [b"\xff\xfe[project]\nname = 'x'\n", b"not toml at all"])
def test_a_pyproject_that_is_no_toml_is_no_bug(project: Project, content: bytes) -> None:
    (project.root / "pyproject.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="pyproject.toml can't be read"):
        submit.describe(project, Command(("true",)), {})


def test_without_pyproject_the_folder_names_the_project(tmp_path: Path) -> None:
    job = submit.describe(Project(tmp_path, {}), Command(("true",)), {})
    assert (job.project, job.python) == (tmp_path.name, "")


def test_what_was_typed_goes_before_what_a_target_has() -> None:
    settings = TargetSettings(gpus=2, extras=("torch", "text"))
    job = JobSpec(kind="script", source="a.py", name="a")
    assert submit.with_settings(job, settings) == job.replace(gpus=2, extras=("torch", "text"))
    typed = job.replace(gpus=0, extras=("text", "lab"))
    assert submit.with_settings(typed, settings).gpus == 0
    assert submit.with_settings(typed, settings).extras == ("torch", "text", "lab")
    settings = TargetSettings(gpus_exclude=("0",), cpus=4)
    told = submit.with_settings(job.replace(gpu_exclude=("3",)), settings)
    assert (told.gpu_exclude, told.cpu_slots) == (("0", "3"), 4)
    assert submit.with_settings(typed, TargetSettings()) == typed
    settings = TargetSettings(sbatch=("--partition=gpu",))
    told = submit.with_settings(job.replace(sbatch=("-p", "long")), settings)
    assert told.sbatch == ("--partition=gpu", "-p", "long")


def test_what_all_targets_have_is_left_out_where_it_can_not_be() -> None:
    settings = TargetSettings(
        extras=("torch",), environment="python", python="/x", sbatch=("-p", "gpu"), launcher="tmux"
    )
    job = JobSpec(kind="script", source="a.py", name="a")
    told = submit.with_settings(job, settings)
    assert (told.extras, told.sbatch) == ((), ())
    # What was typed is left for the server to refuse.
    told = submit.with_settings(job.replace(extras=("lab",), sbatch=("-p", "long")), settings)
    assert (told.extras, told.sbatch) == (("lab",), ("-p", "long"))


def test_a_targets_environment_goes_with_the_job() -> None:
    job = JobSpec(kind="script", source="a.py", name="a", environment="uv", environment_source="/x")
    setup = ("module load cuda",)
    settings = TargetSettings(environment="python", python="conda:torch", setup=setup)
    there = submit.with_settings(job, settings)
    assert (there.environment, there.environment_source) == ("python", "conda:torch")
    assert there.setup == setup
    # One that has none takes none of another target's.
    there = submit.with_environment(there, TargetSettings())
    assert (there.environment, there.environment_source, there.setup) == ("", "", ())


def test_where_others_push_all_the_time_it_is_given_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = mock.Mock(files=mock.Mock(problems=()))
    monkeypatch.setattr(submit, "push_locked", lambda *words, **more: pushed)
    monkeypatch.setattr(submit, "line", lambda *words: "pushed")
    submission = mock.Mock()
    submission.server.project = project
    submission.server.settings.links, submission.server.facts.undecided = {}, None
    submission.ask.return_value = SubmitAnswer(need=PUSH)
    job = JobSpec(kind="command", source="", name="a")
    with pytest.raises(JobError, match="is pushed to all the time") as told:
        submit.push_until_accepted(submission, job)
    assert submission.ask.call_count == submit.TRIES and "--target" in told.value.hint


def test_no_job_starts_on_a_part_of_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem("src/a.py", "it can't be read")
    pushed = mock.Mock(files=mock.Mock(problems=(problem,)))
    monkeypatch.setattr(submit, "push_locked", lambda *words, **more: pushed)
    monkeypatch.setattr(submit, "line", lambda *words: "pushed")
    with pytest.raises(TransferError, match="1 path could not be pushed, so nothing was started"):
        submit.push_until_accepted(mock.Mock(), JobSpec(kind="command", source="", name="a"))
    assert "src/a.py" in capsys.readouterr().err
