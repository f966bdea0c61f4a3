"""What one pastes into a chat or a ticket: a few lines, or everything.

Owns the Markdown: bullets, numbered steps and code spans only, which read well in Slack, Teams, GitHub and as plain
text. Every text from outside stands in a code span that it cannot leave. Arguments of commands are never copied: they
may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis.situations import STUCK, classify
from sockui.knowledge import words
from sockui.model import Known, Owner, Process, Protocol, Shutdown, State, Timer, state_name
from sockui.tracker import Life, Update
from sockui.view import evidence
from sockui.view.column import distinct_addresses, take
from sockui.view.evidence import knows
from sockui.view.explain import Explanation, explain_facts, explain_process
from sockui.view.facts import Facts
from sockui.view.format import address, count, local_endpoint, moment, protocol, remote_endpoint
from sockui.view.markdown import code, ladder
from sockui.view.remedy import remedy_of, steps
from sockui.view.step import Step

EVIDENCE_SHOWN = 4
GROUPS_SHOWN = 6

_ALWAYS = ("protocol", "family", "state", "owner")
_GROUPS = {  # the fields that a group of ``known`` vouches for
    Known.COOKIE: ("cookie",),
    Known.INODE: ("inode", "holders"),
    Known.UID: ("uid",),
    Known.CGROUP: ("cgroup",),
    Known.QUEUES: ("recv_queue", "send_queue", "interface"),  # netlink has all three, psutil none
    Known.TIMER: ("timer", "timer_ms", "retransmits"),
    Known.MEMORY: ("shutdown", "rmem_alloc", "rcvbuf", "sndbuf", "wmem_queued", "drops"),
    Known.INFO: (
        *("ca_state", "probes", "backoff", "rto", "snd_mss", "unacked", "lost", "retrans", "last_data_sent"),
        *("last_data_recv", "last_ack_recv", "pmtu", "rtt", "rttvar", "snd_cwnd", "total_retrans"),
    ),
    Known.COUNTERS: (
        *("min_rtt", "notsent_bytes", "segs_out", "segs_in", "data_segs_out", "bytes_acked", "bytes_received"),
        *("bytes_sent", "bytes_retrans", "busy_time", "rwnd_limited", "sndbuf_limited"),
    ),
    Known.WINDOWS: ("snd_wnd", "rcv_wnd"),
    Known.RTO_TOTALS: ("total_rto", "total_rto_recoveries", "total_rto_time"),
}
_CODES = {"protocol": Protocol, "state": State, "timer": Timer, "shutdown": Shutdown, "owner": Owner}
_GARBAGE = ("last_data_sent", "last_data_recv", "last_ack_recv")  # in SYN_SENT and LISTEN
_SYSCTL = re.compile(r"\b(?:net|fs)\.[a-z0-9_.]*[a-z0-9_]\b")


def summary(update: Update, indexes: Sequence[int]) -> str:
    """A few lines for a chat about one socket, or about several: by situation and process, what is stuck first."""
    if len(indexes) != 1:
        return _several(update, indexes)
    facts = Facts(update, int(indexes[0]), mark=code)
    known = explain_facts(facts)
    found = [_head(facts), *_meaning(known)]
    found += [f"- {line}" for line in _telling(facts, known)]
    return "\n".join(found + _first(known.first))


def _first(step: Step | None) -> list[str]:
    """The line that says what to do first; none if there is nothing."""
    if step is None:
        return []
    return [f"- First: {step.text}" + (f" {code(step.command)}" if step.command else "")]


def _telling(facts: Facts, known: Explanation) -> tuple[str, ...]:
    """The first lines of evidence, and who holds it."""
    first = known.evidence[:EVIDENCE_SHOWN]
    return first + tuple(line for line in evidence.owner(facts) if line not in first)


def _head(facts: Facts) -> str:
    row = facts.row
    ends = f"{protocol(row)} {local_endpoint(row)} → {remote_endpoint(row)}"
    return f"{code(facts.state)} {code(ends)} on {_where(facts.update)}"


def _where(update: Update) -> str:
    host, when = update.snapshot.host, moment(update.snapshot.taken_at)
    namespace = f" netns {code(host.namespace)}" if host.namespace else ""
    return f"{code(host.name) if host.name else 'an unnamed host'}{namespace} at {when}"


def _several(update: Update, indexes: Sequence[int]) -> str:
    sockets, rows = update.sockets, np.asarray(indexes, np.intp)
    if not len(rows):
        return f"No sockets, on {_where(update)}"
    kinds = np.empty(len(rows), [("situation", "u1"), ("state", "u1"), ("owner", "u1"), ("who", "i8")])
    kinds["situation"] = classify(sockets, update.ages, update.life == Life.ENDED, rows)
    kinds["state"], kinds["owner"] = sockets["state"][rows], sockets["owner"][rows]
    hidden = kinds["owner"] == Owner.HIDDEN  # of those the user is all that is known
    kinds["who"] = np.where(hidden, sockets["uid"][rows], sockets["pid"][rows])
    groups, which, numbers = np.unique(kinds, return_inverse=True, return_counts=True)
    waits = np.isin(groups["situation"], [int(kind) for kind in STUCK])
    order = np.lexsort((-numbers, ~waits))
    found = [f"{count(len(rows))} sockets on {_where(update)}"]
    for group in order[:GROUPS_SHOWN]:
        members = rows[which == group]
        facts = Facts(update, int(members[0]), mark=code)
        pid = int(facts.row["pid"])
        who = facts.name(pid) if pid else _without_process(facts)
        title = words.situation(facts.situation.name.lower()).title
        since = _oldest(update, members)
        since = f", oldest {since}" if since and facts.row["protocol"] == Protocol.TCP else ""
        found.append(f"- {count(len(members))} {code(facts.state)} of {who}{_peers(update, members)}{since}: {title}")
    rest = order[GROUPS_SHOWN:]
    if len(rest):
        found.append(f"- and {count(int(numbers[rest].sum()))} more in {count(len(rest))} groups")
    return "\n".join(found)


def _peers(update: Update, rows: NDArray[np.intp]) -> str:
    """With whom these sockets are connected: one address, or how many."""
    connected = rows[update.sockets["remote_port"][rows] > 0]
    highs, lows, _ = distinct_addresses(take(update, connected), "remote")
    if len(lows) == 1:
        return f" with {code(address(int(highs[0]), int(lows[0]), 6))}"
    return f" with {count(len(lows))} hosts" if len(lows) else ""


def _oldest(update: Update, rows: NDArray[np.intp]) -> str:
    """The age of the oldest of these sockets; only if each is bounded above the oldest is."""
    least, most = update.ages["min_ms"][rows], update.ages["max_ms"][rows]
    return evidence.interval(int(least.max()), int(most.max()) if (most >= 0).all() else None)


def _without_process(facts: Facts) -> str:
    owner = int(facts.row["owner"])
    if owner == Owner.HIDDEN:
        return f"a process of {facts.user} that may not be read"
    return "no process (the kernel finishes alone)" if owner == Owner.KERNEL else "an unknown process"


def remedy_text(update: Update, index: int) -> str:
    """The remediation page of one socket."""
    facts = Facts(update, index, mark=code)
    return "\n".join([_head(facts), *_remedy(facts)])


def full(update: Update, index: int) -> str:
    """Everything that is known about one socket: explanation, remedy, process, settings and every known field."""
    facts = Facts(update, index, mark=code)
    known = explain_facts(facts)
    found = [_head(facts), *_meaning(known), "", "Evidence", *(f"- {line}" for line in known.evidence)]
    if known.causes:
        found += ["", "Possible causes", *(f"- {cause.text} {cause.tell}" for cause in known.causes)]
    found += ["", *_remedy(facts)]
    if facts.process is not None:
        process = facts.process
        found += ["", "Process", f"- {facts.name(process.pid)}, parent {process.ppid}, user {code(process.user)}"]
        found += [f"- command {_program(process)}"] if process.cmdline else []
        found += [
            f"- {name} {code(text)}" for name, text in (("unit", process.unit), ("cgroup", process.cgroup)) if text
        ]
    relevant = _settings(facts)
    if relevant:
        found += ["", "Settings", *(f"- {code(f'{name} = {value}')}" for name, value in relevant)]
    found += ["", "Fields", *(f"- {' '.join(code(field) for field in line)}" for line in _fields(facts))]
    snapshot = update.snapshot
    found += ["", f"Source {code(snapshot.source)}, {code(snapshot.host.system)}"]
    return "\n".join(found)


def _meaning(known: Explanation) -> list[str]:
    return [f"- What: {known.sentence}", f"- Whose turn: {known.turn}", f"- Ends: {known.ends}"]


def _remedy(facts: Facts) -> list[str]:
    page = remedy_of(facts)
    return [f"What to do: {page.title}", *ladder(page.steps, page.do_not), *([f"- {page.note}"] if page.note else [])]


def _program(process: Process) -> str:
    """The program without its arguments, which may hold secrets."""
    arguments = len(process.cmdline) - 1
    return code(process.cmdline[0]) + (" (arguments not copied)" if arguments else "")


def summary_process(update: Update, pid: int, subtree_pids: Collection[int] = ()) -> str:
    """A few lines for a chat about a process, or a subtree of processes."""
    known = explain_process(update, pid, subtree_pids)
    process = update.snapshot.processes.get(pid)
    states = ", ".join(f"{count(number)} {code(state)}" for state, number in known.totals) or "none"
    found = [f"{code(known.heading)} on {_where(update)}", f"- Sockets: {states}"]
    if known.stuck:
        oldest = Facts(update, known.oldest, mark=code)
        end = remote_endpoint(oldest.row) if oldest.row["remote_port"] else local_endpoint(oldest.row)
        age = _oldest(update, np.array([known.oldest])) or "age not known"
        title = words.situation(oldest.situation.name.lower()).title
        found.append(f"- Stuck: {count(known.stuck)}, the oldest {code(oldest.state)} {age}, {code(end)}: {title}")
        found += _first(next(iter(steps(oldest)), None))
    found += [f"- {code(fact)}" for fact in known.facts if not fact.startswith("Command ")]
    if process is not None and process.cmdline:
        found.append(f"- Command {_program(process)}")
    return "\n".join(found)


def _settings(facts: Facts) -> list[tuple[str, str]]:
    """The sysctls that the words about this state and situation name, as they are here."""
    state = words.state(State(int(facts.row["state"])).name.lower())
    situation = words.situation(facts.situation.name.lower())
    texts = [state.tunable, state.ends, *(variant.text for variant in situation.ends + situation.meaning)]
    texts += [f"{step.text} {step.command}" for step in situation.steps]
    names = dict.fromkeys(name for text in texts for name in _SYSCTL.findall(text))
    return [(name, facts.host.sysctls[name].strip()) for name in names if name in facts.host.sysctls]


def _fields(facts: Facts) -> list[list[str]]:
    """``name=value`` of every field that the row knows, a list per group, codes spelt out."""
    row = facts.row
    silent = _GARBAGE if int(row["state"]) in (State.SYN_SENT, State.LISTEN) else ()
    lines = [[f"{name}={_value(facts, name)}" for name in _ALWAYS]]
    if row["pid"]:
        lines[0] += [f"pid={row['pid']}", f"fd={row['fd']}"]
    for group, names in _GROUPS.items():
        if knows(row, group):
            lines.append([f"{name}={_value(facts, name)}" for name in names if name not in silent])
    return lines


def _value(facts: Facts, name: str) -> str:
    number = int(facts.row[name])
    if name == "state":
        return state_name(number, int(facts.row["protocol"]))
    kind = _CODES.get(name)
    return f"{kind(number).name or number}" if kind is not None else str(number)
