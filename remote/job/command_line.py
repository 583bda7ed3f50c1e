"""What the words of a program's command line say, as parameters of an MLflow run. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, Sequence

from remote.job.spec import JobSpec

#: What MLflow takes (mlflow.utils.validation): letters of a key, its length, parameters at once.
_ODD = re.compile(r"[^\w.\- :]")
KEY = 250
MANY = 100

_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ASSIGNED = re.compile(r"([^\W\d][\w.-]*)=(.*)", re.DOTALL)
_PYTHON = re.compile(r"(?:.*/)?(python[\d.]*|torchrun|accelerate)\Z")


def parameters(words: Sequence[str]) -> Dict[str, str]:
    """The parameters that arguments give: `--lr 0.1`, `--lr=0.1`, `lr=0.1`, `-n 3`, `--fast`.

    Names are those that argparse makes of flags (`--n-layer` is `n_layer`). Numbers that follow a
    flag's number are its own (`--layers 64 32`), what belongs to no flag is `arg_1`, `arg_2` ... A
    flag that comes again has all its values.
    """
    pairs: Dict[str, List[str]] = {}
    queue, position = list(words), 0
    while queue:
        word = queue.pop(0)
        assigned = _ASSIGNED.fullmatch(word.lstrip("-"))
        if assigned:
            name, value = assigned.groups()
        elif _is_flag(word):
            name, value = word, _value(queue)
        elif word == "--":
            continue
        else:
            position += 1
            name, value = f"arg_{position}", word
        key = _ODD.sub("_", name.lstrip("-").replace("-", "_"))[:KEY]
        if key.strip(". "):
            pairs.setdefault(key, []).append(value)
    return {key: ", ".join(values) for key, values in list(pairs.items())[:MANY]}


def _value(queue: List[str]) -> str:
    """What follows a flag is its value, unless it is a flag too."""
    if not queue or _is_flag(queue[0]) or queue[0] == "--":
        return "True"
    values = [queue.pop(0)]
    while queue and all(map(_NUMBER.fullmatch, (values[-1], queue[0]))):
        values.append(queue.pop(0))
    return " ".join(values)


def _is_flag(word: str) -> bool:
    return len(word.lstrip("-")) > 0 and word.startswith("-") and not _NUMBER.fullmatch(word)


def program_words(job: JobSpec) -> Sequence[str]:
    """The words that a job's program is given. Hydra's are told by its runs, as what they mean."""
    if job.hydra:
        return []
    return job.arguments if job.source else after_program(job.arguments)


def after_program(words: Sequence[str]) -> Sequence[str]:
    """The words of a command that its program is given; of Python, those of its script or module."""
    if not words or not _PYTHON.match(words[0]):
        return [] if tuple(words[:2]) == ("sh", "-c") else words[1:]
    for number, word in enumerate(words[1:], 1):
        if words[number - 1] == "-m" or word.endswith(".py"):
            return words[number + 1 :]
    return []
