"""Small lists to choose from: the sort order, the columns, what to do.

Owns choosing. Must not sort, lay out or do anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


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
            prompt = Text.assemble(f"{mark} {name:<22}", (meaning, "dim"), no_wrap=True, overflow="ellipsis")
            options.append(Option(prompt, id=name))
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
        Binding("escape,q,o", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take", priority=True),
        Binding("space", "switch", "On or off", priority=True),
        Binding("x", "none", "Default set"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, choices: Sequence[tuple[str, str]], present: Sequence[str]) -> None:
        """``choices`` are (name, what it means); ``present`` the names shown, in their order."""
        super().__init__()
        self._choices = choices
        self._chosen = list(present)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("Columns   (Space: on/off; Enter: take; x: default set; Esc: back)", markup=False)
            yield OptionList(*(self._prompt(name, meaning) for name, meaning in self._choices))

    def _prompt(self, name: str, meaning: str) -> Text:
        box = "[x]" if name in self._chosen else "[ ]"
        return Text.assemble(f"{box} {name:<22}", (meaning, "dim"), no_wrap=True, overflow="ellipsis")

    def action_switch(self) -> None:
        """Add the column at the end, or take it away."""
        options = self.query_one(OptionList)
        at = options.highlighted or 0
        name, meaning = self._choices[at]
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            self._chosen.append(name)
        options.replace_option_prompt_at_index(at, self._prompt(name, meaning))

    def action_take(self) -> None:
        """Take the chosen ones, in the order they had, new ones last."""
        self.dismiss(tuple(self._chosen))

    def action_none(self) -> None:
        """Go back to the default set."""
        self.dismiss(())

    def action_down(self) -> None:
        """Go down."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up."""
        self.query_one(OptionList).action_cursor_up()


class ActPicker(ModalScreen[int | None]):
    """Choose what to do; the index of it, None for nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,x", "dismiss(None)", "Back"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__()
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("Act   (Enter: shows what will be hit, and asks; Esc: back)", markup=False)
            yield OptionList(*(Text(choice, no_wrap=True, overflow="ellipsis") for choice in self._choices))

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)

    def action_down(self) -> None:
        """Go down."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up."""
        self.query_one(OptionList).action_cursor_up()
