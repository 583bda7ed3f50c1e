"""A job once more: on its own target from its snapshot there, on another as it was submitted from here."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote.errors import ConnectError, JobError, RemoteError
from remote.job import outputs
from remote.job.kinds import KINDS
from remote.job.messages.jobs import JobsRequest, JobSummary, SubmitAnswer
from remote.job.messages.old_jobs import AccountAnswer, AccountRequest
from remote.job.outputs import below
from remote.job.spec import JobSpec
from remote.job.status import LOST, RESTARTED
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submit import with_environment
from remote.operations.jobs.submitted import Submitted, code_in, recall, remember
from remote.operations.tracking.destination import digest
from remote.output import say
from remote.session import TargetSession
from remote.transport import rsync_args
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_filters import IgnoreFile

THEIRS = "To trust the server: --theirs"


def rerun(
    source: TargetSession,
    job: str,
    *,
    target: TargetSession,
    theirs: bool = False,
    resume: bool = False,
    after: str = "",
    sweep: str = "",
    name: str = "",
) -> SubmitAnswer:
    """Start once more what `job` of `source` was: the same code, parameters and environment.

    Another target runs what was submitted from here; with `theirs`, what `source` says it was. With
    `resume` it goes on in the state folder that the job had. As one of a new `sweep`, it has another
    `name`. Raises JobError.
    """
    account = source.agent.call(AccountRequest(key=source.key, job=job))
    original, is_there = account.job.id, target.key == source.key
    if job not in ("", "last") and job not in original:
        raise JobError(f"{source.target} reported {original} instead of {job!r}.")
    if resume and not is_there:
        raise JobError(
            f"The files that {original} kept are on {source.target}.",
            "Leave out --on, or --resume.",
        )
    kept = recall(source.project.state, original)
    asked = account.job.spec
    if not is_there and not theirs:
        asked = _as_submitted(source, account, kept)
    # `last` is another job as soon as this one has started.
    command = ["rerun", source.key, job, target.key, *(["resume"] if resume else [])]
    with contextlib.ExitStack() as way:
        submission = Submission(target, command, way)
        # The same command, typed again, finds there what it had sent.
        incoming = "" if is_there else digest(f"{submission.pending.id} {original}")
        if incoming:
            _send_code(source, target, account, incoming, "" if theirs or not kept else kept.code)
        if not is_there:
            asked = with_environment(asked, target.settings).replace(
                # Words for one cluster mean nothing to another.
                sbatch=target.settings.words_for_sbatch,
                extras=asked.extras if target.settings.has_extras else (),
            )
        spec = asked.replace(
            tags={**asked.tags, "remote.rerun_of": original},
            after=after,
            sweep=sweep or asked.sweep,
            name=name or asked.name,
            state=(asked.state or original) if resume else "",
            again=original if is_there else "",
            incoming=incoming,
        )
        answer = submission.ask(spec, account.diff)
        if kept and not theirs and answer.id:
            remember(target.project.state, answer.id, kept)
        return submission.attend(answer)


def rerun_lost(server: TargetSession, *, resume: bool) -> list[tuple[str, str]]:
    """Start once more all that the server's last restart took, the oldest first: the ids of old jobs
    and new ones. What has been run again since is left out, and services are.

    One that was to follow another of them follows that one's new job. One that can't be started is
    said, has no new id, and keeps no other from it.
    """
    answer = server.agent.call(JobsRequest(key=server.key))
    taken = {job.id: job for job in answer.jobs if _was_taken(job, answer.booted)}
    again = {job.again: job.id for job in answer.jobs if job.again in taken}
    started = dict[str, str]()
    for job in taken.values():
        if job.id not in again:
            started[job.id] = ""
            try:
                after = _successor(job, taken, {**again, **started})
                started[job.id] = rerun(
                    server, job.id, target=server, resume=resume, after=after
                ).id
            except ConnectError as error:
                say(*str(error).split("\n"))
                # No answer is to be had of the others either.
                return [(old, started.get(old, "")) for old in taken if old not in again]
            except RemoteError as error:
                say(*f"{job.id}: {error}".split("\n"))
    return [*started.items()]


def _was_taken(job: JobSummary, booted: float) -> bool:
    """Whether the restart at that moment ended a job that isn't a service."""
    kind = KINDS.get(job.kind)
    is_lost = job.state == LOST and job.cause.startswith(RESTARTED)
    return is_lost and (job.ended or 0) >= booted and bool(kind and not kind.serves)


def _successor(job: JobSummary, taken: Mapping[str, JobSummary], new: Mapping[str, str]) -> str:
    """What runs in the place of the one that a job was to follow, by the `new` ids; empty where a restart
    didn't take that. Raises JobError where nothing does, or several: those of a sweep."""
    is_one = job.after in taken
    members = [
        each for each in taken.values() if job.after and each.name.startswith(f"{job.after}-")
    ]
    if members or (is_one and not new[job.after]):
        raise JobError(
            f"{job.after}, which it was to follow, was lost too.",
            f"When that has finished again: inv remote-rerun {job.id}",
        )
    return new[job.after] if is_one else ""


def _as_submitted(source: TargetSession, account: AccountAnswer, kept: Submitted | None) -> JobSpec:
    """What was asked of the job here; raises JobError where that isn't known, or is told otherwise."""
    if kept is None:
        raise JobError(
            f"{account.job.id} was not submitted from this machine, so only {source.target} knows"
            " what it was.",
            THEIRS,
        )
    differing = kept.differences(account.job.spec, account.diff)
    if differing:
        raise JobError(
            f"{source.target} describes {account.job.id} otherwise than it was submitted from this"
            f" machine: {', '.join(differing)}.",
            THEIRS,
        )
    return kept.job


def _send_code(
    source: TargetSession, target: TargetSession, account: AccountAnswer, incoming: str, code: str
) -> None:
    """Bring the code of a job from one target to another, by way of this machine.

    Raises JobError where its hash isn't `code`; empty is any.
    """
    with tempfile.TemporaryDirectory(prefix="rerun-") as text:
        folder = Path(text)
        fetch = rsync_args.snapshot_argv(
            source.remote,
            f"{account.job.id}/{account.folder}",
            destination=folder,
            declared=account.job.outputs,
            links=source.settings.links,
            allowed=IgnoreFile.of(source.project.root).allowed,
        )
        source.rsync(fetch, "fetching the code", whole=True)
        if code and code_in(folder) != code:
            raise JobError(
                f"The code that {source.target} has of {account.job.id} isn't what was submitted"
                " from this machine.",
                THEIRS,
            )
        target.prepare()
        _link(folder, target, account.job.outputs)
        send = rsync_args.incoming_argv(target.remote, dialect(), name=incoming)
        target.rsync(send, "sending the code", cwd=folder, whole=True)


def _link(folder: Path, target: TargetSession, declared: Sequence[str]) -> None:
    """Have code that goes to a target hold the links which a push finds there."""
    for name, place in target.settings.links.items():
        link = folder / name
        if not below(name, outputs.links(declared)) and not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(place, link)
