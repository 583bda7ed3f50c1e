"""`--json`: what a task tells as its result is all that stands on standard output, as one object."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from remote.errors import JobError, RemoteError
from remote.output import json_alone, print_json
from remote.tasks.exits import Body, exit_of

if TYPE_CHECKING:
    from remote.session import TargetSession

#: The parts of the result so far; None where no JSON was asked for.
_told: dict[str, Any] | None = None


def tell(**parts: Any) -> None:
    """Put parts into the result."""
    if _told is not None:
        # Only who asks for JSON waits for it.
        from remote.answers import data_of

        _told.update(data_of(parts))


def tell_target(server: TargetSession, answer: Any, **more: Any) -> None:
    """Put into the result what a target answered, and which it is."""
    if _told is not None:
        from remote.answers import of_target

        _told.update(of_target(server, answer, **more))


def tell_now() -> None:
    """Print the result as it is, where another one follows it."""
    if _told is not None:
        print_json({"error": None, **_told})


def refuse_question(hint: str) -> None:
    """Raises JobError where JSON is asked for: nobody reads on what to decide."""
    if _told is not None:
        raise JobError("With --json nothing is asked.", hint)


def with_json(body: Body) -> Body:
    """Give a task the flag `--json`.

    The result is printed at the end, with the error that ended the task.
    """

    @functools.wraps(body)
    def wrapped(*args: Any, json: bool = False, **kwargs: Any) -> Any:
        if not json:
            return body(*args, **kwargs)
        with json_alone(), _printed_at_end():
            return body(*args, **kwargs)

    signature = inspect.signature(body)
    flag = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False)
    parameters = [*signature.parameters.values(), flag]
    vars(wrapped)["__signature__"] = signature.replace(parameters=parameters)
    return wrapped  # type: ignore[return-value]


@contextlib.contextmanager
def _printed_at_end() -> Iterator[None]:
    global _told
    _told = {}
    try:
        with errors_as_json():
            yield
        tell_now()
    finally:
        _told = None


@contextlib.contextmanager
def errors_as_json(asked: bool = True) -> Iterator[None]:
    """Where it is asked, print the error that ends the body; a bug's is its traceback."""
    try:
        yield
    except BaseException as error:
        exit = exit_of(error)
        if asked and exit and exit.code:
            from remote.answers import data_of, error_of

            words = exit.message or f"It ended with exit code {exit.code}."
            is_ours = isinstance(error, RemoteError)
            print_json({**(_told or {}), "error": data_of(error) if is_ours else error_of(words)})
        raise
