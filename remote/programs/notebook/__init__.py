"""What a notebook file says before it runs: its papermill parameters and its experiment.

papermill can tell the parameters too (`papermill.inspect_notebook`), but importing it takes over a
second, and every `inv remote-run` would pay for it.
"""

from remote.programs.notebook.file import FOLDER, Notebook, find, read
from remote.programs.notebook.parameter import KINDS, Parameter, literal

__all__ = ["FOLDER", "KINDS", "Notebook", "Parameter", "find", "literal", "read"]
