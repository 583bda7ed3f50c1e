"""Several jobs by one request: the first is started as any, the others on the same code."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import List, Sequence, Tuple

from remote.agent import launchers
from remote.agent.jobs import submit as single
from remote.agent.jobs.accept import accepted, cleared
from remote.agent.target_dir import root_of
from remote.errors import JobError, RemoteError
from remote.job.messages.jobs import SubmitAnswer, SubmitRequest
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec, read_job


def submit(request: SubmitRequest) -> SubmitAnswer:
    """Start all jobs that are asked for, or say what has to be done first; raises JobError where not
    even the first could be started.

    Asked again with the same id, it starts those that are lacking.
    """
    answer = single.submit(request)
    return _start_others(root_of(request.key), request, answer) if answer.id else answer


def _start_others(root: Path, request: SubmitRequest, answer: SubmitAnswer) -> SubmitAnswer:
    if not request.more:
        return answer
    first, ids, problem = JobPaths(root, answer.id), [answer.id], ""
    after = read_job(first.folder).after
    others = [
        # As the server knows the first one's by its own.
        (spec.replace(after=after), _digest(f"{request.request} {number}"))
        for number, spec in enumerate(request.more, 1)
    ]
    try:
        launched = launchers.read(first, None)
        if launched and launched.launcher in launchers.SEVERAL:
            ids += _start_together(root, request, first, launched.launcher, others)
        else:
            for spec, own in others:
                ids.append(_start(root, request, first, spec, own))
    except (RemoteError, OSError) as error:
        # Those that were started run: who asked is told of them, as on a disk that is full by now.
        problem = str(error)
    return answer.replace(ids=tuple(ids), problem=problem)


def _digest(text: str) -> str:
    # Most requests are for one job.
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _start_together(
    root: Path,
    request: SubmitRequest,
    first: JobPaths,
    launcher: str,
    others: Sequence[Tuple[JobSpec, str]],
) -> List[str]:
    """Start all of the others that were not started before at once, or none; the ids of all."""
    ids, new, workers = [], [], []
    with contextlib.ExitStack() as unfinished:
        for spec, own in others:
            paths, is_new = accepted(root, spec, own)
            ids.append(paths.id)
            if is_new:
                unfinished.enter_context(cleared(paths))
                new.append(paths)
                workers.append(single.prepare(paths, request))
                with single.sharing(paths, first, spec.outputs):
                    pass
        launchers.start_several(new, launcher, workers, request.launcher_setting)
    return ids


def _start(root: Path, request: SubmitRequest, first: JobPaths, spec: JobSpec, own: str) -> str:
    """Start one of the others, unless that was done; its id."""
    paths, is_new = accepted(root, spec, own)
    if is_new:
        launched = launchers.read(first, None)
        if launched is None:
            raise JobError(
                f"{first.id} has no worker any more, so no further job was started.",
                f"Why it ended: inv remote-logs {first.id}",
            )
        with cleared(paths):
            # Nobody waits for their workers: what could refuse them has let the first one begin.
            code = single.sharing(paths, first, spec.outputs)
            single.launch(paths, request, launched.launcher, code)
    return paths.id
