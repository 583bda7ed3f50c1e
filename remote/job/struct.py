"""Frozen classes of typed fields, as JSON and back.

    class Gpu(Struct):
        index: int = fields.integer(0, 1023)
        name: str = fields.text(256, default="")

To a type checker they are frozen dataclasses (PEP 681). They aren't made by `dataclasses`, since the
agent and each job's worker would pay for that at every start: 7 ms for what it imports, and up to
1.6 ms for a class.

`to_json` leaves out what holds its default, and `from_json` takes the default for what is missing:
so files of older versions stay readable. Names that a class doesn't know, a newer version's, are
passed over. Everything else must fit, or `from_json` raises ProtocolError with the field's path.
A field's own default always fits, whatever its pattern says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Type, TypeVar

from remote.errors import ProtocolError
from remote.files import write_json
from remote.job import fields
from remote.job.fields import REQUIRED, Field, Misfit

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options):
        return lambda cls: cls


Value = TypeVar("Value", bound="Struct")


@dataclass_transform(
    frozen_default=True,
    # fmt: off
    field_specifiers=(
        fields.any_json, fields.choice, fields.flag, fields.integer, fields.job_id, fields.line,
        fields.list_of, fields.mapping_of, fields.moment, fields.names, fields.nested,
        fields.number, fields.optional, fields.run_id, fields.text,
    ),
    # fmt: on
)
class Struct:
    """Values by their names, which don't change."""

    fields: ClassVar[Dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        for name in own:
            delattr(cls, name)
        cls.fields = {**cls.fields, **own}

    def __init__(self, *values: Any, **named: Any) -> None:
        contents = {**dict(zip(self.fields, values)), **named}
        if len(contents) < len(values) + len(named) or not contents.keys() <= self.fields.keys():
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.fields)}, each once")
        self._fill(contents)

    def _fill(self, contents: Dict[str, Any]) -> None:
        for name, field in self.fields.items():
            value = contents.get(name, field.default)
            if value is REQUIRED:
                raise TypeError(f"{type(self).__name__} lacks {name}")
            if type(value) is dict and value is field.default:
                value = {}
            self.__dict__[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: use replace")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"

    def replace(self: Value, **changes: Any) -> Value:
        """The same with some values changed."""
        return type(self)(**{**vars(self), **changes})

    def to_json(self) -> Dict[str, Any]:
        """What `json.dumps` takes; what holds its default is left out."""
        return {
            name: field.write(value)
            for (name, field), value in zip(self.fields.items(), vars(self).values())
            if value is not field.default and value != field.default
        }

    @classmethod
    def from_json(cls: Type[Value], document: Any, where: str) -> Value:
        """The object that `document` tells of; `where` is what its place is called in the error.

        Raises ProtocolError with the path of the first field that doesn't fit.
        """
        try:
            return cls.read(document)
        except Misfit as misfit:
            path = where + "".join(reversed(misfit.path))
            raise ProtocolError(f"{path}: {misfit.reason}.") from None

    @classmethod
    def read(cls: Type[Value], document: Any) -> Value:
        """The same for an object inside of another one; raises Misfit."""
        if type(document) is not dict:
            raise Misfit(f"an object is expected, not {fields.shown(document)}")
        contents = {}
        for name, field in cls.fields.items():
            if name in document:
                value = document[name]
                try:
                    contents[name] = field.read(value)
                except Misfit as misfit:
                    # Compared only now: most values fit, and this costs.
                    if type(value) is not type(field.default) or value != field.default:
                        misfit.is_at(f".{name}")
                        raise
            elif field.default is REQUIRED:
                raise Misfit(f"it lacks {name}")
        result = cls.__new__(cls)
        result._fill(contents)
        return result

    @classmethod
    def from_file(cls: Type[Value], path: Path) -> Optional[Value]:
        """What a JSON file tells of; None where there is none, or it is no JSON.

        Raises ProtocolError where it is JSON and doesn't fit, or can't be read now.
        """
        try:
            document = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            return None
        except OSError as error:
            raise ProtocolError(
                f"{path.name} can't be read: {error.strerror}.", f"Check its owner: ls -l {path}"
            ) from error
        return None if document is None else cls.from_json(document, path.name)

    def to_file(self, path: Path, *, mode: int = 0o644) -> None:
        """Write it as a JSON file, atomically."""
        write_json(path, self.to_json(), mode=mode)
