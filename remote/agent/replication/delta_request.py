"""What a pull asks for: the records that changed, after lost jobs were seen to.

A target has stores beside its own: file stores, and those that jobs made themselves.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

from remote.agent import unpulled
from remote.agent.job_folders import every, live, state_of
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import PLAIN, is_outside, noted_stores, store_of
from remote.agent.tracking.moved_target import mend_moved
from remote.errors import StoreError
from remote.files import read_json, write_json
from remote.job.messages.base import AnswerWithFile
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.outputs import state_at
from remote.job.paths import STATE, JobPaths
from remote.job.status import ENDED
from remote.tracking.delta import file_mark
from remote.tracking.sources import source_of


def delta(request: DeltaRequest) -> Union[DeltaAnswer, AnswerWithFile]:
    """What changed in a store; of the target's own, unless the request names another.

    With the target's own, its records are mended where it was moved, jobs that got lost are ended,
    and the answer tells which jobs have ended, and which stores it has beside its own.
    """
    root = root_of(request.key)
    answer = DeltaAnswer(root=str(root))
    if request.store:
        path = root / request.store
        if request.store not in _places(root)[0]:
            raise StoreError(f"{root} has no MLflow store {request.store}.")
    else:
        path = store_of(root)
        answer = answer.replace(moved=mend_moved(root))
        running = {paths.id for paths in live(root) if state_of(paths).state not in ENDED}
        ended = tuple(paths.id for paths in every(root) if paths.id not in running)
        texts = {name: unpulled.of_ended(JobPaths(root, name)) for name in ended}
        texts = {name: text for name, text in texts.items() if text}
        inside, outside = _places(root)
        answer = answer.replace(
            ended=ended, unpulled=texts, others=_marked(root, inside), outside=outside
        )
        states = {name: state_at(root, name) for name in request.outputs}
        answer = answer.replace(outputs=states)
    source = source_of(path)
    if source is None and not request.store:
        return answer
    if source is None:
        raise StoreError(f"{path} isn't an MLflow store.")
    file = root / STATE / f"delta-{os.urandom(8).hex()}"
    source.write_delta(path, file, request.known, roots=[str(root)], registry=request.registry)
    file = _compressed(file) if request.compress else file
    return AnswerWithFile(answer.replace(empty=False), file)


def _compressed(file: Path) -> Path:
    """Rows repeat their words: even the fastest setting makes them a quarter as long."""
    packer = zlib.compressobj(1)
    packed = file.with_name(f"{file.name}.z")
    with open(str(file), "rb") as source, open(str(packed), "wb") as out:
        for part in iter(lambda: source.read(1 << 20), b""):
            out.write(packer.compress(part))
        out.write(packer.flush())
    file.unlink()
    return packed


def _marked(root: Path, names: List[str]) -> Dict[str, Optional[str]]:
    """Stores with a mark that changes when the store does; None where only reading tells, as for a
    folder."""
    paths = {name: root / name for name in names}
    return {name: None if path.is_dir() else file_mark(path) for name, path in paths.items()}


def _places(root: Path) -> Tuple[List[str], Tuple[str, ...]]:
    """The stores beside the target's own: paths below it, and what a pull can't bring."""
    places = [*(["mlruns"] if source_of(root / "mlruns") else []), *_of_jobs(root)]
    inside = [place for place in places if not is_outside(place)]
    return inside, tuple(dict.fromkeys(filter(is_outside, places)))


def _of_jobs(root: Path) -> List[str]:
    """The stores that jobs wrote to. Jobs that have ended are looked at once."""
    file = root / STATE / "stores.json"
    before: Dict[str, List[str]] = read_json(file) or {}
    after: Dict[str, List[str]] = {}
    names = []
    for paths in every(root):
        made = before.get(paths.id)
        # Before its folder is looked at: what it makes until it ends is still to be seen then.
        ended = made is not None or state_of(paths).state in ENDED
        if made is None:
            made = [*_made_in(paths.code, root), *noted_stores(paths)]
            made = [place for place in made if is_outside(place) or source_of(root / place)]
        names += made
        if ended:
            after[paths.id] = made
    if after != before:
        write_json(file, after)
    return [name for name in names if "://" in name or (root / name).exists()]


def _made_in(code: Path, root: Path) -> List[str]:
    """What was pushed is in the target as well, and not of this job."""
    try:
        entries = sorted(os.scandir(str(code)), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        str((code / entry.name).relative_to(root))
        for entry in entries
        if not entry.is_symlink()
        and not (root / entry.name).exists()
        and (PLAIN.match(entry.name) or not entry.is_dir())
    ]
