"""What has to be there before a job's code begins: its environment, what its setup lines export, a
store for its records."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Mapping, Sequence

from remote.agent.worker import Record
from remote.errors import UnusableStore
from remote.job.kinds import kind_of
from remote.job.status import PREPARING

# A submission waits for the worker's first word: what isn't needed for that is imported later.


class PreparedRecord(Record):
    """A job's record, and what is made ready for it."""

    def begin_records(self) -> None:
        """Give the job its run where the target has a store that can be used."""
        from remote.agent.tracking import job_run, moved_target
        from remote.tracking.store import is_present

        moved = "" if self.here else moved_target.mend_moved(self.paths.root)
        if moved:
            self.say(moved)
        # One that can't be used now: `prepare` has another made, once there is a Python for it.
        with contextlib.suppress(UnusableStore):
            if is_present(job_run.store_of(self.paths.root)):
                self.begin_run()

    def prepare(self) -> Path:
        """Have the job's environment and the MLflow run ready, made now if they aren't there; the
        interpreter comes back."""
        from remote.agent.worker import variables

        python = Path(self.job.interpreter) if self.here else self.prepare_environment()
        # A service records nothing itself, and shows the store, or lets notebooks write to it.
        if not self.run and (self.job.record or kind_of(self.job).serves):
            self.open_store(python, variables.base(python))
        return python

    def prepare_environment(self) -> Path:
        """Have the environment ready for the job; its interpreter comes back. Raises JobError."""
        from remote.agent.environments import job_hook
        from remote.agent.worker import setup_lines, variables

        env = self.environment
        self.write(**env.record())
        if self.job.setup:
            self.write(state=PREPARING, waiting="")
            self.take_exports(self.job.setup, variables.for_setup(self))
        if not env.is_ready():
            self.write(state=PREPARING, waiting="")
            with variables.proxied(self.paths):
                env.make(self.log, job=self.paths.id)
        if env.kind.IS_MADE:
            try:
                job_hook.install(env.folder)
            except OSError as error:
                self.say(f"the environment can't be prepared for jobs: {error}")
        env.check(kind_of(self.job).modules)
        activation = setup_lines.activation(env.python.parent.parent)
        if activation:
            self.take_exports(activation, variables.base(env.python), quiet=True)
        self.write(environment_ready=True)
        return env.python

    def take_exports(
        self, lines: Sequence[str], env: Mapping[str, str], *, quiet: bool = False
    ) -> None:
        """Run lines in bash, and have what they export in the job's variables, and in those of all
        that is started for it; raises JobError."""
        from remote.agent.worker import setup_lines

        exports = setup_lines.run(lines, self.log, self.code, env, quiet=quiet)
        for name in exports.unset:
            os.environ.pop(name, None)
            self.exports.pop(name, None)
        os.environ.update(exports.values)
        self.exports.update(exports.values)

    def open_store(self, python: Path, env: Mapping[str, str]) -> None:
        """Begin the run in the target's store, or in one of the job's own where that is there and
        can't be used; raises StoreError."""
        from remote.agent.tracking import job_run

        try:
            is_made = self.make_store(python, env)
            if is_made:
                self.begin_run()
        except UnusableStore as error:
            if kind_of(self.job).serves:
                raise
            self.say(error.message)
            self.say("this job keeps its records in a store of its own; a pull merges them too.")
            is_made = job_run.make_own_store(self.paths, python, env)
            if is_made:
                self.begin_run()
        if not is_made:
            self.say("mlflow is not in the environment, so this job gets no MLflow run.")

    def make_store(self, python: Path, env: Mapping[str, str]) -> bool:
        """Make the target's store where it is missing; False where its environment has no MLflow."""
        from remote.agent.tracking import job_run

        return job_run.make_store(self.paths.root, python, env)
