"""Scripts and modules: what a name stands for, and whether it is a Hydra application."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.errors import JobError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs.cell_source import Experiment
from remote.programs.parameter import UNREADABLE, Parameter
from remote.programs.program import Asked, below, is_file

SUFFIXES = (".py", ".sh")


@dataclass(frozen=True)
class Script:
    """A file that runs by itself. `path` is relative to the project's root.

    `module` is its dotted name where it was named so, and is to be run with `python -m`.
    """

    path: Path
    hydra: bool
    module: str = ""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """None: what a script takes follows ` -- `."""
        return ()

    def parameter(self, name: str) -> Parameter:
        """Raises JobError that says how a script is given its arguments."""
        raise JobError(
            f"{self.path} is a script: flags of its own follow --.",
            f"inv remote-run {self.path} -- --{name} ...",
        )

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job that runs it with these arguments, in the experiment that its code chooses."""
        experiment = Experiment(())
        experiment.read((root / self.path).read_text("utf-8", "replace"), sets=True)
        return JobSpec(
            kind=(kinds.MODULE if self.module else kinds.SCRIPT).name,
            source=self.module or self.path.as_posix(),
            name=self.path.parent.name if self.path.stem == "__main__" else self.path.stem,
            parameters=dict(asked.parameters),
            arguments=tuple(asked.arguments),
            hydra=self.hydra,
            experiment=experiment.name or "",
            continues_run=experiment.certain,
        )


def find(root: Path, name: str) -> Script | None:
    """The `.py` or `.sh` file, or the module, that `name` stands for; None where there is none.

    A path counts from the working directory, then from the root; a module lies in `src/` or in
    the root. Raises JobError for a file outside of the project.
    """
    file = _file(root, name)
    path = file or _module(root, name)
    if path is None:
        return None
    return Script(path=below(root, path), hydra=is_hydra(path), module="" if file else name)


def _file(root: Path, name: str) -> Path | None:
    if not name.endswith(SUFFIXES):
        return None
    return next((path for path in (Path(name), root / name) if is_file(path)), None)


def _module(root: Path, name: str) -> Path | None:
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for top in (root / "src", root):
        path = top.joinpath(*parts)
        for candidate in (path / "__main__.py", path.with_suffix(".py")):
            if is_file(candidate):
                return candidate
    return None


def is_hydra(path: Path) -> bool:
    """Whether the file uses `hydra.main`, told without running it."""
    try:
        source = path.read_bytes()
        return b"hydra" in source and _uses_main(ast.parse(source))
    except (OSError, *UNREADABLE):
        return False


def _uses_main(tree: ast.Module) -> bool:
    nodes = list(ast.walk(tree))
    names = set(_names_of_hydra(nodes))
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "hydra"
        and any(alias.name == "main" for alias in node.names)
        or isinstance(node, ast.Attribute)
        and node.attr == "main"
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        for node in nodes
    )


def _names_of_hydra(nodes: list[ast.AST]) -> Iterator[str]:
    """What the package is called in this file: `import hydra`, `import hydra as h`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "hydra":
                    yield alias.asname or "hydra"
                elif alias.name.startswith("hydra.") and not alias.asname:
                    yield "hydra"
