"""The Invoke tasks, and the namespace that a project's tasks.py starts from."""

from __future__ import annotations

import sys

from invoke.collection import Collection

from remote.tasks import flags, jobs, project, sync

namespace = Collection()
for _module in (sync, jobs, project):
    for _task in _module.TASKS:
        _task.aliases = flags.asked_about(_task.name, sys.argv)
        namespace.add_task(_task)
