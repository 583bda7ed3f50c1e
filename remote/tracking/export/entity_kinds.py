"""What an experiment, a run and a logged model have in common to an export.

The same class of MLflow's stands for a run here and on the server, so one function reads the fields
of both. A kind says how one is read, found, created and written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar, Dict, Mapping, Sequence

from remote.tracking.export.export_session import Session
from remote.tracking.export.field_changes import STATUS, TAG

SOURCE_RUN, SOURCE_MODEL = "remote.source_run", "remote.source_model"
_OWN_TAGS = (SOURCE_RUN, SOURCE_MODEL, "mlflow.runName")


class EntityKind(ABC):
    """`name` is the kind's name in `schema.KINDS`."""

    name: ClassVar[str]
    stays_deleted: ClassVar[bool] = True
    """One that was sent and is gone from the server isn't created again."""

    def __init__(self, session: Session) -> None:
        self.session, self.client = session, session.client

    @abstractmethod
    def read_local(self, identity: str) -> Any: ...

    @abstractmethod
    def read(self, server_id: str) -> Any:
        """The one on the server."""

    @abstractmethod
    def find(self, identity: str, local: Any) -> Any:
        """One that is on the server without the record's knowing, else None."""

    @abstractmethod
    def create(self, identity: str, local: Any) -> Any: ...

    @abstractmethod
    def id_of(self, entity: Any) -> str: ...

    @abstractmethod
    def fields(self, entity: Any) -> Dict[str, str]:
        """Its name, tags and parameters, but not how it ended."""

    @abstractmethod
    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None: ...

    @abstractmethod
    def remove_tag(self, server_id: str, key: str) -> None: ...

    def is_active(self, entity: Any) -> bool:
        """Whether it can be written to."""
        return True

    def fields_to_write(self, local: Any) -> Dict[str, str]:
        """The fields of one that is here, in the server's terms."""
        return self.fields(local)

    def write_fields(self, identity: str, local: Any, server: Any) -> None:
        """Name, tags and parameters."""
        server_id = self.id_of(server)
        fields = self.fields_to_write(local)
        for tag in _OWN_TAGS:
            fields.pop(TAG + tag, None)
        self.session.write_fields(
            self.name,
            identity,
            fields,
            self.fields(server),
            partial(self.set, identity, server_id),
            lambda name: self.remove_tag(server_id, name[len(TAG) :]),
        )


class EndingKind(EntityKind):
    """A kind whose entities end: nothing waits for one that isn't whole."""

    unfinished: ClassVar[Sequence[str]]

    @abstractmethod
    def experiment_of(self, entity: Any) -> str: ...

    @abstractmethod
    def location(self, entity: Any) -> str:
        """Where its artifacts are."""

    @abstractmethod
    def status(self, entity: Any) -> str: ...

    @abstractmethod
    def end(self, server_id: str, local: Any) -> None: ...

    def write_status(self, identity: str, local: Any, server: Any) -> None:
        """How it ended. One that goes on, on the server, gives way if we don't know how it came so."""
        session, status = self.session, self.status(server)
        if status in self.unfinished and STATUS not in session.record.written(self.name, identity):
            session.record.announce(self.name, identity, {STATUS: status})
        session.write_fields(
            self.name,
            identity,
            {STATUS: self.status(local)},
            {STATUS: status},
            lambda _: session.refusable(
                f"How {self.name} {identity} ended", partial(self.end, self.id_of(server), local)
            ),
        )
