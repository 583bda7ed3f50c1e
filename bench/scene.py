"""A project with targets on a private server, and jobs there that need no package."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.stage import INV, Failed, Stage, make_project, run, timed
from remote.agent.processes import alive
from remote.config import Project
from remote.job.status import JobStatus
from remote.operations.jobs.run_options import RunOptions
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submit import describe
from remote.programs.program import Command
from remote.session import TargetSession
from remote.target import Target
from scripts.sshd import ALIAS, PrivateSshd

END_LIMIT = 60.0  # seconds


@contextlib.contextmanager
def scene(stage: Stage, name: str, *, path: str = "", leases: str = "") -> Iterator[Scene]:
    """Jobs lease GPUs in the folder `leases`, and end with the scene; `path` is the server's."""
    with stage.server(name, path=path) as server:
        project = make_project(stage.folder / name / "project")
        (project / "requirements.lock").write_text("")
        made = Scene(project, server, f"bench-{name}-{os.getpid()}", leases)
        try:
            yield made
        finally:
            made.end()


class Scene:
    """Its targets are folders of the server's home; `config` is another way to the same server."""

    def __init__(self, project: Path, server: PrivateSshd, socket: str, leases: str) -> None:
        self.project, self.server, self.socket = project, server, socket
        self._settings = {"REMOTE_TMUX_SOCKET": socket, "REMOTE_LEASES": leases}

    def inv(self, target: str, *words: str) -> str:
        """What a command of ours says."""
        return run([INV, *words], cwd=self.project, env=self._env(target, self.server.config))

    def timed(
        self, target: str, *words: str, config: Path | None = None, expect: str = ""
    ) -> float:
        """Seconds of a command of ours."""
        env = self._env(target, config or self.server.config)
        return timed([INV, *words], cwd=self.project, env=env, expect=expect)

    def _env(self, target: str, config: Path) -> dict[str, str]:
        place = {"TARGET_DIR": f"{ALIAS}:{target}", "REMOTE_SSH_CONFIG": str(config)}
        return {**self._settings, **place}

    def session(self, target: str, config: Path | None = None) -> TargetSession:
        """What submissions in this process go through."""
        settings = {**self._settings, "REMOTE_SSH_CONFIG": str(config or self.server.config)}
        return TargetSession.of(Project(self.project, settings), Target.parse(f"{ALIAS}:{target}"))

    def submitted(self, server: TargetSession, options: RunOptions, *words: str) -> float:
        """Seconds that a job takes to be submitted."""
        began = time.perf_counter()
        self.submit(server, options, *words)
        return time.perf_counter() - began

    def submit(self, server: TargetSession, options: RunOptions, *words: str) -> str:
        """Submit a job, and nothing else; its id."""
        job = describe(server.project, Command(words), {}, options=options)
        with contextlib.ExitStack() as way:
            submitted = Submission(server, words, way).ask(job, "")
        if not submitted.environment_ready:
            raise Failed("a submission had more to do: its environment is made first")
        return submitted.id

    def statuses(self, target: str = "*") -> list[JobStatus]:
        """What became of the jobs of a target, in the order of their submission."""
        files = sorted(self.server.home.glob(f"{target}/.remote/jobs/*/status.json"))
        return [status for status in map(JobStatus.from_file, files) if status]

    def end(self) -> None:
        """End the workers, who end their jobs."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)
        deadline = time.monotonic() + END_LIMIT
        while any(alive(job.worker) for job in self.statuses()) and time.monotonic() < deadline:
            time.sleep(0.1)
