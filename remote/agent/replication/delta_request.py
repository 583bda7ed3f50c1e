"""What a pull asks for: the records that changed, after lost jobs were seen to.

A target has stores beside its own: file stores, and those that jobs made themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import IO, Dict, List, Optional, Tuple, Union

from remote.agent import unpulled
from remote.agent.job_folders import every, live
from remote.agent.job_state import state_of
from remote.agent.replication.compressed import compressed
from remote.agent.replication.gathered import gather, is_gathered
from remote.agent.target_dir import cache, root_of
from remote.agent.tracking.job_run import PLAIN, is_outside, noted_stores, store_of
from remote.agent.tracking.moved_target import mend_moved
from remote.errors import StoreError
from remote.files import is_absent, read_json, remove_left, try_lock, write_json
from remote.folders import mark_of
from remote.job.fields import MESSAGE
from remote.job.messages.base import AnswerWithFile
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.outputs import state_at
from remote.job.paths import STATE, JobPaths
from remote.job.status import ENDED
from remote.tracking.delta import file_mark
from remote.tracking.sources import source_of
from remote.tracking.store import NO_STORE, is_present

#: Where a delta is written when neither the target nor the home takes it.
ROOM = (Path("/tmp"), Path("/dev/shm"))

#: How SQLite says that the delta, and not the store, is the matter.
_NO_ROOM = re.compile("full|readonly|unable to open|I/O")


def delta(request: DeltaRequest) -> Union[DeltaAnswer, AnswerWithFile]:
    """What changed in a store; of the target's own, unless the request names another.

    With the target's own, its records are mended where it was moved, jobs that got lost are ended,
    those of jobs elsewhere are gathered, and the answer tells which jobs have ended, and which
    stores it has beside its own, also where its own can't be read.
    """
    root = root_of(request.key)
    if request.store:
        path = root / request.store
        if request.store not in _places(root)[0]:
            raise StoreError(f"{root} has no MLflow store {request.store}.")
        return _with_delta(DeltaAnswer(root=str(root)), request, root, path)
    moved = mend_moved(root)
    states = {name: state_at(root, name) for name in request.outputs}
    marks = {name: mark_of(root / name) for name in request.marked}
    answer = _state(root).replace(moved=moved, outputs=states, marks=marks)
    try:
        if not is_present(store_of(root)):
            return answer
        return _with_delta(answer, request, root, store_of(root))
    except (OSError, StoreError) as error:
        return answer.replace(fault=str(error))


def _state(root: Path) -> DeltaAnswer:
    """What a pull is told beside the records."""
    for paths in live(root):
        state_of(paths)
    # Whose end is not all written down has more to bring once it is.
    running = {paths.id for paths in live(root)}
    ended = tuple(paths.id for paths in every(root) if paths.id not in running)
    faults = _gather(root)
    ended = tuple(name for name in ended if name not in faults)
    texts = {name: unpulled.of_ended(JobPaths(root, name)) for name in ended}
    inside, outside = _places(root)
    return DeltaAnswer(
        root=str(root),
        ended=ended,
        unpulled={name: text for name, text in texts.items() if text},
        others=_marked(root, inside),
        outside=outside,
        fault="; ".join(faults.values())[:MESSAGE],
    )


def _gather(root: Path) -> Dict[str, str]:
    """What can't be gathered now, and why; without room, or the right to write, nothing is."""
    try:
        return gather(root)
    except OSError as error:
        return {"": f"records of jobs elsewhere can't be merged on the server: {error}"}


def _with_delta(
    answer: DeltaAnswer, request: DeltaRequest, root: Path, store: Path
) -> AnswerWithFile:
    """The answer with the delta of a store that is there; raises StoreError.

    It is written to the first folder that takes it, so that a full disk, or one that can't be
    written to, can still be pulled from.
    """
    source, fault = source_of(store), None
    if source is None:
        raise StoreError(f"{store} {NO_STORE}.")
    for folder in (root / STATE, cache(), *ROOM):
        lock = None if folder in ROOM else _lock(folder)
        file = folder / f"delta-{os.urandom(8).hex()}"
        try:
            source.write_delta(
                store, file, request.known, roots=[str(root)], registry=request.registry
            )
            answer = answer.replace(empty=False, size=os.stat(str(file)).st_size)
            return AnswerWithFile(answer, compressed(file) if request.compress else file, lock)
        except (OSError, StoreError) as error:
            fault = fault or error
            for part in folder.glob(f"{file.name}*"):
                part.unlink()
            if isinstance(error, StoreError) and not _NO_ROOM.search(error.message):
                break
    assert fault is not None
    raise fault


def _lock(folder: Path) -> Optional[IO[str]]:
    """The lock that all share who write deltas to a folder of ours; the first of them removes what
    those left that were killed."""
    with contextlib.suppress(OSError):
        lock = open(str(folder / "delta.lock"), "a")
        if try_lock(lock, fcntl.LOCK_EX):
            remove_left(folder, "delta-*")
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock
    return None


def _marked(root: Path, names: List[str]) -> Dict[str, Optional[str]]:
    """Stores with a mark that changes when the store does; None where only reading tells, as for a
    folder, and for what can't be read now: whoever asks for it is told why."""
    marks: Dict[str, Optional[str]] = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(OSError):
            marks[name] = file_mark(root / name)
    return marks


def _places(root: Path) -> Tuple[List[str], Tuple[str, ...]]:
    """The stores beside the target's own: paths below it, and what a pull can't bring."""
    places = [*(["mlruns"] if _may_be_store(root / "mlruns") else []), *_of_jobs(root)]
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
            made, is_sure = _of_job(paths)
            ended = ended and is_sure
        names += made
        if ended:
            after[paths.id] = made
    if after != before:
        # It only spares looks: without room, the next pull looks again.
        with contextlib.suppress(OSError):
            write_json(file, after)
    return [name for name in names if "://" in name or _may_be_there(root / name)]


def _of_job(paths: JobPaths) -> Tuple[List[str], bool]:
    """The stores that a job wrote to, and whether all that may be one could be looked at."""
    places, is_sure = [], True
    try:
        noted = [place for place in noted_stores(paths) if not is_gathered(paths, place)]
        others = _made_in(paths.code, paths.root)
    except OSError:
        return [], False
    for place in dict.fromkeys([*others, *noted]):
        try:
            if is_outside(place) or source_of(paths.root / place):
                places.append(place)
        except StoreError:
            # Whoever asks for one that runs went to is told why it can't be read.
            is_sure, places = False, places + [place] * (place in noted)
    return places, is_sure


def _may_be_store(path: Path) -> bool:
    try:
        return source_of(path) is not None
    except StoreError:
        return True


def _may_be_there(path: Path) -> bool:
    try:
        return not is_absent(path)
    except OSError:
        return True


def _made_in(code: Path, root: Path) -> List[str]:
    """What was pushed is in the target as well, and not of this job."""
    try:
        entries = sorted(os.scandir(str(code)), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    return [
        str((code / entry.name).relative_to(root))
        for entry in entries
        if not entry.is_symlink()
        and is_absent(root / entry.name)
        and (PLAIN.match(entry.name) or not entry.is_dir())
    ]
