"""What to do about one socket: steps from the least to the most harmful, as commands to paste, and what not to do.

Owns the filling in of commands. Must not run anything, and writes no command with a hole: what is missing is replaced
by what would make it known. A command is meant to be pasted where sockui was started, so what asks the network stack
says which network namespace is meant.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sockui.diagnosis.situations import Situation
from sockui.knowledge import words
from sockui.model import Host, Owner, Process, Protocol
from sockui.tracker import Life, Update
from sockui.view import shell
from sockui.view.facts import Facts
from sockui.view.format import endpoint
from sockui.view.runtime import runtime_words, theme_of, tools_for
from sockui.view.settings import Values
from sockui.view.step import Step

_OF_NAMESPACE = frozenset({"conntrack", "curl", "ip", "nstat", "redis-cli", "ss", "sysctl", "tcpdump"})
"""First words of the commands that answer for a network namespace; the others are about processes."""
_NAMESPACE_FILES = "/proc/net/"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The remediation page of one socket."""

    title: str
    situation: Situation
    steps: tuple[Step, ...]  # least harmful first
    do_not: tuple[tuple[str, str], ...]  # what, why
    note: str  # what holds for the whole page; "" nothing


def remedy(update: Update, index: int) -> Remedy:
    """What to do about the socket in row ``index``. Every command is complete and quoted."""
    return remedy_of(Facts(update, index))


def remedy_of(facts: Facts) -> Remedy:
    """What to do about a socket whose facts were gathered already."""
    situation = words.situation(facts.situation.name.lower())
    if facts.life == Life.ENDED:
        return Remedy(
            "It has ended", facts.situation, (), (), "This socket has ended: there is nothing to do about it."
        )
    refusals = [(fill(item.what, facts.values), fill(item.why, facts.values)) for item in situation.do_not]
    every = [*steps(facts)]
    if facts.acting is not None:
        own, more = for_runtime(facts.acting, theme_of(facts.situation.name.lower()), facts)
        every, refusals = in_order([*every, *own]), refusals + more
    return Remedy(situation.title, facts.situation, tuple(every), tuple(refusals), _note(facts))


def for_runtime(process: Process, theme: str, facts: Facts) -> tuple[list[Step], list[tuple[str, str]]]:
    """What only this kind of program has: steps about a theme of ``view.runtime``, and what not to do to it."""
    runtime = runtime_words(process)
    known = commands(facts) | {"pid": str(process.pid)}
    own = [
        replace(step, command=from_outside(step.command, facts.host.namespace) if step.command else None)
        for step in tools_for(runtime, theme, known)
    ]
    return own, [(item.what, item.why) for item in runtime.do_not] if own else []


def in_order(every: Iterable[Step]) -> list[Step]:
    """Steps in the order of the ladder; within a rung those that only read come first."""
    harm = {effect: rank for rank, effect in enumerate(("", *words.EFFECTS))}
    return sorted(every, key=lambda step: (words.RUNGS.index(step.rung), harm[step.effect.split(",")[0]]))


_WHO = {"pid", "listener_pid"}


def steps(facts: Facts) -> tuple[Step, ...]:
    """The steps that apply, complete; the one that makes missing things known stands for all that need them.

    Commands are those of Linux: elsewhere what needs one is left out.
    """
    known = commands(facts)
    found: list[Step] = []
    for step in words.situation(facts.situation.name.lower()).steps:
        conditions = facts.conditions
        if not set(step.when) <= conditions or set(step.unless) & conditions:
            continue
        missing = set(words.placeholders(step.command)) - set(known)
        if not missing:
            command = words.fill(step.command, known)
            on_peer = "peer_side_filter" in words.placeholders(step.command) and not facts.same_host
            here = command if on_peer else from_outside(command, facts.host.namespace)
            effect = f"{step.effect}, needs root" if step.root or here != command else step.effect
            if facts.host.is_linux or not here:
                found.append(Step(step.rung, fill(step.text, facts.values), here or None, effect))
        elif missing & _WHO and (wanted := _to_learn(facts)) not in found:
            position = next((i for i, shown in enumerate(found) if shown.rung != "look"), len(found))
            found.insert(position, wanted)
    return tuple(found)


def fill(text: str, values: Values) -> str:
    """Fill a text and begin its sentences with a capital where a value of ours ("the application") stands there."""
    return re.sub(r"(^|[.!?] )(the|a|an|its|it) ", lambda m: m[1] + m[2].capitalize() + " ", words.fill(text, values))


def commands(facts: Facts) -> dict[str, str]:
    """What commands may be filled with, quoted for the shell; only what is known."""
    row, known = facts.row, {}
    local, remote = facts.address("local"), facts.address("remote")
    port, peer = int(row["local_port"]), int(row["remote_port"])
    listening = peer if facts.asks else port
    protocol = Protocol(int(row["protocol"])).name.lower()
    parts = [f"sport = :{port}"]
    if local not in ("0.0.0.0", "::"):
        parts.insert(0, f"src = {_bracket(local)}")
    if peer:
        parts += [f"dst = {_bracket(remote)}", f"dport = :{peer}"]
        known["remote_host"] = shlex.quote(remote)
        known["capture"] = shlex.quote(f"{protocol} and host {remote} and port {peer} and port {port}")
        known["capture_icmp"] = shlex.quote(f"({protocol} and host {remote} and port {peer}) or icmp or icmp6")
        known["peer_side_filter"] = shlex.quote(f"( sport = :{peer} and dport = :{port} )")
        theirs = f"dport = :{peer}" if "ephemeral" in facts.conditions else f"sport = :{port}"
        known["peer_filter"] = shlex.quote(f"( dst = {_bracket(remote)} and {theirs} )")
    known["filter"] = shlex.quote(f"( {' and '.join(parts)} )")
    known["listener_filter"] = shlex.quote(f"( sport = :{listening} )")
    if facts.pid:
        known["pid"] = str(facts.pid)
    if facts.holders and facts.holders[0][1] >= 0:
        known["fd"] = str(facts.holders[0][1])
    if facts.listening_pid:
        known["listener_pid"] = str(facts.listening_pid)
    if facts.unit:
        known["unit"] = shell.quote(facts.unit)
    if facts.process and (limits := fd_limits(facts.process, facts.host)):
        known["fd_limits"] = limits
    return known


def fd_limits(process: Process, host: Host) -> str:
    """What prlimit --nofile is to be given, up to twice the soft limit; "" if it cannot be raised or is not known.

    The soft limit alone, unless the hard one is below it, or above what the kernel takes from anybody
    (kernel/sys.c:do_prlimit).
    """
    soft, hard, most = process.fd_limit or 0, process.fd_limit_hard, host.nr_open
    wanted = min(soft * 2, most)
    if wanted <= soft:
        return ""
    if hard is None or wanted <= hard <= most:
        return f"{wanted}:"
    return f"{wanted}:{min(max(wanted, hard), most)}"


def from_outside(command: str, namespace: str) -> str:
    """A command as it must be pasted outside of the network namespace it asks about, which only root may enter.

    ``namespace`` is that of :class:`Host`. What does not depend on the network namespace stays as it is. nsenter(1),
    because ``ip netns exec`` mounts a new /sys, in which ``ss -e`` no longer finds the cgroups and says so.
    """
    if not namespace:
        return command
    which = f"-t {namespace} -n" if namespace.isdecimal() else f"--net={shell.quote(f'/run/netns/{namespace}')}"
    return "".join(
        f"{lead}nsenter {which} {part}" if _asks_the_stack(part) else lead + part for lead, part in shell.parts(command)
    )


def _asks_the_stack(command: str) -> bool:
    """Whether what a command says depends on the network namespace in which it runs."""
    return command.split(" ")[0] in _OF_NAMESPACE or _NAMESPACE_FILES in command


def _bracket(host: str) -> str:
    """An address as ``ss`` filters want it: IPv6 in brackets."""
    return endpoint(host, 1).rpartition(":")[0]


def _to_learn(facts: Facts) -> Step:
    """What would make the holder known."""
    owner = int(facts.row["owner"])
    fix = facts.update.snapshot.coverage.fix
    effect = "reads, needs root" if fix else ""
    if owner == Owner.HIDDEN:
        what = f"which process of {facts.user} holds it"
    elif owner == Owner.LISTENER or facts.listener >= 0:
        what = "which process holds the listener"
    elif owner == Owner.UNFOUND:
        what = "which process holds it"
    else:
        return Step("look", "Which process holds it is not known from this source.", fix, effect)
    listener = facts.update.sockets["owner"][facts.listener] if facts.listener >= 0 else Owner.UNKNOWN
    if fix:
        how = "only root may look. Then the steps name it."
    elif Owner.HIDDEN in (owner, listener):  # it is root that looks
        how = "this root may not look; that takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH."
    else:
        how = "none in sight. Look from the host, outside any container."
    return Step("look", f"Learn {what}: {how}", fix, effect)


def _note(facts: Facts) -> str:
    if facts.life == Life.MISSED:
        return "The socket was not in the last dump: look again before acting."
    holders = len({pid for pid, _ in facts.holders})
    if holders > 1:
        return f"{holders} processes hold it; each must close it. The commands name {facts.name(facts.pid)}."
    return ""
