"""A job: what is asked of it, with what git says of its code; handed to the agent, run again, or run
here. All is checked before anything is sent."""

from __future__ import annotations

import getpass
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.config import Project, pyproject
from remote.errors import JobError
from remote.job.kinds import kind_of
from remote.job.messages.jobs import JobsRequest, SubmitAnswer, SubmitRequest
from remote.job.messages.old_jobs import AccountRequest
from remote.job.messages.target import Machine
from remote.job.paths import CACHE
from remote.job.spec import JobSpec
from remote.job.status import ENDED, LOST, JobStatus
from remote.operations import bootstrap
from remote.operations.git import git_state, uncommitted
from remote.operations.project_outputs import declared_outputs
from remote.operations.run_options import RunOptions
from remote.output import say
from remote.programs.parameter import Asked, below
from remote.programs.program import Program
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire
from remote.session import TargetSession
from remote.transport import process, rsync_args


def describe(
    project: Project,
    program: Program,
    parameters: Mapping[str, Any],
    *,
    output: str = "",
    arguments: Sequence[str] = (),
    options: RunOptions = RunOptions(),
) -> JobSpec:
    """What is asked of a job that runs this program with these parameters; raises RemoteError.

    `output` names an executed notebook; without it, it is called like the notebook.
    """
    spec = program.job_spec(project.root, Asked(parameters, arguments, output))
    name = declared(project.root, "name") or project.root.name
    outputs = declared_outputs(project.root)
    return spec.replace(
        **{
            **vars(options),
            "name": options.name or spec.name,
            "cwd": working_folder(project.root, spec, options.cwd),
            "record": spec.record and options.record,
        },
        experiment=project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or name,
        python=declared(project.root, "requires-python"),
        git=git_state(project.root, outputs),
        outputs=outputs,
        user=getpass.getuser(),
        project=name,
        leases=project.settings.get("REMOTE_LEASES", ""),
    )


def working_folder(root: Path, job: JobSpec, typed: str) -> str:
    """The folder that `--cwd` names, below the root; empty for that itself. Raises JobError."""
    folder = root / typed
    if typed == "notebook" and kind_of(job).source_is_path:
        source = root / job.source
        folder = source if source.is_dir() else source.parent
    name = below(root, folder).as_posix()
    if not folder.is_dir():
        raise JobError(
            f"--cwd: there is no folder {typed!r} in the project.",
            "It takes `notebook`, the folder of the notebook or script, or a folder of the project.",
        )
    return "" if name == "." else name


def declared(root: Path, name: str) -> str:
    """A text of pyproject.toml's table `project`, such as `requires-python`; empty without one."""
    try:
        table = pyproject(root).get("project")
    except (OSError, ValueError):
        return ""
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


#: What this machine can bring to a server whose environments need it, by what the agent asks for.
PROGRAMS: dict[str, Callable[[TargetSession, Machine], None]] = {"uv": bootstrap.bring_uv}

#: Seconds between two looks at an environment that is made through this machine.
LOOK = 1.0


def submit(server: TargetSession, job: JobSpec, *, diff: str | None = None) -> SubmitAnswer:
    """Start the job on the server, after what it needs for that was brought there.

    `diff` is what its code has beyond its commit (None: what the project has now). Without
    `environment_ready` in the answer, its environment is made first.
    """
    if diff is None:
        diff = uncommitted(server.project.root, job.outputs) if job.git.dirty else ""
    request = SubmitRequest(
        key=server.key,
        job=job.replace(target=str(server.target)),
        launcher_setting=server.socket,
        diff=diff,
        offline=bootstrap.wants_proxy(server),
    )
    answer = server.agent.call(request)
    if answer.need in PROGRAMS and answer.platform:
        say(f"bringing {answer.need} to the server (once)")
        PROGRAMS[answer.need](server, answer.platform)
        answer = server.agent.call(request)
    if answer.need == "proxy":
        with bootstrap.through_this_machine(server) as address:
            answer = server.agent.call(request.replace(proxy=address))
            say(
                f"{answer.id}: its environment is made through this machine,"
                " which has to stay for that."
            )
            look = JobsRequest(key=server.key, jobs=(answer.id,))
            while True:
                summary = server.agent.call(look).jobs[0]
                if summary.environment_ready or summary.state in ENDED:
                    break
                time.sleep(LOOK)
        return answer.replace(environment_ready=True)
    if not answer.id:
        raise JobError(f"{answer.need} was brought to the server, but does not run there.")
    return answer


def rerun(source: TargetSession, job: str, *, target: TargetSession) -> SubmitAnswer:
    """Start once more what `job` of `source` was: the same code, parameters and environment."""
    account = source.agent.call(AccountRequest(key=source.key, job=job))
    original, is_there, incoming = account.job.id, target.key == source.key, ""
    if not is_there:
        # The code goes by way of this machine.
        target.prepare()
        incoming = secrets.token_hex(8)
        with tempfile.TemporaryDirectory(prefix="rerun-") as text:
            code = Path(text)
            own = account.job.outputs
            fetch = rsync_args.snapshot_argv(
                source.remote, f"{original}/{account.folder}", destination=code, declared=own
            )
            source.rsync(fetch, "fetching the code")
            send = rsync_args.incoming_argv(target.remote, name=incoming)
            target.rsync(send, "sending the code", cwd=code)
    spec = account.job.spec.replace(
        tags={**account.job.tags, "remote.rerun_of": original},
        after="",
        again=original if is_there else "",
        incoming=incoming,
    )
    return submit(target, spec, diff=account.diff)


def run_here(project: Project, job: JobSpec) -> tuple[str, int]:
    """Run the job in this terminal, to its end, the way a target would; its state and exit code."""
    # Only here: jobs on a target start faster without.
    from remote.agent.jobs.submit import create, write_job

    paths = create(project.root, job.name)
    write_job(paths, job.replace(target=platform.node(), interpreter=sys.executable))
    agent = Agent(LocalWire())
    file = Path.home() / CACHE / agent.name
    if not file.is_file():
        agent.bring()
    worker = process.start([sys.executable, str(file), "work-here", str(project.root), paths.id])
    while True:
        try:
            code = worker.wait()
            break
        except KeyboardInterrupt:
            # It reaches the worker too, which ends the job: that is waited for.
            continue
    status = JobStatus.from_file(paths.status)
    # A worker that was killed before its first word has written none.
    return status.state if status else LOST, code
