"""A run, model, trace or registered model that may have to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.scan import Tree, Unavailable, Unreadable, read_text, scan, why
from remote.tracking.filestore.yaml_mapping import read_mapping


@dataclass
class Thing:
    output: Output
    kind: str
    id: str
    what: str
    """What it is called where something is wrong with it."""
    tree: Tree
    signature: str
    is_unchanged: bool
    _complete: bool = True

    def note(self, name: str, error: Exception) -> None:
        """Something of it can't be read. What the system refused may be allowed the next time."""
        if isinstance(error, (OSError, Unavailable)):
            self.revisit()
        reason = "its name isn't text" if isinstance(error, UnicodeError) else why(error)
        self.output.note(self.what, f"{name} can't be read ({reason})")

    def revisit(self) -> None:
        """Sent again the next time, changed or not."""
        self._complete = False

    def values(self, part: str, below: str = "") -> Iterator[Tuple[str, str]]:
        """The files of a part as pairs: a name is the key, a content the value."""
        for name in self.tree.names(part):
            if not name.startswith(below):
                continue
            try:
                name.encode("utf-8")
                yield name[len(below) :], read_text(self.tree.path(part, name))
            except (OSError, Unreadable, UnicodeError) as error:
                self.note(f"{part}/{name}", error)

    def mappings(
        self, part: str, ending: str, **limit: int
    ) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """The files of a part named `<id><ending>` as pairs of id and content."""
        for name in self.tree.names(part):
            identity = name[: -len(ending)]
            if not name.endswith(ending) or "/" in identity:
                continue
            try:
                name.encode("utf-8")
                yield identity, read_mapping(self.tree.path(part, name), **limit)
            except (OSError, Unreadable, UnicodeError) as error:
                self.note(f"{part}/{name}", error)

    def is_settled(self) -> bool:
        return self._complete and self.tree.is_settled()

    def sent(self, *, working: bool = False) -> None:
        """Its rows are written."""
        self.output.entity(
            self.kind, self.id, self.signature, settled=self.is_settled(), working=working
        )


def look(
    output: Output,
    kind: str,
    what: str,
    folder: str,
    *,
    parts: Sequence[str],
    meta: str,
    inside: str,
) -> Optional[Thing]:
    """None for what needn't be sent: it is as it was, or it is no such thing (has no `meta`)."""
    identity = folder.rsplit("/", 1)[1]
    what = f"{what}/{identity}"
    tree = scan(folder, parts, (meta,))
    if tree.has(meta) and not output.claim(kind, identity):
        output.note(what, f"there is another one, so that in {inside} can't be taken")
        return None
    for trouble in sorted(tree.trouble):
        output.note(what, trouble)
    if not tree.has(meta):
        if tree.trouble:
            output.claim(kind, identity)
        return None
    signature = tree.signature(inside)
    unchanged = output.is_unchanged(kind, identity, signature)
    if unchanged and not output.is_working(kind, identity):
        return None
    return Thing(output, kind, identity, what, tree, signature, unchanged)
