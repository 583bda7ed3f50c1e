"""What names the package follows its new name: code, notebooks, configurations, documents. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

#: A name is cut off from what stands around it; letters of other scripts cut off too. Within a
#: string of Python a line may begin after the two letters of a line break.
_BEFORE = r"(?:(?<=\\n)|(?<![A-Za-z0-9_./@-]))"
_AFTER = r"(?![A-Za-z0-9_])"


@dataclass(frozen=True)
class Renaming:
    """The package `old` of src/, with these modules in it, is to be called `new`."""

    old: str
    new: str
    modules: Collection[str]

    def text(self, text: str, suffix: str) -> str:
        """A file's text as it has to be; `suffix` tells what kind of file."""
        if suffix == ".ipynb":
            return self._notebook(text)
        known = self._known(text)
        if suffix == ".md":
            text = self._in_prose(self._columns(text))
        return self._places(self._imports(text), known)

    def _columns(self, text: str) -> str:
        """The package's folder in a listing; what stands in the column after it stays there."""

        def changed(found: re.Match[str]) -> str:
            name = f"src/{self.new}{found[1]}"
            return name.ljust(len(found[0]) - 2) + "  "

        return re.sub(rf"(?<![A-Za-z0-9_-])src/{re.escape(self.old)}(/?) {{2,}}", changed, text)

    def _known(self, text: str) -> str:
        """A pattern for the modules of the package, and for those that this text has in it."""
        told = re.findall(rf"src/{re.escape(self.old)}/([A-Za-z_]\w*)", text)
        names = "|".join(map(re.escape, sorted({*self.modules, *told})))
        return rf"(?:__\w+__|{names}){_AFTER}"

    def _imports(self, text: str) -> str:
        text = re.sub(rf"{_BEFORE}from {re.escape(self.old)}(?=[ .])", f"from {self.new}", text)
        listed = rf"{_BEFORE}import [\w., ]*?{_BEFORE}{re.escape(self.old)}{_AFTER}"
        return re.sub(listed, self._imported(text), text)

    def _places(self, text: str, known: str) -> str:
        """Folders, and modules wherever they stand: `_target_: lib.tasks.Task`, `-m lib.datasets`.

        What only looks like one stays: a variable of that name, a host, the end of a sentence.
        """
        old, new = re.escape(self.old), self.new
        text = re.sub(rf"(?<![A-Za-z0-9_-])src/{old}{_AFTER}", f"src/{new}", text)
        text = re.sub(rf"([\"']src[\"'](?:, | / )[\"']){old}(?=[\"'])", rf"\g<1>{new}", text)
        return re.sub(rf"{_BEFORE}{old}([./])(?={known})", rf"{new}\1", text)

    def _imported(self, text: str) -> Callable[[re.Match[str]], str]:
        def changed(found: re.Match[str]) -> str:
            # `from elsewhere import lib` brings another thing of that name.
            line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
            elsewhere = re.search(r"\bfrom [\w.]+ $", line)
            return found[0] if elsewhere else found[0][: -len(self.old)] + self.new

        return changed

    def _in_prose(self, text: str) -> str:
        return re.sub(rf"`{re.escape(self.old)}(/?)`", rf"`{self.new}\1`", text)

    def _notebook(self, text: str) -> str:
        """What was typed into the cells; what they printed stays."""
        book = json.loads(text)
        changed = [self._cell(cell) for cell in book.get("cells", [])]
        if not any(changed):
            return text
        indent = re.match(r"\{\n( +)", text)
        made = json.dumps(book, indent=indent[1] if indent else None, ensure_ascii=False)
        return made + ("\n" if text.endswith("\n") else "")

    def _cell(self, cell: dict[str, Any]) -> bool:
        source = cell.get("source", "")
        whole = source if isinstance(source, str) else "".join(source)
        kind = ".py" if cell.get("cell_type") == "code" else ".md"
        made = self.text(whole, kind)
        if made != whole:
            cell["source"] = made if isinstance(source, str) else made.splitlines(keepends=True)
        return made != whole


def title(text: str, old: str, new: str) -> str:
    """A README under the project's new name, where its heading was the old one."""
    return re.sub(rf"\A# {re.escape(old)}(?=\n)", lambda _: f"# {new}", text)
