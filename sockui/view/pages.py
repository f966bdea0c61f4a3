"""The pages of knowledge: what is true of a state, option, error, finding or setting, with this host's settings.

Owns what such a page says and in which order. The words are in ``knowledge``; must not look at sockets (``explain``
does) or say how a page looks (``page``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError
from sockui.knowledge import finding_words, notes, systems, topics, words
from sockui.knowledge.systems import Setting, SystemWords
from sockui.knowledge.topics import Topic
from sockui.model import Host
from sockui.view import settings
from sockui.view.format import did_you_mean, escape
from sockui.view.page import Block, Page, Section, command, fact, point, section, text
from sockui.view.remedy import fill
from sockui.view.shell import quote

LINUX = "linux"


def find(name: str) -> Topic:
    """The topic that somebody names. Raises :class:`UsageError` with a suggestion if there is none."""
    found = topics.find(name)
    if found is None:
        hint = did_you_mean(name, list(topics.spellings())) or (
            "; there are states of TCP, options, errors, findings (R01 ...) and sysctls: sockui explain --all"
        )
        raise UsageError(f'"{escape(name)}" is nothing that can be explained{hint}')
    return found


def find_system(name: str) -> SystemWords:
    """The operating system that somebody names. Raises :class:`UsageError` if it is not known."""
    found = systems.find_system(name)
    if found is None:
        known = ", ".join(each.key for each in systems.systems())
        raise UsageError(f"--os {escape(name)}: there are {known}{did_you_mean(name, known.split(', '))}")
    return found


def page(topic: Topic, host: Host, limits: Thresholds | None = None, system: SystemWords | None = None) -> Page:
    """The page of a topic, for ``system`` (None: Linux, with the values of ``host``).

    ``limits`` are the thresholds that findings fire at, the defaults if None.
    """
    system = system or systems.system(LINUX)
    values = _Anything(host, {**settings.times(host), **GENERIC, **_limits(limits)})
    match topic.kind:
        case "state":
            return _state(topic, host, values, system)
        case "setting":
            return _setting(topic, host, system)
        case "finding":
            told = _finding(topic, host, values, system)
        case _:
            told = _note(topic, host, values, system)
    if system.key == LINUX:
        return told
    first, *_ = told.sections
    return Page(told.title, (first, *_settings_of(topic, host, system), *_linux_only(topic)))


# --- states ---------------------------------------------------------------------------------------


def _state(topic: Topic, host: Host, values: settings.Values, system: SystemWords) -> Page:
    known = words.state(topic.name)
    cases = [words.situation(name) for name in known.situations]
    here = system.key == LINUX
    facts = [fact("Whose turn", fill(known.turn, values))]
    if here:
        facts += [
            fact("What ends it", fill(known.ends, values)),
            fact("Settings", fill(known.tunable, values)),
            fact("Costs", fill(known.costs, values)),
            fact("Is it a problem", fill(known.problem, values)),
        ]
    else:
        ends = [f"{each.text} ({each.source})" for each in system.ends if each.state == topic.name]
        facts += [fact(f"What ends it on {system.name}", each) for each in ends or ["Found in no document."]]
    parts = section("", text(fill(known.sentence, values)))
    parts += section("In short", *facts)
    parts += () if here else _settings_of(topic, host, system)
    where = "" if here else ", on Linux"
    for title, edges in (("Entered from", known.entered_by), ("Left to", known.left_by)):
        parts += section(title + where, *(point(f"{edge.state}: {edge.on}", edge.source) for edge in edges))
    if here:
        for case in cases:
            told = [text(fill(case.meaning[-1].text, values)), *_causes(case.causes, values)]
            told += [
                block for step in case.steps for block in _step(step, f"{step.rung[0].upper()}{step.rung[1:]}", values)
            ]
            parts += section(f"Case: {case.title}", *told)
        parts += _refusals([each for case in cases for each in case.do_not], values)
        parts += _beliefs(known.beliefs, values) + _settings_of(topic, host, system)
    else:
        parts += _linux_only(topic)
    sources = {claim: source for claim, source in known.sources.items() if here or claim in ("sentence", "turn")}
    for case in cases if here else ():
        sources |= {f"{case.title}: {claim}": source for claim, source in case.sources.items()}
    return Page(known.name, parts + _see(known.see) + _sources(sources))


def _linux_only(topic: Topic) -> tuple[Section, ...]:
    name = topic.title.split()[0] if topic.kind == "finding" else topic.title
    return section("On Linux", text(f"Causes, steps and numbers are told of Linux: sockui explain {quote(name)}"))


# --- options and errors ---------------------------------------------------------------------------


def _note(topic: Topic, host: Host, values: settings.Values, system: SystemWords) -> Page:
    known = notes.note(f"{topic.kind}s", topic.name)
    parts = section("", text(fill(known.sentence, values)))
    told = (
        ("Whose turn", known.turn),
        ("What ends it", known.ends),
        ("Costs", known.costs),
        ("Is it a problem", known.problem),
        ("Settings", settings.shown(host, known.settings)),
    )
    parts += section("In short", *(fact(label, fill(words_, values)) for label, words_ in told if words_))
    title = "What it does" if topic.kind == "option" else "Which call says it, and when"
    parts += section(title, *(point(fill(claim.text, values), claim.source) for claim in known.claims))
    parts += section("Causes, the likeliest first", *_causes(known.causes, values))
    parts += _ladder(known.steps, values) + _refusals(known.do_not, values) + _beliefs(known.beliefs, values)
    return Page(known.name, parts + _settings_of(topic, host, system) + _see(known.see) + _sources(known.sources))


# --- findings -------------------------------------------------------------------------------------


def _finding(topic: Topic, host: Host, values: settings.Values, system: SystemWords) -> Page:
    known = finding_words.finding(topic.name)
    cases = [words.situation(situation) for situation in known.situations]
    turn = [f"{variant.who}: {words.fill(variant.text, values)}" for variant in known.turn]
    turn = turn or [f"{case.turn[-1].who}: {words.fill(case.turn[-1].text, values)}" for case in cases]
    ends = [variant.text for variant in known.ends or tuple(case.ends[-1] for case in cases)]
    evidence_names = (known.aged, *(line.name for line in known.evidence), *(_EVIDENCE if known.filter else ()))
    parts = section("", *(text(f"{variant.text}.") for variant in known.title))
    parts += section("Meaning", *(text(fill(case.meaning[-1].text, values)) for case in cases))
    told: list[Block] = []
    for label, texts in (
        ("Fires", [known.fires]),
        ("Severity", [known.severity]),
        ("False positives", known.false_positives),
        ("Whose turn", [each[0].upper() + each[1:] for each in turn]),
        ("What ends it", ends),
        ("Costs", [known.costs]),
        ("Evidence", [f"{', '.join(dict.fromkeys(filter(None, evidence_names)))}."]),
        ("Settings", [settings.shown(host, known.settings)]),
    ):
        told += [fact(label, fill(each, values)) for each in dict.fromkeys(texts) if each]
    parts += section("In short", *told)
    parts += section("Its sockets are in", *_states_of(known.situations, values))
    parts += section("Causes", *_causes([*known.causes, *(cause for case in cases for cause in case.causes)], values))
    parts += _ladder([*known.steps, *(step for case in cases for step in case.steps)], values)
    parts += _refusals([*(each for case in cases for each in case.do_not), *known.do_not], values)
    parts += _beliefs(known.beliefs, values)
    parts += section("", text("A finding has the commands, filled in. Thresholds and reasons: sockui --print-config."))
    parts += _settings_of(topic, host, system)
    sources = dict(known.sources)
    for case in cases:
        sources |= {f"{case.title}: {claim}": source for claim, source in case.sources.items()}
    return Page(topic.title, parts + _see(known.see) + _sources(sources))


def _states_of(situations: Iterable[str], values: settings.Values) -> Iterable[Block]:
    """The states of TCP that situations belong to: how they are entered and left, and what they cost."""
    for state in map(words.state, words.names("states")):
        if set(state.situations) & set(situations) and state.name.isupper():
            entered, left = (
                "; ".join(f"{edge.state} ({edge.on})" for edge in edges) for edges in (state.entered_by, state.left_by)
            )
            costs = f"Costs: {fill(state.costs, values)}"
            yield point(f"{state.name}. {fill(state.sentence, values)}", f"From {entered}.", f"To {left}.", costs)


_EVIDENCE = "number and trend", "process", "descriptors", "threads", "the other end if it is on this host"
"""Lines that every finding has if they are known."""


# --- settings -------------------------------------------------------------------------------------


def _setting(topic: Topic, host: Host, system: SystemWords) -> Page:
    """A setting of every system that has one of that name; ``system`` first."""
    every = [(each, one) for each in systems.systems() for one in each.settings if one.name == topic.name]
    every.sort(key=lambda pair: pair[0].key != system.key)
    parts: tuple[Section, ...] = ()
    for each, one in every:
        about = [found.title for found in map(topics.find, one.topics) if found]
        parts += section(f"On {each.name}", *_told(one, each, host, changing=True), fact("About", ", ".join(about)))
        parts += _known(each)
    return Page(topic.title, parts)


def _settings_of(topic: Topic, host: Host, system: SystemWords) -> tuple[Section, ...]:
    """The settings of a system that are about a topic; how those of Linux are changed is on their own pages."""
    here = system.key == LINUX
    about = [one for one in system.settings if topic in map(topics.find, one.topics)]
    told = [block for one in about for block in _told(one, system, host, changing=not here)]
    if here:
        more = text("How to change one, for now or for good: sockui explain and its name.")
        return section("Settings of Linux", *told, more) if told else ()
    return section(f"Settings of {system.name}", *(told or [text("None is known that is about it.")])) + _known(system)


def _known(system: SystemWords) -> tuple[Section, ...]:
    return section(f"How it is known, {system.name}", text(system.about))


def _told(one: Setting, system: SystemWords, host: Host, *, changing: bool) -> Iterable[Block]:
    """What a setting does, its value, and its commands: those that read, and those that change it if asked for."""
    now = " ".join(host.sysctls.get(one.name, "").split()) if system.key == LINUX and host.name else ""
    values = f"{_default(one)} Now {now} {one.unit}".rstrip() + "." if now else _default(one)
    yield point(f"{one.name}: {one.text}", values, f"Source: {one.source}")
    for way in one.ways:
        on = f"{way.on}: " if way.on else ""
        if way.read:
            yield command(way.read, f"{on}reads")
        for line, effect in ((way.change, way.changes), (way.persist, way.persists)) if changing else ():
            if line:
                yield command(line, f"{on}changes settings, {effect}")


def _default(one: Setting) -> str:
    unit = f" {one.unit}" if one.unit else ""
    if one.gone:
        return f"Gone {one.gone}; was {one.default}{unit} by default."
    if one.default[:1].isdigit():
        told = f"Default {one.default}{unit}"
    else:
        told = f"Default: {one.default or 'found in no document'}{f'; in{unit}' if unit else ''}"
    versions = f" ({one.versions})" if one.versions else ""
    return f"{told}{versions}{f', set for {one.scope}' if one.scope else ''}."


# --- what pages share -----------------------------------------------------------------------------


def _causes(causes: Iterable[words.CauseWords], values: settings.Values) -> list[Block]:
    told = dict.fromkeys((fill(cause.text, values), fill(cause.tell, values)) for cause in causes)
    return [point(what, tell) for what, tell in told]


def _ladder(steps: Sequence[words.StepWords], values: settings.Values) -> tuple[Section, ...]:
    """Steps in the order of the ladder, each with its command if that has no hole."""
    parts: tuple[Section, ...] = ()
    for rung in words.RUNGS:
        told = dict.fromkeys(block for step in steps if step.rung == rung for block in _step(step, "", values))
        parts += section(f"What to do: {rung}", *told)
    return parts


def _step(step: words.StepWords, label: str, values: settings.Values) -> Iterable[Block]:
    """A step, and its command if that has no hole."""
    yield fact(label, fill(step.text, values)) if label else point(fill(step.text, values))
    if step.command and not any(words.placeholders(step.command)):
        yield command(step.command, f"{step.effect}, as root" if step.root else step.effect)


def _refusals(refusals: Iterable[words.DoNot], values: settings.Values) -> tuple[Section, ...]:
    told = {fill(each.what, values): fill(each.why, values) for each in refusals}
    return section("What not to do", *(point(what, why) for what, why in told.items()))


def _beliefs(beliefs: Iterable[words.Belief], values: settings.Values) -> tuple[Section, ...]:
    return section(
        "Believed, and wrong",
        *(point(f'"{each.belief}"', fill(each.truth, values), f"Source: {each.source}") for each in beliefs),
    )


def _see(names: Iterable[str]) -> tuple[Section, ...]:
    found = [topic.title for topic in map(topics.find, names) if topic]
    return section("See also", text(", ".join(found))) if found else ()


def _sources(sources: Mapping[str, str]) -> tuple[Section, ...]:
    return section("Sources", *(fact(claim, source) for claim, source in sources.items()))


GENERIC = {
    "state": "this state",
    "holder": "the application",
    "its_fd": "its descriptor",
    "listener": "the listening application",
    "peer_app": "it",
    "peer_host": "the peer",
    "remote": "the peer",
    "in_timer": "when its timer ends",
    "in_timer_start": "When its timer ends",
    "timer": "some time",
    "idle": "a while",
    "unread_for": "a while",
    "give_up": "a time",
    "give_up_setting": "tcp_orphan_retries once closed, tcp_retries2 while held",
    "who": "the application",
    "at": "",
    "since": "",
    "place": "this endpoint",
    "others": "another process",
    "sockets": "sockets",
    "connections": "connections",
    "by_state": "sockets by state",
    **dict.fromkeys(("unread", "queued", "recv_queue"), "N bytes"),
    **dict.fromkeys(("unread_wait", "queued_wait"), "N bytes wait"),
    "queued_are": "N bytes are",
    "waiting": "N wait",
    "capacity": "N fit",
    "drops": "N packets",
    "syns": "N SYNs",
}
"""What stands for a socket's or a finding's own values where none is meant."""


def _limits(limits: Thresholds | None) -> dict[str, str]:
    """The thresholds as words want them: a share in percent, seconds and numbers plain."""
    found = {}
    for threshold in fields(Thresholds):
        value = getattr(limits or Thresholds(), threshold.name)
        found[threshold.name] = f"{value * 100:g} %" if threshold.metadata["high"] <= 1 else f"{value:,g}"
    return found


class _Anything(settings.Values):
    """Values where no socket is meant: a number that no text names one by one is N."""

    def __missing__(self, name: str) -> str:
        return super().__missing__(name) if "." in name else "N"
