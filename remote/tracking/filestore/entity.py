"""A run, a logged model or an experiment, whose rows may have to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.layout import META, ExperimentFolder
from remote.tracking.filestore.scan import Tree, Unreadable, read_text, scan, why
from remote.tracking.filestore.yaml_mapping import read_mapping

#: What a file of somebody's store can fail with: it costs that file, never the pull.
FAULTS = (OSError, Unreadable, UnicodeError)


@dataclass
class Entity:
    """`kind` is one of schema.KINDS, `place` its experiment's path below the store's root."""

    output: DeltaOutput
    kind: str
    id: str
    tree: Tree
    place: str
    _complete: bool = True

    def __post_init__(self) -> None:
        self.label = f"{self.kind}s/{self.id}"
        self.signature = self.tree.signature(self.place)
        self.is_unchanged = self.output.is_unchanged(self.kind, self.id, self.signature)

    def note_trouble(self) -> None:
        """Name what couldn't be looked at."""
        for trouble in sorted(self.tree.trouble):
            self.output.note(self.label, trouble)

    def note(self, name: str, error: Exception) -> None:
        """A file of it can't be read. What the system refused may be allowed the next time."""
        if isinstance(error, OSError):
            self.revisit()
        reason = "its name isn't text" if isinstance(error, UnicodeError) else why(error)
        self.output.note(self.label, f"{name} can't be read ({reason})")

    def revisit(self) -> None:
        """Have it sent again the next time, changed or not."""
        self._complete = False

    def meta(self) -> Dict[str, Any]:
        """What its meta.yaml says. Raises Unreadable and OSError."""
        return read_mapping(self.tree.path("", META))

    def values(self, part: str) -> Iterator[Tuple[str, str]]:
        """The files of a part as pairs: a name is the key, a content the value."""
        for name in self.tree.names(part):
            try:
                name.encode("utf-8")
                yield name, read_text(self.tree.path(part, name))
            except FAULTS as error:
                self.note(f"{part}/{name}", error)

    def mappings(self, part: str, **limit: int) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """The files `<id>/meta.yaml` of a part as pairs of id and content."""
        ending = f"/{META}"
        for name in self.tree.names(part):
            identity = name[: -len(ending)]
            if not name.endswith(ending) or "/" in identity:
                continue
            try:
                name.encode("utf-8")
                yield identity, read_mapping(self.tree.path(part, name), **limit)
            except FAULTS as error:
                self.note(f"{part}/{name}", error)

    def note_lines(self, name: str, bad: int) -> None:
        """So many lines of a metric can't be read."""
        if bad:
            lines = "1 line" if bad == 1 else f"{bad} lines"
            self.output.note(self.label, f"{lines} of {name} can't be read")

    def written(self, *, working: bool = False) -> None:
        """Its rows are in the delta; a `working` one is sent again, since its artifacts grow."""
        settled = self._complete and self.tree.is_settled()
        self.output.add_entity(self.kind, self.id, self.signature, settled=settled, working=working)


def open_entity(
    output: DeltaOutput,
    kind: str,
    folder: str,
    *,
    parts: Sequence[str],
    experiment: ExperimentFolder,
) -> Optional[Entity]:
    """None for what needn't be sent: it is as it was, or has no meta.yaml and so is none."""
    tree = scan(folder, parts, (META,))
    entity = Entity(output, kind, folder.rsplit("/", 1)[1], tree, experiment.name)
    has_meta = tree.has(META)
    if has_meta and not output.claim(kind, entity.id):
        reason = f"there is another one, so that in {experiment.name} can't be taken"
        output.note(entity.label, reason)
        return None
    entity.note_trouble()
    if tree.trouble and not has_meta:
        output.claim(kind, entity.id)
    is_as_it_was = entity.is_unchanged and not output.is_working(kind, entity.id)
    return entity if has_meta and not is_as_it_was else None
