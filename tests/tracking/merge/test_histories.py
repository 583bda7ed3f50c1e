"""Random histories of a laptop and its servers end in the state that the rule predicts."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.tracking.merge.histories.model import Experiment, Run
from tests.tracking.merge.histories.operations import ByClient, steps
from tests.tracking.merge.histories.quick import in_memory, slim, unsynced
from tests.tracking.merge.histories.records import Records
from tests.tracking.merge.histories.rule import MARK
from tests.tracking.merge.histories.world import Place, World, Written, parts, readable

COUNT = 50
"""Of random histories, the same each time."""
STEPS = 4_000
"""How many there are at least, in all."""
EXPLORE = int(os.environ.get("HISTORIES_EXPLORE", "0"))
"""So many histories, other ones each time."""

places = st.integers(0, 3)
picks = st.integers(0, 3)
names = st.sampled_from(["a", "b", "c", "a (far1)"])
keys = st.sampled_from(["colour", "mlflow.note.content"])
values = st.sampled_from(["1", "2", "3"])
values_or_none = st.sampled_from(["1", "2", None])
points = st.lists(
    st.tuples(
        st.sampled_from(["loss", "acc"]),
        st.integers(1, 2),
        st.integers(0, 2),
        st.sampled_from([(0.0, False), (0.0, True), (1.5, False)]),
    ),
    min_size=1,
    max_size=3,
    unique=True,
)


STEPS_THERE_ARE: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "new_experiment": (2, dict(at=places, name=names)),
    "rename_experiment": (3, dict(at=places, pick=picks, name=names)),
    "delete_experiment": (2, dict(at=places, pick=picks)),
    "restore_or_clean_up_experiment": (
        5,
        dict(at=places, pick=picks, for_good=st.sampled_from([True, True, False])),
    ),
    "tag_experiment": (3, dict(at=places, pick=picks, key=keys, value=values_or_none)),
    "new_run": (2, dict(at=places, pick=picks)),
    "log_metrics": (4, dict(at=places, pick=picks, points=points)),
    "log_param": (1, dict(at=places, pick=picks, key=keys, value=values)),
    "tag_run": (3, dict(at=places, pick=picks, key=keys, value=values_or_none)),
    "rename_run": (1, dict(at=places, pick=picks, name=values)),
    "finish_or_resume": (
        2,
        dict(at=places, pick=picks, status=st.sampled_from(["FINISHED", "FAILED", "RUNNING"])),
    ),
    "delete_run": (1, dict(at=places, pick=picks)),
    "restore_or_clean_up_run": (5, dict(at=places, pick=picks, for_good=st.booleans())),
    "rebuild": (1, dict(at=places)),
    "give_run": (3, dict(start=places, end=places, pick=picks)),
    "new_remote": (1, dict(at=places, copied=st.booleans())),
    "pull": (
        9,
        dict(
            at=places,
            again=st.sampled_from([False, False, True]),
            size=st.sampled_from([1, 2, 100_000]),
        ),
    ),
    "pull_all": (2, dict(order=st.permutations(range(3)))),
    "crash": (3, dict(at=places, commits=st.integers(0, 15), size=st.integers(1, 3))),
    "write_delta": (1, dict(at=places)),
    "apply_delta": (2, dict(pick=picks)),
    "interrupt_delta": (1, dict(at=places, after=st.integers(0, 60))),
    "lose_base": (1, dict(at=places, copy_too=st.booleans())),
}
"""How often each is taken, and its arguments."""


def arguments(what: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(what), st.fixed_dictionaries(STEPS_THERE_ARE[what][1]))


# One rule for all: hypothesis leaves some of the rules out of each history, often the pulls.
any_step = st.sampled_from(
    [what for what, (often, _) in STEPS_THERE_ARE.items() for _ in range(often)]
).flatmap(arguments)


class Histories(RuleBasedStateMachine):
    folder: Path
    template: Path
    steps = 0
    kinds: dict[str, int] = {}

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Path(tempfile.mkdtemp(dir=self.folder)), self.template)
        self.pending: list[Written] = []
        self.ids = itertools.count()

    def teardown(self) -> None:
        for place in self.world.places:
            place.check()
        self.world.close()

    def done(self, what: str) -> None:
        Histories.steps += 1
        Histories.kinds[what] = Histories.kinds.get(what, 0) + 1

    def do(self, place: Place, what: str, *arguments: Any) -> None:
        place.do(what, *arguments)
        self.done(what)

    # Choices among what is there.

    def place(self, number: int) -> Place:
        """The laptop as often as all servers together."""
        return self.world.here if number == 0 else self.remote(number)

    def remote(self, number: int) -> Place:
        return self.world.far[number % len(self.world.far)]

    def experiment(self, place: Place, pick: int, *, active: bool = True) -> Experiment | None:
        found = [each for each in place.model.experiments.values() if each.active == active]
        return found[pick % len(found)] if found else None

    def run(self, place: Place, pick: int, *, active: bool = True) -> tuple[str, Run] | None:
        """The newest first. None, and a run is made, where there is none."""
        found = [item for item in place.model.runs.items() if item[1].active == active]
        if found:
            return found[-1 - pick % len(found)]
        if active:
            self.create_run(place, pick)
        return None

    def create_run(self, place: Place, pick: int) -> None:
        experiment = self.experiment(place, pick)
        if experiment is not None:
            run_id = hashlib.md5(b"%d" % next(self.ids)).hexdigest()
            self.do(place, "create_run", experiment.name, run_id, "sunny", self.world.now())

    @rule(step=any_step)
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        getattr(self, step[0])(**step[1])

    # What users do.

    def new_experiment(self, at: int, name: str) -> None:
        place = self.place(at)
        if name not in place.model.names:
            self.do(place, "create_experiment", name, self.world.now())
        else:
            self.create_run(place, -1)

    def rename_experiment(self, at: int, pick: int, name: str) -> None:
        place = self.place(at)
        experiment = self.experiment(place, pick)
        if experiment and name not in place.model.names:
            self.do(place, "rename_experiment", experiment.name, name, self.world.now())
        elif experiment:
            self.do(place, "set_experiment_tag", experiment.name, "colour", name)

    def delete_experiment(self, at: int, pick: int) -> None:
        place = self.place(at)
        experiment = self.experiment(place, pick)
        if experiment:
            self.do(place, "delete_experiment", experiment.name, self.world.now())

    def restore_or_clean_up_experiment(self, at: int, pick: int, for_good: bool) -> None:
        place = self.place(at)
        experiment = self.experiment(place, pick, active=False)
        if experiment and for_good and experiment.number > min(place.model.experiments):
            self.do(place, "hard_delete_experiment", experiment.name)
        elif experiment:
            self.do(place, "restore_experiment", experiment.name, self.world.now())
        else:
            self.delete_experiment(at, pick)

    def tag_experiment(self, at: int, pick: int, key: str, value: str | None) -> None:
        place = self.place(at)
        experiment = self.experiment(place, pick)
        if experiment and value is None and key in experiment.tags:
            self.do(place, "delete_experiment_tag", experiment.name, key)
        elif experiment:
            self.do(place, "set_experiment_tag", experiment.name, key, value or "1")

    def new_run(self, at: int, pick: int) -> None:
        self.create_run(self.place(at), pick)

    def log_metrics(self, at: int, pick: int, points: list[Any]) -> None:
        place = self.place(at)
        if run := self.run(place, pick):
            rows = [(key, time, step, *value) for key, time, step, value in points]
            self.do(place, "log_metrics", run[0], rows)

    def log_param(self, at: int, pick: int, key: str, value: str) -> None:
        place = self.place(at)
        run = self.run(place, pick)
        if run and key not in run[1].params:
            self.do(place, "log_param", run[0], key, value)

    def tag_run(self, at: int, pick: int, key: str, value: str | None) -> None:
        place = self.place(at)
        run = self.run(place, pick)
        if run and value is None and key in run[1].tags:
            self.do(place, "delete_tag", run[0], key)
        elif run:
            self.do(place, "set_tag", run[0], key, value or "1")

    def rename_run(self, at: int, pick: int, name: str) -> None:
        place = self.place(at)
        if run := self.run(place, pick):
            self.do(place, "rename_run", run[0], name)

    def finish_or_resume(self, at: int, pick: int, status: str) -> None:
        place = self.place(at)
        run = self.run(place, pick)
        if run and status == "RUNNING":
            self.do(place, "resume", run[0])
        elif run:
            self.do(place, "finish", run[0], status, self.world.now())

    def delete_run(self, at: int, pick: int) -> None:
        place = self.place(at)
        if run := self.run(place, pick):
            self.do(place, "delete_run", run[0], self.world.now())

    def restore_or_clean_up_run(self, at: int, pick: int, for_good: bool) -> None:
        place = self.place(at)
        run = self.run(place, pick, active=False)
        if run and for_good:
            self.do(place, "hard_delete_run", run[0])
        elif run:
            self.do(place, "restore_run", run[0])
        else:
            self.delete_run(at, pick)

    def rebuild(self, at: int) -> None:
        self.do(self.place(at), "renumber")

    def give_run(self, start: int, end: int, pick: int) -> None:
        """The same run in another store: pushed, or put back from a copy."""
        giver, taker = self.place(start), self.remote(end)
        found = list(giver.model.runs.items())
        if not found:
            self.create_run(giver, pick)
            return
        run_id, run = found[pick % len(found)]
        run = dataclasses.replace(run, tags={key: run.tags[key] for key in run.tags if key != MARK})
        name = giver.model.experiments[run.experiment].name
        if run_id not in taker.model.runs:
            if name not in taker.model.names:
                taker.do("create_experiment", name, self.world.now())
            self.do(taker, "add_clone", run_id, run, name)

    def new_remote(self, at: int, copied: bool) -> None:
        if len(self.world.far) == 3:
            return
        if copied:
            self.world.copy_remote(self.remote(at))
        else:
            self.world.add_remote()
        self.done("new_remote")

    # Pulling.

    def pull(self, at: int, again: bool, size: int) -> None:
        with parts(size):
            self.world.pull(self.remote(at), again=again)
        self.done("pull")

    def pull_all(self, order: list[int]) -> None:
        for number in order[: len(self.world.far)]:
            self.world.pull(self.remote(number))
        self.done("pull")

    def crash(self, at: int, commits: int, size: int) -> None:
        with parts(size):
            self.world.crash(self.remote(at), commits)
        self.done("crash")

    def write_delta(self, at: int) -> None:
        self.pending.append(self.world.write(self.remote(at)))
        self.done("write_delta")

    def apply_delta(self, pick: int) -> None:
        if not self.pending:
            self.write_delta(pick)
            return
        self.world.apply(self.pending.pop(pick % len(self.pending)))
        self.done("apply_delta")

    def interrupt_delta(self, at: int, after: int) -> None:
        self.world.interrupt_write(self.remote(at), after)
        self.done("interrupt_delta")

    def lose_base(self, at: int, copy_too: bool) -> None:
        self.world.lose_base(self.remote(at), copy_too=copy_too)
        self.done("lose_base")


WENT_WRONG = {
    "a delta that later pulls have overtaken, its experiment made anew": """
        new_experiment(at=1, name="a")
        delete_experiment(at=1, pick=1)
        write_delta(at=0)
        pull(at=0, again=False, size=1)
        restore_or_clean_up_experiment(at=1, pick=0, for_good=True)
        new_experiment(at=1, name="a")
        pull_all(order=[0, 1, 2])
        apply_delta(pick=0)
    """,
    "a run that is there again, its deletion forgotten with the base": """
        new_run(at=1, pick=0)
        pull(at=1, again=False, size=9)
        delete_run(at=1, pick=0)
        restore_or_clean_up_run(at=1, pick=0, for_good=True)
        pull(at=1, again=False, size=9)
        give_run(start=0, end=1, pick=0)
        lose_base(at=1, copy_too=True)
        pull(at=1, again=False, size=9)
    """,
    "a delta that a later one, stopped half way, has overtaken": """
        new_experiment(at=1, name="a")
        crash(at=1, commits=1, size=9)
        write_delta(at=1)
        delete_experiment(at=1, pick=1)
        crash(at=1, commits=1, size=9)
        apply_delta(pick=0)
        pull(at=1, again=False, size=9)
    """,
    "an experiment deleted here comes back, with its notes, for a new run": """
        new_experiment(at=1, name="a")
        tag_experiment(at=1, pick=1, key="mlflow.note.content", value="1")
        pull(at=1, again=False, size=9)
        delete_experiment(at=0, pick=1)
        restore_or_clean_up_experiment(at=0, pick=0, for_good=True)
        new_run(at=1, pick=1)
        pull(at=1, again=False, size=9)
    """,
    "an experiment made anew there takes no notes away": """
        new_experiment(at=1, name="a")
        tag_experiment(at=1, pick=1, key="mlflow.note.content", value="1")
        pull(at=1, again=False, size=9)
        delete_experiment(at=1, pick=1)
        restore_or_clean_up_experiment(at=1, pick=0, for_good=True)
        new_experiment(at=1, name="a")
        pull(at=1, again=False, size=9)
    """,
    "a run that changed there while its experiment was deleted here": """
        new_experiment(at=1, name="a")
        new_run(at=1, pick=1)
        pull(at=1, again=False, size=9)
        delete_experiment(at=0, pick=1)
        restore_or_clean_up_experiment(at=0, pick=0, for_good=True)
        new_remote(at=1, copied=True)
        delete_run(at=2, pick=0)
        pull(at=2, again=False, size=9)
        pull(at=1, again=False, size=9)
        rename_experiment(at=2, pick=0, name="c")
        pull(at=2, again=False, size=9)
    """,
    "a run marked by one source is there again at another": """
        new_run(at=1, pick=0)
        new_remote(at=1, copied=True)
        pull_all(order=[0, 1, 2])
        delete_run(at=1, pick=0)
        restore_or_clean_up_run(at=1, pick=0, for_good=True)
        delete_run(at=2, pick=0)
        restore_or_clean_up_run(at=2, pick=0, for_good=True)
        pull_all(order=[1, 0, 2])
        give_run(start=0, end=1, pick=0)
        pull_all(order=[1, 0, 2])
    """,
    "a name that is free only when another experiment has given it up": """
        new_experiment(at=0, name="a")
        new_experiment(at=1, name="b")
        new_experiment(at=1, name="a")
        pull(at=1, again=False, size=9)
        rename_experiment(at=1, pick=1, name="c")
        rename_experiment(at=1, pick=2, name="b")
        pull(at=1, again=False, size=9)
    """,
}
"""Histories that ended otherwise once."""


@pytest.fixture
def histories(template: Path) -> Iterator[type[Histories]]:
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        Histories.folder = Path(folder)
        Histories.template = slim(template / "mlflow.db", Path(folder) / "template.db")
        Histories.steps, Histories.kinds = 0, {}
        yield Histories


@pytest.mark.parametrize("what", WENT_WRONG)
def test_what_went_wrong_once(histories: type[Histories], what: str) -> None:
    state = histories()
    for line in WENT_WRONG[what].split("\n"):
        if line.strip():
            eval(f"state.{line.strip()}")
    state.teardown()


def test_half_a_delta_is_never_merged(histories: type[Histories]) -> None:
    """The agent is stopped after a little more work each time."""
    state = histories()
    state.new_run(at=1, pick=0)
    state.log_metrics(at=1, pick=0, points=[("loss", 1, 0, (1.5, False))])
    for after in range(0, 300, 3):
        state.interrupt_delta(at=1, after=after)
    state.pull(at=1, again=False, size=9)
    for after in range(0, 300, 3):
        state.interrupt_delta(at=1, after=after)
    state.teardown()


@pytest.mark.timeout(2700)
def test_histories_end_as_the_rule_says(
    histories: type[Histories], capsys: pytest.CaptureFixture[str]
) -> None:
    with nullcontext() if in_memory() else unsynced():
        run_state_machine_as_test(
            histories,
            settings=settings(
                max_examples=EXPLORE or COUNT,
                stateful_step_count=100,
                derandomize=not EXPLORE,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    with capsys.disabled():
        each = ", ".join(f"{name} {count}" for name, count in sorted(histories.kinds.items()))
        print(f"\n{histories.steps} steps of histories: {each}")
    assert EXPLORE or histories.steps >= STEPS


def test_records_writes_what_mlflow_writes(template: Path, tmp_path: Path) -> None:
    """Row for row and rowid for rowid, after each operation."""
    stores = [Records(tmp_path / name, template / "mlflow.db", now=1) for name in ("one", "two")]
    ours, theirs = stores
    client = ByClient(theirs)
    done = set()
    for what, arguments in steps():
        getattr(ours, what)(*arguments)
        getattr(client, what)(*arguments)
        assert rows(ours) == rows(theirs), what
        assert readable(ours.read()) == readable(theirs.read()), what
        done.add(what)
    public = {name for name in vars(ByClient) if not name.startswith("_")}
    assert done == public - {"experiment"}
    for store in stores:
        store.close()


def rows(records: Records) -> dict[str, list[Any]]:
    tables = ("experiments", "experiment_tags", "runs", "tags", "params", "latest_metrics")
    found = {name: sorted(records.sql(f"SELECT * FROM {name}"), key=repr) for name in tables}
    found["metrics"] = records.sql("SELECT rowid, * FROM metrics ORDER BY rowid")
    root = str(records.root)
    return {
        name: [[str(value).replace(root, "") for value in row] for row in found[name]]
        for name in found
    }
