"""The Invoke tasks, and the namespace that a project's tasks.py starts from."""

from __future__ import annotations

from invoke.collection import Collection

from remote.tasks import (
    check,
    cleanup,
    diary,
    doctor,
    gpus,
    jobs,
    project,
    push_runs,
    records,
    run,
    services,
    sync,
)

namespace = Collection()
for _module in (
    sync,
    run,
    jobs,
    services,
    cleanup,
    gpus,
    records,
    push_runs,
    check,
    project,
    diary,
    doctor,
):
    for _task in _module.TASKS:
        namespace.add_task(_task)
