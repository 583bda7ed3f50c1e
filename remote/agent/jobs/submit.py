"""Accept a job: freeze its code, write down what was asked, start its worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import ContextManager, Iterator, List, Sequence

from remote.agent import environments, launchers, processes
from remote.agent.job_folders import find, of_sweep
from remote.agent.job_state import state_of
from remote.agent.jobs.accept import accepted, clear, cleared, earlier_job
from remote.agent.launchers import Launch
from remote.agent.target_dir import machine, make_output, root_of
from remote.errors import JobError, TargetError
from remote.files import is_absent, link_or_copy, locked, write_atomic
from remote.folders import leads_out, links_in
from remote.job import outputs
from remote.job.kinds import UI, kind_of
from remote.job.messages.jobs import EMPTY_STORE, PUSH, SubmitAnswer, SubmitRequest
from remote.job.paths import PARTIAL, STATE, STORE, JobPaths
from remote.job.spec import JobSpec
from remote.job.status import ENDED, FINISHED, REFUSED, JobStatus
from remote.job.tree import read_stamp, reading

#: What is made beside code and ignored, so that a push doesn't delete it with its folder.
CACHES = ("__pycache__", ".ipynb_checkpoints")

#: How the folder for code from another target begins, below the toolkit's own.
INCOMING = "incoming-"


def submit(request: SubmitRequest) -> SubmitAnswer:
    """Start a job, or say what has to be done first; raises JobError.

    Asked again with the same id, it answers with the job that was started then.
    """
    root = root_of(request.key)
    earlier = earlier_job(root, request.request)
    if earlier:
        return _repeated(root, request, earlier)
    if not kind_of(request.job).serves:
        return _submit(root, request)
    from remote.agent import services

    # Whoever else is about to start a service waits.
    with locked(root / STATE / "services.lock", "the start of another service"):
        running = services.running(root, request.job.service)
        if running:
            return SubmitAnswer(id=running.id, environment_ready=True)
        return _submit(root, request)


def _repeated(root: Path, request: SubmitRequest, paths: JobPaths) -> SubmitAnswer:
    """The answer that was lost."""
    launched = launchers.read(paths, None)
    if launched:
        _await_worker(paths, launched)
    if request.job.incoming:
        clear(root / STATE / (INCOMING + request.job.incoming))
    env = environments.of_job(root, paths.code, request.job)
    return SubmitAnswer(id=paths.id, environment_ready=env.is_ready(), repeated=True)


def _submit(root: Path, request: SubmitRequest) -> SubmitAnswer:
    if request.job.again or request.job.incoming:
        return _start(root, request, contextlib.ExitStack())
    with contextlib.ExitStack() as tree:
        if not tree.enter_context(reading(root, request.push)):
            stamp = read_stamp(root)
            return SubmitAnswer(need=PUSH, pushed_by=stamp.who if stamp else "")
        return _start(root, request, tree)


def _start(root: Path, request: SubmitRequest, tree: contextlib.ExitStack) -> SubmitAnswer:
    """Start the job; `tree`, which keeps pushes away, is closed when its code is frozen."""
    spec = request.job.replace(after=_predecessor(root, request.job.after))
    source = _source(root, spec)
    env = environments.of_job(root, source, spec)
    env.refuse_extras()
    missing = env.missing_programs()
    if missing or _wants_store(root, spec, env):
        return SubmitAnswer(need=missing[0] if missing else EMPTY_STORE, platform=machine())
    if request.offline and not request.proxy and not env.is_ready():
        return SubmitAnswer(need="proxy")
    launcher = launcher_of(request)
    # What it needs may be there only where a scheduler runs it, or once its setup lines have run.
    if launchers.named(launcher).START_LIMIT is not None and not spec.setup:
        env.check(kind_of(spec).modules)
    paths, is_new = accepted(root, spec, request.request)
    if not is_new:
        return _repeated(root, request, paths)
    with cleared(paths):
        try:
            launched = launch(paths, request, launcher, freezing(paths, source, spec.outputs))
        finally:
            if source.name.startswith(INCOMING):
                clear(source)
        tree.close()
        _await_worker(paths, launched)
    chosen = "" if request.launcher else launched.launcher
    return SubmitAnswer(id=paths.id, environment_ready=env.is_ready(), launcher=chosen)


def launcher_of(request: SubmitRequest) -> str:
    """What is to keep a job alive. SQLite is no store for several machines: what shows the target's own
    runs on the one that writes to it."""
    name = request.launcher or launchers.usual()
    shows_store = request.job.service == UI
    return launchers.DEFAULT if shows_store and launchers.named(name).ELSEWHERE else name


def launch(
    paths: JobPaths, request: SubmitRequest, launcher: str, code: ContextManager[None]
) -> Launch:
    """Start the worker of a job that was accepted; it waits for the `code`, which comes meanwhile, or
    on another machine, where nobody knows whether it still will, is there before."""
    worker = prepare(paths, request)
    if launchers.named(launcher).ELSEWHERE:
        with code:
            pass
        return launchers.start(paths, launcher, worker, request.launcher_setting)
    with code:
        return launchers.start(paths, launcher, worker, request.launcher_setting)


def prepare(paths: JobPaths, request: SubmitRequest) -> List[str]:
    """Put what a job needs beside its code into its folder; the argv of its worker."""
    if request.diff:
        diff = request.diff.encode("utf-8", "surrogateescape")
        write_atomic(paths.diff, diff, mode=0o600)
    if request.proxy:
        write_atomic(paths.proxy, request.proxy.encode("ascii"), mode=0o600)
    return processes.agent_argv("work", request.key, paths.id)


def _wants_store(root: Path, spec: JobSpec, env: environments.ProjectEnvironment) -> bool:
    """Whether a job needs a store, and its environment may have no MLflow that could make it."""
    if not (spec.record or kind_of(spec).serves) or not is_absent(root / STORE):
        return False
    # Here, since most targets have a store.
    from remote.tracking import empty_store

    return "mlflow" not in env.packages() and next(empty_store.kept(), None) is None


def _predecessor(root: Path, name: str) -> str:
    """The whole id of the job, or of the sweep, that is to end well before this one begins."""
    if not name:
        return ""
    sweep = of_sweep(root, name)
    for paths in sweep or [find(root, name)]:
        state = state_of(paths).state
        if state in ENDED and state != FINISHED:
            raise JobError(
                f"{paths.id}, which this job was to follow, has ended: {state}.",
                "Run that again first, or leave out --after.",
            )
    return name if sweep else paths.id


def _source(root: Path, spec: JobSpec) -> Path:
    """The code that the job is to run; raises JobError where it isn't here."""
    code = root
    if spec.again:
        code = JobPaths(root, spec.again).first_code
    elif spec.incoming:
        code = root / STATE / (INCOMING + spec.incoming)
    if not code.is_dir():
        raise JobError(
            "That job's code is not on this target any more.", "Push and run it: inv remote-run"
        )
    if kind_of(spec).source_is_path and not (code / spec.source).exists():
        raise JobError(
            f"{spec.source} was not pushed to the server.", "Does .rsyncignore exclude it?"
        )
    return code


@contextlib.contextmanager
def freezing(paths: JobPaths, source: Path, declared: Sequence[str] = ()) -> Iterator[None]:
    """Copy `source` (the pushed tree, or another snapshot) into the job's `pristine`, which no code
    runs in, while the body does something else.

    Unchanged files are shared with the last snapshot. Files are shared with other snapshots only,
    never with the live tree: an edit in place there would reach the job. The job's `code` shares
    them until it begins (`unpulled.begin`); what jobs write, with what the project has `declared`,
    is linked to there.
    """
    unfinished = paths.folder / "pristine.part"
    # Ids begin with the time, so the last in order is the newest.
    names = sorted(os.listdir(str(paths.folder.parent)), reverse=True)
    others = (paths.folder.with_name(name) / "pristine" for name in names if name != paths.id)
    newest = next(filter(_is_folder, others), None)
    shared = [f"--link-dest={newest}"] if newest else []
    excludes = [
        f"--exclude=/{name}" for name in (STATE, *outputs.links(declared), *outputs.paths(declared))
    ]
    excludes += ["--exclude=/mlflow.db?*", "--exclude=.~tmp~", f"--exclude={PARTIAL}"]
    excludes += [f"--exclude={name}/" for name in CACHES]
    # What a group may change in the tree, it can't in what the job runs.
    argv = ["rsync", "-a", "--chmod=go-w", *shared, *excludes, "--", f"{source}/", f"{unfinished}/"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as rsync:
        try:
            yield
            # While rsync works: each start of the agent is faster without.
            import shutil  # noqa: F401
        except BaseException:
            rsync.kill()
            raise
        stderr = rsync.communicate()[1].decode("utf-8", "replace")
    # 24 is that a file vanished meanwhile: a job may do that to the live tree. From a snapshot
    # files vanish only where it is being removed.
    if rsync.returncode not in ((0, 24) if source == paths.root else (0,)):
        # What it complained of first; what follows is how it broke off.
        reason = (stderr.strip().splitlines() or ["rsync said nothing"])[0]
        hint = f"Copies are made in {paths.folder.parent} on the server: can it be written to?"
        if "No space left on device" in stderr:
            reason = "No space left on the server's disk."
            hint = "Make room on it: inv remote-prune --older 30d"
        raise TargetError(f"The job's copy of the code could not be made: {reason}", hint)
    _drop_emptied(unfinished, source)
    _keep_links(unfinished, source)
    os.rename(str(unfinished), str(paths.pristine))
    _place_code(paths, declared)


@contextlib.contextmanager
def sharing(paths: JobPaths, first: JobPaths, declared: Sequence[str]) -> Iterator[None]:
    """Give the job the same code as another, whose `pristine` is whole, after the body."""
    yield
    unfinished = paths.folder / "pristine.part"
    _share(first.pristine, unfinished)
    os.rename(str(unfinished), str(paths.pristine))
    _place_code(paths, declared)


def _place_code(paths: JobPaths, declared: Sequence[str]) -> None:
    unfinished = paths.folder / "code.part"
    _share(paths.pristine, unfinished)
    link_outputs(paths.root, unfinished, declared)
    # Who sees `code` sees all of it.
    os.rename(str(unfinished), str(paths.code))


def _share(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(str(source), str(target), symlinks=True, copy_function=link_or_copy)


def _is_folder(path: Path) -> bool:
    """Whether files can be shared with it: another job's that can't be looked at is passed over."""
    with contextlib.suppress(OSError):
        return path.is_dir()
    return False


def _drop_emptied(snapshot: Path, source: Path) -> None:
    """Remove folders of which only caches are left: a package that was removed would still be
    imported, as an empty one."""
    *folders, _ = (place for place, _, _ in os.walk(str(snapshot), topdown=False))
    for place in map(Path, folders):
        # A push may be taking it away meanwhile.
        with contextlib.suppress(OSError):
            if not os.listdir(str(place)) and os.listdir(str(source / place.relative_to(snapshot))):
                place.rmdir()


def _keep_links(snapshot: Path, source: Path) -> None:
    """Have links that lead out of the tree by a path from there lead to the same from here."""
    for name, target in list(links_in(snapshot)):
        if leads_out(name, target) and not os.path.isabs(target):
            there = os.path.normpath(str((source / name).parent / target))
            (snapshot / name).unlink()
            os.symlink(there, str(snapshot / name))


def link_outputs(root: Path, code: Path, declared: Sequence[str]) -> None:
    """Make the folders that jobs share, and have `code` link to them; raises TargetError."""
    for row in outputs.table(declared):
        if row.shared:
            make_output(root, str(Path(row.path).parent) if row.is_file else row.path)
    for name in outputs.links(declared):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(str(root / name), str(code / name))


def _await_worker(paths: JobPaths, launched: Launch) -> None:
    """Wait for the worker's first word, unless a scheduler decides when it begins.

    Raises JobError where none comes, or where it says that it could not even begin.
    """
    if launched.row.START_LIMIT is None:
        return
    deadline = time.monotonic() + launched.row.START_LIMIT
    while True:
        # Asked before the status is read: a worker that ends has written it.
        gone = launched.alive() is False or time.monotonic() > deadline
        status = JobStatus.from_file(paths.status)
        if status is not None and status.reason == REFUSED:
            message, _, hint = status.cause.partition("\n")
            raise JobError(message, hint)
        if status is not None:
            return
        if gone:
            raise JobError(
                f"{launched.launcher} started the job, but its worker never wrote its status.",
                launched.row.START_HINT,
            )
        time.sleep(0.01)
