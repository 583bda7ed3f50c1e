"""Runs that somebody gives to a target: the merge of a pull, run there, into the target's store."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from remote.agent import environments
from remote.agent.jobs.submit import INCOMING
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import ARTIFACTS, make_store, store_of
from remote.agent.worker.variables import base as variables
from remote.errors import StoreError, TargetError
from remote.files import locked
from remote.job.paths import STATE
from remote.tracking.delta import signatures_of
from remote.tracking.merge import experiment_map, merge
from remote.tracking.merge.plan_experiments import Link
from remote.tracking.merge.summary import ArtifactFolder, MergeSummary, total
from remote.tracking.store import is_store

RUNS = "runs.db"
REGISTRY = "registry.db"

_NAME = re.compile(r"([0-9a-f]{32})[0-9a-f]{16}\Z")


def take(
    *,
    key: str,
    name: str,
    source: str,
    seen: Mapping[str, Mapping[str, str]],
    known: Sequence[Mapping[str, Any]],
    registry: bool = False,
    python: str = "",
) -> Dict[str, Any]:
    """Merges the deltas that lie in the folder `name` (a project's id, and a number of its own).

    `seen` are the things that the deltas hold, by kind and id, with the signature under which the
    giver last saw each; those that are another now come back as `changed`, and nothing is done.
    `known` are the links between experiments as of then, `links` in the answer as of now.
    """
    root = root_of(key)
    folder = _incoming(root, name)
    try:
        with locked(root / STATE / "take.lock"):
            _ensure_store(root, python)
            changed = _changed(store_of(root), seen)
            if changed:
                return {"changed": changed}
            return _take(root, folder, source, [Link(**each) for each in known], registry)
    finally:
        _forget(root, name)


def _incoming(root: Path, name: str) -> Path:
    folder = root / STATE / (INCOMING + name)
    if not _NAME.match(name) or not (folder / RUNS).is_file():
        raise TargetError("What was sent did not arrive.", "Try again.")
    return folder


def _forget(root: Path, name: str) -> None:
    """Also what pushes of the same project left that were cut off; it pushes one at a time."""
    for folder in (root / STATE).glob(f"{INCOMING}{name[:32]}*"):
        shutil.rmtree(str(folder), ignore_errors=True)


def _ensure_store(root: Path, python: str) -> None:
    if is_store(store_of(root)):
        return
    env = environments.of(root, root, python)
    if not env.is_ready():
        raise StoreError(
            "The target has no MLflow store yet, nor an environment whose MLflow could make one.",
            "Make the environment first: inv remote-setup",
        )
    if not make_store(root, env.python, variables(env.python)):
        raise StoreError(
            "The target has no MLflow store, and mlflow is not in the lock file.",
            "Add mlflow to the project's dependencies, lock them, then: inv remote-setup",
        )


def _changed(store: Path, seen: Mapping[str, Mapping[str, str]]) -> List[str]:
    """What is here otherwise than it was seen; what is gone can't be harmed."""
    now = signatures_of(store, {kind: list(ids) for kind, ids in seen.items()})
    return [
        identity
        for kind, signatures in now.items()
        for identity, signature in signatures.items()
        if seen[kind][identity] != signature
    ]


def _take(
    root: Path, folder: Path, source: str, known: Sequence[Link], registry: bool
) -> Dict[str, Any]:
    store, base = store_of(root), folder / "base.db"
    experiment_map.learn(base, store, known, source=source)

    def merged(file: str, agreed: bool) -> MergeSummary:
        return merge(
            folder / file,
            store=store,
            artifact_root=root / ARTIFACTS,
            base=base,
            source=source,
            agreed=agreed,
        )

    summary = merged(RUNS, agreed=True)
    if registry:
        # Nobody has seen the registered models that are here: what differs stays as it is.
        summary = total(summary, merged(REGISTRY, agreed=False))
    folders = set(summary.artifacts)
    return {
        "summary": json.loads(json.dumps(asdict(summary), default=str)),
        "artifacts": sorted((each.remote, each.local) for each in folders),
        "plain": _make_room(root, folders),
        "links": [asdict(link) for link in experiment_map.for_the_other_side(base, store)],
    }


def _make_room(root: Path, folders: Iterable[ArtifactFolder]) -> bool:
    """Makes what the folders of runs and models lie in; False where a link leads to one of those."""
    made = {(root / each.local).parent.parent for each in folders}
    for path in made:
        path.mkdir(parents=True, exist_ok=True)
    return all(os.path.realpath(str(path)) == str(path) for path in made)
