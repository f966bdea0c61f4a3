"""Small lists to choose from: the sort order, the columns.

Owns choosing. Must not sort or lay out anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, SelectionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection


class SortPicker(ModalScreen[str | None]):
    """Choose what to sort by; Enter on the present order reverses it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,s", "dismiss(None)", "Back"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, choices: Sequence[tuple[str, str]], present: str) -> None:
        """``choices`` are (name, what it means); ``present`` is the name in force, with ``-`` if reversed."""
        super().__init__()
        self._choices = choices
        self._present = present

    def compose(self) -> ComposeResult:
        options = []
        for name, meaning in self._choices:
            mark = "▼" if f"-{name}" == self._present else "▲" if name == self._present else " "
            options.append(Option(Text.assemble(f"{mark} {name:<22}", (meaning, "dim")), id=name))
        with Vertical():
            yield Static("Sort by   (Enter: choose, again: reverse; Esc: back)", markup=False)
            yield OptionList(*options)

    def on_mount(self) -> None:
        picker = self.query_one(OptionList)
        names = [name for name, _ in self._choices]
        present = self._present.removeprefix("-")
        picker.highlighted = names.index(present) if present in names else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_down(self) -> None:
        """Go down."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up."""
        self.query_one(OptionList).action_cursor_up()


class ColumnChooser(ModalScreen[tuple[str, ...] | None]):
    """Choose the columns; none chosen is the default set for the width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take", priority=True),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
        Binding("x", "none", "Default", show=False),
    ]

    def __init__(self, choices: Sequence[tuple[str, str]], present: Sequence[str]) -> None:
        """``choices`` are (name, what it means) in the order of the table; ``present`` the names shown."""
        super().__init__()
        self._choices = choices
        self._present = present

    def compose(self) -> ComposeResult:
        selections = [
            Selection(Text.assemble(f"{name:<22}", (meaning, "dim")), name, name in self._present)
            for name, meaning in self._choices
        ]
        with Vertical():
            yield Static("Columns   (Space: on/off; Enter: take; x: default set; Esc: back)", markup=False)
            yield SelectionList(*selections)

    def action_take(self) -> None:
        """Take the chosen ones, in the order they had, new ones last."""
        chosen = self.query_one(SelectionList).selected
        kept = [name for name in self._present if name in chosen]
        self.dismiss((*kept, *(name for name, _ in self._choices if name in chosen and name not in kept)))

    def action_none(self) -> None:
        """Go back to the default set."""
        self.dismiss(())

    def action_down(self) -> None:
        """Go down."""
        self.query_one(SelectionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up."""
        self.query_one(SelectionList).action_cursor_up()
