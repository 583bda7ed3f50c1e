"""The Invoke tasks, and the namespace that a project's tasks.py starts from."""

from __future__ import annotations

from invoke.collection import Collection

from remote.tasks import (
    check,
    diary,
    doctor,
    give,
    jobs,
    keep,
    lab,
    machine,
    project,
    records,
    run,
    sync,
)

namespace = Collection()
for _module in (sync, run, jobs, lab, keep, machine, records, give, check, project, diary, doctor):
    for _task in _module.TASKS:
        namespace.add_task(_task)
