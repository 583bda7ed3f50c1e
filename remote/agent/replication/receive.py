"""Runs that somebody gives to a target: the merge of a pull, run there, into the target's store."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Optional, Tuple

from remote.agent import environments
from remote.agent.jobs.submit import INCOMING
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import ON_TARGET, make_store, store_of
from remote.agent.worker.variables import base as variables
from remote.errors import JobError, StoreError, TargetError
from remote.files import locked
from remote.job.messages.records import ArtifactFolder, TakeAnswer, TakeRequest
from remote.job.paths import ARTIFACTS, STATE
from remote.tracking import migration
from remote.tracking.delta import refuse_strange, signatures_of
from remote.tracking.merge import experiment_map, merge, total
from remote.tracking.store import is_present

RUNS = "runs.db"
REGISTRY = "registry.db"


def take(request: TakeRequest) -> TakeAnswer:
    """Merge the deltas that were sent, unless what they replace was changed here meanwhile."""
    root, name = root_of(request.key), request.name
    folder = root / STATE / (INCOMING + name)
    if not (folder / RUNS).is_file():
        raise TargetError("What was sent did not arrive.", "Try again.")
    try:
        with locked(root / STATE / "take.lock", "another mlflow-push"):
            _ensure_store(root, request.python)
            seen = request.seen
            now = signatures_of(store_of(root), {kind: list(ids) for kind, ids in seen.items()})
            # What is gone can't be harmed.
            changed = [
                identity
                for kind, signatures in now.items()
                for identity, signature in signatures.items()
                if seen[kind][identity] != signature
            ]
            return TakeAnswer(changed=tuple(changed)) if changed else _take(root, folder, request)
    finally:
        # Also what pushes of the same project left that were cut off; it pushes one at a time.
        for folder in (root / STATE).glob(f"{INCOMING}{name[:32]}*"):
            shutil.rmtree(str(folder), ignore_errors=True)


def _ensure_store(root: Path, python: str) -> None:
    if is_present(store_of(root)):
        return
    try:
        env = environments.of(root, root, python)
    except JobError:
        # Its jobs have an environment that others made: a copy of an empty store will do.
        interpreter = Path(sys.executable)
        if not make_store(root, interpreter, variables(interpreter)):
            raise StoreError(
                "The target has no MLflow store yet.", "Its first job makes one: inv remote-run"
            ) from None
        return
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


def _migrate(folder: Path, root: Path, python: str) -> str:
    """Bring deltas of an older MLflow to the schema of the store, where the environment can; why
    not, where it can't."""
    interpreter: Optional[Path] = None
    with suppress(JobError):
        environment = environments.of(root, root, python)
        interpreter = environment.python if environment.is_ready() else None
    fit = partial(
        migration.fit,
        store=store_of(root),
        python=interpreter,
        env=variables(interpreter) if interpreter else {},
        on_target=ON_TARGET,
    )
    obstacles = map(fit, filter(Path.is_file, (folder / RUNS, folder / REGISTRY)))
    return next(filter(None, list(obstacles)), "")


def _refuse_loss(left_out: Tuple[str, ...], obstacle: str) -> None:
    """Raise StoreError where traces would lose something: the next pull would bring them so."""
    lost = [name for name in left_out if name.startswith(("trace", "span", "assessment"))]
    if lost:
        raise StoreError(f"The target's store has no place for {', '.join(lost)}.", f"{obstacle}.")


def _take(root: Path, folder: Path, request: TakeRequest) -> TakeAnswer:
    store, base = store_of(root), folder / "base.db"
    experiment_map.learn(base, store, request.known, source=request.source)
    into = partial(
        merge, store=store, artifact_root=root / ARTIFACTS, base=base, source=request.source
    )
    for name in (RUNS, REGISTRY)[: 1 + request.registry]:
        refuse_strange(folder / name)
    obstacle = _migrate(folder, root, request.python)
    if obstacle:
        _refuse_loss(into(folder / RUNS, agreed=True, dry_run=True).left_out, obstacle)
    summary = into(folder / RUNS, agreed=True)
    if request.registry:
        # Nobody has seen the registered models that are here: what differs stays as it is.
        summary = total(summary, into(folder / REGISTRY, agreed=False))
    pairs = sorted({(folder.remote, folder.local) for folder in summary.artifacts})
    # What the folders of runs and models lie in.
    room = {(root / local).parent.parent for _, local in pairs}
    for path in room:
        path.mkdir(parents=True, exist_ok=True)
    return TakeAnswer(
        new_runs=summary.new_runs,
        refused=summary.refused,
        left_out=summary.left_out,
        obstacle=obstacle,
        artifacts=tuple(ArtifactFolder(*pair) for pair in pairs),
        plain=all(os.path.realpath(str(path)) == str(path) for path in room),
        links=tuple(experiment_map.for_the_other_side(base, store)),
    )
