"""An experiment as a class: where its data comes from, what is done to it, what is learnt."""

from __future__ import annotations

import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar

from lib import tasks
from lib.settings import Settings, SettingsError, nearest, settled


class Task(ABC):
    """Inherit from a task and give the new one a section in config/parameters.yaml.

    Only what that section says differs then. A class without an `experiment` is no task, but what
    tasks have in common.
    """

    #: The MLflow experiment that all runs of a family go to. Each is tagged with its task's name.
    experiment: ClassVar[str]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.parameters = settings.parameters

    @property
    def name(self) -> str:
        """Of the task: its class's."""
        return type(self).__name__

    @abstractmethod
    def fetch_data(self) -> Any:
        """The raw data. No run is begun without it."""

    @abstractmethod
    def preprocess(self, data: Any) -> Any:
        """What `run` learns from, made of what `fetch_data` gave."""

    @abstractmethod
    def run(self, data: Any) -> None:
        """Learn, and log to MLflow what came of it. There is a run to log to."""

    @classmethod
    def with_changes(cls, changes: Mapping[str, Any]) -> Task:
        """The task as config/ has it, but for `changes`; raises SettingsError."""
        return cls(settled(cls.lineage(), changes))

    @classmethod
    def lineage(cls) -> list[str]:
        """The names of the tasks that it inherits from, the oldest first, and its own."""
        return [each.__name__ for each in reversed(cls.__mro__) if hasattr(each, "experiment")]

    @classmethod
    def summary(cls) -> str:
        """The first line of what the class says of itself."""
        return (inspect.getdoc(cls) or "").partition("\n")[0] if cls.__doc__ else ""


def all_tasks() -> dict[str, type[Task]]:
    """Every task of lib/tasks/ by its name."""
    for module in pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}."):
        import_module(module.name)
    found: dict[str, type[Task]] = {}
    for each in _below(Task):
        if hasattr(each, "experiment") and found.setdefault(each.__name__, each) is not each:
            raise SettingsError(
                f"Two tasks are called {each.__name__}: in {found[each.__name__].__module__}"
                f" and in {each.__module__}. Rename one."
            )
    return found


def _below(task: type[Task]) -> Iterator[type[Task]]:
    for each in task.__subclasses__():
        yield each
        yield from _below(each)


def task_called(name: str) -> type[Task]:
    """The task of that name; raises SettingsError that tells the nearest one."""
    known = all_tasks()
    if name not in known:
        raise SettingsError(f"There is no task {name!r}. {nearest(name, known)}")
    return known[name]
