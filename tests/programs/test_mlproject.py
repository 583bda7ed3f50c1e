"""MLproject files: parameters become flags, what can't be read is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.parser.argument import Argument

from remote.errors import JobError, NotebookError, RemoteError
from remote.programs import mlproject
from remote.tasks.arguments import TaskParser

TEXT = """
name: cifar
entry_points:
  main:
    parameters:
      train_epochs: {type: float, default: 5}
      rate: {type: float, default: 1e-3}
      data: path
      where: {type: uri}
      note: {default: "it's"}
      empty: {type: string, default: ""}
      short: string
      day: {default: 2020-01-31}
      limit: {type: float, default: .inf}
    command: "python train.py {train_epochs}"
  other:
    command: "true"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "pipelines" / "cifar10"
    found.mkdir(parents=True)
    (found / "MLproject").write_text(TEXT)
    return found


@pytest.fixture
def project(folder: Path, tmp_path: Path) -> mlproject.Project:
    return mlproject.read(folder, tmp_path)


def test_parameters(project: mlproject.Project) -> None:
    assert project.path == Path("pipelines/cifar10")
    assert [(each.name, each.kind, each.default) for each in project.parameters] == [
        ("train_epochs", "float", "5"),
        # YAML 1.1 knows no such number: MLflow hands this text on too.
        ("rate", "float", "'1e-3'"),
        ("data", "str", ""),
        ("where", "str", ""),
        ("note", "str", '"it\'s"'),
        ("empty", "str", "''"),
        ("short", "str", ""),
        ("day", "str", "'2020-01-31'"),
        ("limit", "float", "'inf'"),
    ]
    assert project.required == ("data", "where", "short")
    texts = {"train_epochs": "5", "rate": "1e-3", "note": "it's", "empty": ""}
    assert project.defaults == {**texts, "day": "2020-01-31", "limit": "inf"}


@pytest.mark.mlflow
def test_the_defaults_are_what_mlflow_hands_over(project, folder, tmp_path) -> None:
    from mlflow.projects._project_spec import load_project

    theirs = load_project(str(folder)).get_entry_point("main")
    given = {"data": "d", "where": "http://x", "short": "s"}
    final, _ = theirs.compute_parameters(given, storage_dir=None)
    plain = {name: value for name, value in final.items() if name not in ("note", "empty")}
    ours = {name: value for name, value in {**project.defaults, **given}.items() if name in plain}
    assert ours == plain


def parser() -> TaskParser:
    return TaskParser("inv x", "", [Argument(names=("name",), positional=True)])


def test_values_stay_as_typed(project: mlproject.Project) -> None:
    call = parser().read(
        ["pipelines", "--train-epochs", "3", "--rate=1e-4", "--data", "a b", "--note="],
        lambda name: project,
    )
    assert call.parameters == {"train_epochs": "3", "rate": "1e-4", "data": "a b", "note": ""}


@pytest.mark.parametrize(
    ("typed", "kind", "words_"),
    [
        (["--train-epochs", "many"], NotebookError, "takes a number"),
        (["--train-epoch", "3"], JobError, "Did you mean train_epochs"),
        (["--nothing-like-it", "3"], JobError, "It takes train_epochs, rate"),
    ],
)
def test_what_does_not_fit(project, typed, kind, words_) -> None:
    with pytest.raises(kind) as error:
        parser().read(["p", *typed], lambda name: project)
    assert words_ in str(error.value)


def test_what_has_to_be_given(project: mlproject.Project) -> None:
    project.check({"data": "x", "where": "y", "short": ""})
    with pytest.raises(JobError, match="needs a value for where, short") as error:
        project.check({"data": "x"})
    assert error.value.hint == "Add --where VALUE --short VALUE"


def test_entry_points(project: mlproject.Project, folder: Path, tmp_path: Path) -> None:
    other = project.at("other")
    assert other.parameters == () and other.entry_points["other"] == ()
    with pytest.raises(JobError, match="It takes none"):
        other.parameter("x")
    assert project.at("") == project and project.at("scripts/x.py").parameters == ()
    assert mlproject.read(folder, tmp_path, "other") == other
    with pytest.raises(JobError, match="no entry point 'mian'") as error:
        project.at("mian")
    assert "main, other" in error.value.hint


def test_which_folders_are_projects(folder: Path, tmp_path: Path) -> None:
    assert mlproject.project_file(folder)
    (folder / "MLproject").rename(folder / "mlproject")
    assert mlproject.project_file(folder)
    for path in (tmp_path, folder / "mlproject", tmp_path / "none", Path("a\0b")):
        assert not mlproject.project_file(path)


@pytest.mark.parametrize(
    "text",
    ["entry_points: [", "- a", "x", "entry_points: 3", "entry_points: {main: 1}", "\0"]
    + ["entry_points: {main: {}}", "entry_points: {main: {command: 3}}"]
    + ["entry_points:\n  main:\n    parameters:\n    command: x"]
    + ["entry_points: {main: {command: x, parameters: {a: 3}}}", "!!python/object:os.system {}"],
)
def test_what_can_not_be_read(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "MLproject").write_text(text)
    with pytest.raises(JobError, match="can't be read as an MLproject file") as error:
        mlproject.read(folder, tmp_path)
    assert "\n" not in error.value.message


def test_more_that_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="outside of the project"):
        mlproject.read(folder, folder / "x")
    (folder / "MLproject").write_text("docker_env: {image: x}")
    with pytest.raises(JobError, match="Docker"):
        mlproject.read(folder, tmp_path)
    (folder / "MLproject").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RemoteError):
        mlproject.read(folder, tmp_path)
    (folder / "MLproject").write_text("name: empty")
    with pytest.raises(JobError, match="It has none"):
        mlproject.read(folder, tmp_path)
