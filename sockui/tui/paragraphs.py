"""Explanations, findings and remedies as paragraphs of a pane.

Owns how they are laid out on the screen. Must not hold or change words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sockui.knowledge import words
from sockui.model import Coverage, State, state_name
from sockui.tui import timeline as drawing
from sockui.tui.links import Span
from sockui.tui.wrapping import Paragraph

if TYPE_CHECKING:
    from sockui.actions import Outcome, Plan
    from sockui.diagnosis.finding import Findings
    from sockui.tui.subject import Advice
    from sockui.view.explain import Explanation, ProcessExplanation
    from sockui.view.findings import Said
    from sockui.view.page import Block, Page
    from sockui.view.process_tree import ProcessRow
    from sockui.view.step import Step

_SEVERITY_STYLES = {"critical": "bad", "warning": "warn", "info": "info"}
_NAME_ROOM = 20  # cells of the longest name of evidence that stands beside its value
_EFFECT_STYLES = {"reads": "good", "changes settings": "warn", "drops connections": "bad"}
_ROLES = {"plain": "dim", "seen": "info", "present": "title", "none": "dim", "some": "strong", "chosen": "chosen"}
GAP = Paragraph("")


def explanation(about: Explanation, diagram: Sequence[Sequence[Span]]) -> list[Paragraph]:
    """One socket: the state, its evidence, whose turn, what ends it, causes, the first step, the diagram."""
    text = [Paragraph(about.heading, "title"), Paragraph(about.sentence, "strong")]
    text += [Paragraph(line, lead="• ") for line in about.evidence]
    text += [Paragraph(about.turn, lead="Turn  "), Paragraph(about.ends, lead="Ends  ")]
    if about.causes:
        text += [GAP, Paragraph("Possible causes; bold: the numbers speak for it", "title")]
        for number, cause in enumerate(about.causes, 1):
            text.append(Paragraph(cause.text, "strong" if cause.supported else "", lead=f"{number} "))
            if cause.tell:
                text.append(Paragraph(cause.tell, "dim", lead="  "))
    if about.first is not None:
        text += [GAP, Paragraph(about.first.text, "strong", lead="First "), *_command(about.first)]
        text += [Paragraph("r: all steps", "dim", lead="      ")]
    if diagram:
        text += [GAP, *picture(diagram)]
    return text


def picture(diagram: Sequence[Sequence[Span]]) -> list[Paragraph]:
    """A diagram of the states, by the roles that its parts have there."""
    return [Paragraph("", spans=tuple((part, _ROLES[role]) for part, role in line)) for line in diagram]


def page(page: Page) -> list[Paragraph]:
    """A page of knowledge; its title is the screen's."""
    text: list[Paragraph] = []
    for part in page.sections:
        text += [GAP] * bool(text)
        if part.title:
            text.append(Paragraph(part.title, "title"))
        room = max((len(block.label) for block in part.blocks if len(block.label) <= _NAME_ROOM), default=0)
        for block in part.blocks:
            text += _block(block, room, "" if part.title else "strong")
    return text


def _block(block: Block, room: int, style: str) -> list[Paragraph]:
    """A block; labels of up to ``room`` cells stand beside their text."""
    match block.kind:
        case "fact" if len(block.label) <= room:
            return [Paragraph(block.text, lead=f"{block.label:<{room}}  ")]
        case "fact":
            return [Paragraph(block.label, "dim"), Paragraph(block.text, lead="  ")]
        case "point":
            return [Paragraph(block.text, lead="• "), *(Paragraph(below, lead="    ") for below in block.below)]
        case "command":
            effects = [_effect(effect) for effect in block.below]
            return [Paragraph(block.text, "command", lead="    $ "), *effects]
        case "table":
            return [Paragraph(block.text, breaks="edge")]
    return [Paragraph(block.text, style)]


def process(about: ProcessExplanation) -> list[Paragraph]:
    """One process or subtree in its sockets."""
    text = [Paragraph(about.heading, "title"), *(Paragraph(fact, lead="• ") for fact in about.facts)]
    text += _totals(about.totals)
    if about.stuck:
        text += [GAP, Paragraph(f"{about.stuck:,} of them wait for somebody to act. The oldest:", "strong")]
        text += [Paragraph(about.oldest_text, "warn", lead="  "), Paragraph("r: what to do about it", "dim", lead="  ")]
    return text


def without_process(row: ProcessRow, coverage: Coverage) -> list[Paragraph]:
    """The sockets that one line of the process view has in place of a process, and what would name one."""
    states = [(state_name(code) if code else "UDP", number) for code, number in enumerate(row.own.states) if number]
    text = [Paragraph(row.name, "title"), *_totals(sorted(states, key=lambda state: -state[1]))]
    if coverage.fix and row.may_be_named:
        text += [GAP, Paragraph("What would name the processes:"), Paragraph(coverage.fix, "command", lead="    $ ")]
    return text


def _totals(states: Sequence[tuple[str, int]]) -> list[Paragraph]:
    counted = [Paragraph("", spans=((f"  {state:<12}", ""), (f"{number:>8,}", "strong"))) for state, number in states]
    return [GAP, Paragraph("Sockets", "title"), *counted]


def finding(said: Said) -> list[Paragraph]:
    """One finding: what, its numbers, whose turn, what ends it, causes, the first step, what not to do."""
    text = [
        Paragraph(said.title, "title", lead=f"{said.severity.upper()} ", lead_style=_SEVERITY_STYLES[said.severity]),
        Paragraph(said.summary, "strong"),
    ]
    text += [Paragraph(said.turn, lead="Turn  "), Paragraph(said.ends, lead="Ends  "), GAP]
    room = max((len(name) for name, _ in said.evidence if len(name) <= _NAME_ROOM), default=0)
    for name, value in said.evidence:
        if len(name) <= room:
            text.append(Paragraph(value, lead=f"{name:<{room}}  "))
        else:
            text.append(Paragraph(f"{name}: {value}"))
    if said.causes:
        text += [GAP, Paragraph("Possible causes; bold: the numbers speak for it", "title")]
        for number, cause in enumerate(said.causes, 1):
            text.append(Paragraph(cause.text, "strong" if cause.likely else "", lead=f"{number} "))
            if cause.tell:
                text.append(Paragraph(cause.tell, "dim", lead="  "))
    if said.steps:
        text += [GAP, Paragraph(said.steps[0].text, "strong", lead="First "), *_command(said.steps[0])]
        text.append(Paragraph("r: all steps", "dim", lead="      "))
    if said.do_not:
        text += [GAP, *_refusals(said.do_not)]
    return [*text, GAP]


def timeline(findings: Findings, width: int, ascii_only: bool) -> list[Paragraph]:
    """How many sockets there were in each state, over the session."""
    lines = {state: series for state, series in findings.timeline.items() if series[1].any()}
    room = width - 22
    if not lines or room < 4:
        return []
    start = min(float(times[0]) for times, _ in lines.values())
    step = drawing.step(max(float(times[-1]) for times, _ in lines.values()) - start, room)
    each = f"{step} s" if step < 60 else f"{step // 60} min" if step < 3600 else f"{step // 3600} h"
    text = [Paragraph(f"Sockets by state; a character is {each}", "title")]
    for state in sorted(lines, key=lambda state: -lines[state][1].max()):
        drawn = drawing.draw(lines[state], start, step, ascii_only)
        now = int(lines[state][1][-1])
        text.append(Paragraph("", spans=((f"{state.name:<12}", ""), (f"{now:>7,}  ", "strong"), (drawn, "info"))))
    return text


def time_wait(number: int) -> list[Paragraph]:
    """What reassures about TIME_WAIT, when there is any."""
    if not number:
        return []
    about = words.state(State.TIME_WAIT.name.lower())
    text = f"{number:,} in TIME_WAIT: that is normal. {about.sentence} {about.costs}"
    return [Paragraph(text), GAP]


def remedy(page: Advice) -> list[Paragraph]:
    """The remediation page. Each step is an anchor."""
    text = [Paragraph(page.heading, "title")]
    if page.note:
        text.append(Paragraph(page.note, "warn"))
    rung = ""
    for number, step in enumerate(page.steps):
        if step.rung != rung:
            rung = step.rung
            text += [GAP, Paragraph(rung[0].upper() + rung[1:], "title")]
        text.append(Paragraph(step.text, lead=f" {number + 1:>2} ", anchor=number))
        text += _command(step, number)
    if page.do_not:
        text += [GAP, *_refusals(page.do_not)]
    return text


def plan(plan: Plan) -> list[Paragraph]:
    """What an action will hit, and what it costs; what may be long comes last."""
    text = []
    for title, lines in (("Will be hit", plan.states), ("Processes", plan.processes)):
        if lines:
            text += [Paragraph(title, "title"), *(Paragraph(line, lead="  ") for line in lines)]
    if plan.obstacle:
        text += [GAP, Paragraph(f"It cannot be done: {plan.obstacle}", "bad")]
    if plan.warnings:
        text += [GAP, Paragraph("Know before", "title")]
        text += [Paragraph(line, "warn", lead="• ") for line in plan.warnings]
    if plan.left_alone:
        text += [GAP, *(Paragraph(line, "dim", lead="• ") for line in plan.left_alone)]
    if plan.peers:
        text += [GAP, Paragraph("Peers", "title"), *(Paragraph(line, lead="  ") for line in plan.peers)]
    return text


def outcome(outcome: Outcome | None, error: str) -> list[Paragraph]:
    """What came of an action; ``outcome`` None: nothing was done, because of ``error``."""
    if outcome is None:
        return [Paragraph("Nothing was done", "bad"), Paragraph(error)]
    first, *rest = outcome.sentences
    text = [Paragraph(first, "good" if outcome.done else "bad"), *(Paragraph(line) for line in rest)]
    if outcome.log is not None:
        text += [GAP, Paragraph(f"Written down in {outcome.log}", "dim")]
    return text


def details(markdown: str) -> list[Paragraph]:
    """Full diagnostics for reading: the same text without its code marks, headings as such, points hanging."""
    text = []
    for line in markdown.replace("`", "").split("\n"):
        number, dot, step = line.partition(". ")
        if line.startswith("- "):
            text.append(Paragraph(line[2:], lead="• "))
        elif dot and number.isdecimal():
            text.append(Paragraph(step, lead=f"{number:>2} "))
        else:
            text.append(Paragraph(line, "title" if text and line else "strong"))
    return text


def _command(step: Step, anchor: int = -1) -> list[Paragraph]:
    if step.command is None:
        return []
    return [
        Paragraph(step.command, "command", lead="    $ ", breaks="shell", anchor=anchor),
        _effect(step.effect, anchor),
    ]


def _effect(effect: str, anchor: int = -1) -> Paragraph:
    """What a command does."""
    return Paragraph(effect, _EFFECT_STYLES.get(effect.split(",")[0], "dim"), lead="      ", anchor=anchor)


def _refusals(do_not: Sequence[tuple[str, str]]) -> list[Paragraph]:
    text = [Paragraph("What not to do", "title")]
    for what, why in do_not:
        text += [Paragraph(what, "bad", lead="  × "), Paragraph(why, lead="    ")]
    return text
