"""A step's MLflow run, and how a step fails."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import mlflow

#: What a shell makes of Ctrl-C.
INTERRUPTED = 130


class StepError(Exception):
    """What is wrong, and what to do, in one or two lines."""


@contextlib.contextmanager
def running(step: str) -> Iterator[str]:
    """Go on with the run that `mlflow run` made (or begin one); its id.

    A StepError, or a file that can't be read or written, ends the program, and the run as FAILED
    with the reason in its tag `error`.
    """
    with mlflow.start_run(tags={"pipeline": "cifar10", "step": step}) as run:
        try:
            yield run.info.run_id
        except (StepError, OSError) as error:
            mlflow.set_tag("error", str(error))
            sys.exit(f"{step}: {error}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
