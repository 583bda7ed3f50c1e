"""Which MLflow experiment a notebook's runs will go to, found out before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from remote.programs.notebook.cell_source import statements
from remote.programs.notebook.parameter import UNREADABLE, Parameter

#: MLflow's, and the template's own (src/lib/tracking).
_CALLS = ("set_experiment", "set_tracking_uri", "save_mlflow")


class Experiment:
    """What the cells' calls of MLflow say.

    MLflow refuses to continue a run (MLFLOW_RUN_ID) in another experiment than the one that
    `mlflow.set_experiment` chose, so the job's run has to be made in the right one from the start.
    Where that can't be told (a name that is computed, a tracking URI of the notebook's own),
    `certain` is false, and the notebook's runs become runs of their own instead.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.name: str | None = None
        #: The parameter that holds the name, instead of `name`.
        self.parameter: str | None = None
        self.certain = True
        self._known = {each.name for each in parameters if _is_text(each.default)}

    def read(self, source: str, *, sets: bool) -> None:
        """Take one more cell; `sets` tells whether it may give a parameter another value."""
        parsed = statements(source)
        if parsed is None:
            self.certain &= not any(name in source for name in _CALLS)
            return
        nodes = [node for statement in parsed for node in ast.walk(statement)]
        if sets:
            self._known -= {
                node.id
                for node in nodes
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)

    def _call(self, call: ast.Call) -> None:
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        name = function.id if isinstance(function, ast.Name) else name
        if name in ("set_experiment", "save_mlflow"):
            self._chosen(_argument(call, "experiment_name"))
        elif name == "set_tracking_uri":
            uri = _argument(call, "uri")
            local = isinstance(uri, ast.Constant) and uri.value in ("sqlite:///mlflow.db", "")
            self.certain &= local

    def _chosen(self, value: ast.expr | None) -> None:
        before = (self.name, self.parameter)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            choice: tuple[str | None, str | None] = (value.value, None)
        elif isinstance(value, ast.Name) and value.id in self._known:
            choice = (None, value.id)
        else:
            choice = (None, None)
            self.certain = False
        if before == (None, None):
            self.name, self.parameter = choice
        elif before != choice:
            self.certain = False


def _argument(call: ast.Call, keyword: str) -> ast.expr | None:
    given = list(call.args[:1]) + [key.value for key in call.keywords if key.arg == keyword]
    return given[0] if given else None


def _is_text(source: str) -> bool:
    try:
        return isinstance(ast.literal_eval(source), str)
    except UNREADABLE:
        return False
