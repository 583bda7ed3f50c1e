"""`save_mlflow`, which a notebook calls when it is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

from . import source
from .items import DATA, Item, SaveError, data, items
from .models import KINDS, writer
from .run import Store, Wanted, recording

#: What MLflow takes in the name of a parameter or a metric.
NAME = re.compile(r"(?!/|\.\.?(/|\Z))[/\w.\- :]+")
#: Characters of an experiment's name, for MLflow.
LONGEST = 500


@dataclass(frozen=True)
class Saved:
    """What was recorded, and how to see it. `commit` is empty where it doesn't hold the notebook."""

    run_id: str
    experiment_id: str
    commit: str
    see: str


def save_mlflow(
    *,
    experiment_name: str,
    run_name: str | None = None,
    description: str | None = None,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    do_commit: bool = True,
    git_repo_dir: str | PathLike[str] | None = None,
    mlf_uri: str | None = None,
) -> Saved:
    """Commit the notebook that calls, and keep all that is given as one MLflow run.

    `dataset` and `result` are dicts of file names and texts, DataFrames (CSV) or paths, `model`
    one of file names and models. A name or a thing that can't be saved raises SaveError before
    anything is recorded or committed.
    """
    things = [
        *items("dataset", dataset, data, DATA),
        *items("model", model, writer, KINDS),
        *items("result", result, data, DATA),
    ]
    wanted = _wanted(experiment_name, run_name, description, params, metrics)
    store = Store(mlf_uri)
    experiment = store.experiment(experiment_name)
    _check_places(things, experiment.artifact_location)
    folder = None if git_repo_dir is None else Path(git_repo_dir).expanduser()
    code = source.found(folder, commit=do_commit, message=wanted.name or experiment_name)
    wanted = replace(wanted, tags={**wanted.tags, **code.tags})
    with recording(store, experiment, wanted) as run_id:
        for item in things:
            item.log(store.client, run_id)
    _tell(run_id, experiment_name, code, see := store.address(experiment.experiment_id, run_id))
    return Saved(run_id, experiment.experiment_id, code.commit if code.holds else "", see)


def _wanted(
    experiment: str,
    name: str | None,
    description: str | None,
    params: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None,
) -> Wanted:
    if not isinstance(experiment, str) or not 0 < len(experiment.strip()) <= LONGEST:
        raise SaveError(f"experiment_name must be a text of 1 to {LONGEST} characters.")
    return Wanted(
        name=None if name is None else " ".join(str(name).split()) or None,
        params={_named("params", key): str(value) for key, value in _pairs("params", params)},
        metrics={
            _named("metrics", key): _number(key, value) for key, value in _pairs("metrics", metrics)
        },
        tags={"mlflow.note.content": str(description)} if description else {},
    )


def _pairs(what: str, given: Mapping[str, Any] | None) -> Iterable[tuple[Any, Any]]:
    if not isinstance(given or {}, Mapping):
        raise SaveError(f"{what} must be a dict of names and values.")
    return (given or {}).items()


def _named(what: str, name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name) or normpath(name) != name:
        raise SaveError(
            f"{what}: {name!r} can't be a name. It may have letters, digits,"
            " _ - . : / and blanks, and must not look like a path to elsewhere."
        )
    return name


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise SaveError(f"metrics[{name!r}] must be one number, not a {type(value).__qualname__}.")


def _check_places(things: Sequence[Item], location: str) -> None:
    """A folder that holds the records themselves would be copied into itself."""
    records = Path(unquote(location.removeprefix("file://"))).resolve()
    for item in things:
        if item.source and records.is_relative_to(item.source.resolve()):
            raise SaveError(
                f"{item.folder}[{item.name!r}] is the folder {item.source}, where the records lie"
                " themselves. Name a folder or file in it."
            )


def _tell(run_id: str, experiment: str, code: source.Source, see: str) -> None:
    print(f"Saved as run {run_id} of the experiment {experiment!r}. To see it: {see}")
    if code.holds:
        print(f"{code.name} is in commit {code.commit[:10]} ({code.branch or 'no branch'}).")
    else:
        print(f"The notebook is not committed: {code.problem}.")
    if code.remark:
        print(f"{code.name}: {code.remark}")
