"""Scripts and modules: what a name stands for, and whether it is a Hydra application."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from remote.errors import JobError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs.parameter import UNREADABLE, Asked, Parameter, below, is_file

SUFFIXES = (".py", ".sh")


@dataclass(frozen=True)
class Script:
    """A file that runs by itself. `path` is relative to the project's root.

    `module` is its dotted name where it was named so, and is to be run with `python -m`. What it
    takes follows ` -- `: it has no parameters.
    """

    path: Path
    hydra: bool
    module: str = ""
    parameters: tuple[Parameter, ...] = ()

    def parameter(self, name: str) -> Parameter:
        """Raises JobError that says how a script is given its arguments."""
        raise JobError(
            f"{self.path} is a script: flags of its own follow --.",
            f"Type: {self.path} -- {'-' if len(name) == 1 else '--'}{name} ...",
        )

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job that runs it with these arguments."""
        return JobSpec(
            kind=(kinds.MODULE if self.module else kinds.SCRIPT).name,
            source=self.module or self.path.as_posix(),
            name=self.path.parent.name if self.path.stem == "__main__" else self.path.stem,
            parameters=dict(asked.parameters),
            arguments=tuple(asked.arguments),
            hydra=self.hydra,
        )


def find(root: Path, name: str) -> Script | None:
    """The `.py` or `.sh` file, or the module, that `name` stands for; None where there is none.

    A path counts from the working directory, then from the root; a module lies in `src/` or in
    the root. Raises JobError for a file outside of the project.
    """
    places, module, parts = [], name, name.split(".")
    if name.endswith(SUFFIXES):
        places, module = [Path(name), root / name], ""
    elif all(part.isidentifier() for part in parts):
        tops = [top.joinpath(*parts) for top in (root / "src", root)]
        places = [path for top in tops for path in (top / "__main__.py", top.with_suffix(".py"))]
    path = next((path for path in places if is_file(path)), None)
    return Script(below(root, path), is_hydra(path), module) if path else None


def is_hydra(path: Path) -> bool:
    """Whether the file uses `hydra.main`, told without running it."""
    try:
        source = path.read_bytes()
        nodes = list(ast.walk(ast.parse(source))) if b"hydra" in source else []
    except (OSError, *UNREADABLE):
        return False
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "hydra":
            if any(alias.name == "main" for alias in node.names):
                return True
        elif isinstance(node, ast.Import):
            # `import hydra`, `import hydra as h`, `import hydra.utils`
            for alias in node.names:
                if alias.name == "hydra" or alias.name.startswith("hydra.") and not alias.asname:
                    names.add(alias.asname or "hydra")
    mains = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "main"]
    return any(isinstance(node.value, ast.Name) and node.value.id in names for node in mains)
