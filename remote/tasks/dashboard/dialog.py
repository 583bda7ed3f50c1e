"""A question, or a text, in the middle of the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import Static


class Dialog(ModalScreen[bool]):
    """Its answer is whether `y` was typed; every other key that it knows closes it."""

    CSS = """
    Dialog { align: center middle; background: ansi_default; }
    Dialog > Static {
        width: auto; max-width: 90%; height: auto; padding: 1 2; border: ascii ansi_default;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "dismiss(True)", "Yes"),
        ("n,escape,enter,q,question_mark", "dismiss(False)", "No"),
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> ComposeResult:
        yield Static(self.text)
