"""The Invoke tasks, and the namespace that a project's tasks.py starts from."""

from __future__ import annotations

import sys
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from remote.tasks import jobs, project, prune, records, run, server, sweep, sync, top

namespace = Collection()
for _module in (sync, run, sweep, jobs, prune, records, project, server, top):
    for _value in vars(_module).values():
        if isinstance(_value, Task):
            namespace.add_task(_value, default=_value.is_default)


def joined(module: dict[str, Any]) -> Collection:
    """The tasks of a project's own tasks.py, whose `globals()` are given, and these.

    A task of the project's own keeps its name, where one of these is called the same.
    """
    # Invoke takes these variables, in this order, for a module's collection.
    own = next((module[name] for name in ("ns", "namespace") if name in module), None)
    if own is None:
        own = Collection.from_module(sys.modules[module["__name__"]])
    for name in namespace.task_names:
        if name not in own.task_names and name not in own.collections:
            own.add_task(namespace[name], name=name)
    own.default = own.default or namespace.default
    return own
