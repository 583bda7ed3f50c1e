"""A grid of Hydra's own sweeper that goes on where it stopped: its MLflow runs say what is done."""

from __future__ import annotations

from collections import Counter
from typing import Any, List, Optional, Sequence, Tuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from remote.agent.tracking import run_rows
from remote.runtime.job_context import Recording
from remote.runtime.optuna_study import say

SWEEPER = f"{BasicSweeper.__module__}.BasicSweeper"


def go_on(recording: Recording, name: str) -> int:
    """How many runs the grid of that name had before; the sweeper leaves out what is done."""
    runs = [run for run in run_rows.trials(recording.store, name) if not run.deleted]
    for run in runs:
        if run.status != "FINISHED":
            run_rows.update(recording.store, run.run_id, {run_rows.TRIAL: run_rows.INTERRUPTED})
    finished = [tuple(run.overrides) for run in runs if run.status == "FINISHED"]
    split = BasicSweeper.split_arguments

    def split_arguments(overrides: Any, max_batch_size: Optional[int]) -> List[List[List[str]]]:
        grid = [list(words) for batch in split(overrides, None) for words in batch]
        left = left_of(grid, finished)
        if len(left) < len(grid):
            done = f"{len(grid) - len(left)} of {len(grid)} combinations were done before"
            say(f"{done}; continuing. To run all of them again: --name NAME")
        return list(BasicSweeper.split_overrides_to_chunks(left, max_batch_size))

    BasicSweeper.split_arguments = staticmethod(split_arguments)  # type: ignore[method-assign]
    return len(runs)


def left_of(grid: List[List[str]], finished: Sequence[Tuple[str, ...]]) -> List[List[str]]:
    """The combinations that an interrupted sweep left; all of one that is done, as without a job."""
    times = Counter(finished)
    fewest = min(times[tuple(words)] for words in grid)
    return [words for words in grid if times[tuple(words)] == fewest]
