"""How a socket ended, in sentences.

Owns the sentence and the lines about a socket whose end the kernel told, and about all of a poll. Must not judge
(``model.endings``) or make cells (``fields``), and says nothing about ends that were only noticed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sockui.model import How, Known, State
from sockui.tracker import Life, Update
from sockui.view import evidence, fields
from sockui.view.evidence import at_most, interval, knows, number
from sockui.view.facts import Facts

_SENTENCES = {
    How.UNKNOWN: "It has ended; what the kernel told does not prove whether by a FIN or a RST.",
    How.CLOSED: "It was closed: the peer had acknowledged our FIN and all data before it. "
    "Whether the peer's own FIN had come is not known.",
    How.NORMAL: "Both sides closed it: the peer had acknowledged our FIN and all data before it, and its own had come.",
    How.RESET: "A RST ended it, or ss -K: the peer had not acknowledged a FIN of ours. Whose RST is not known.",
    How.RESET_BY_PEER: "The peer reset it: since it was last seen something came, and no RST left.",
    How.RESET_HERE: "It was reset from here: close() with data unread, or ss -K. "
    "Since it was last seen nothing had come from the peer.",
    How.DISCONNECTED: "It was torn down without a FIN: close() with SO_LINGER 0, or its listener was closed before "
    "accept(), or the peer had reset it when connect() returned.",
    How.UNANSWERED: "It ended while {attempts} without an answer: the kernel gave up, or a RST came.",
    How.TIMED_OUT: "The kernel gave up while {attempts} without an answer.",
    How.REFUSED: "connect() was refused: the answer to our SYN was a RST.",
    How.NO_ANSWER: "connect() had no answer at all: it timed out, or nobody could be reached, or close() came first.",
    How.CONNECT_FAILED: "connect() failed: refused, unreachable or timed out. The kernel has cleared what would say.",
}
_PLAIN = (How.UNKNOWN, How.CLOSED, How.NORMAL)
_FIN_POSSIBLE = (How.UNKNOWN, How.CLOSED)
_NO_LIFETIME = (How.NO_CONNECTION, How.REFUSED, How.NO_ANSWER, How.CONNECT_FAILED)


def summary(update: Update) -> str:
    """``24 ended in 2.0 s: 3 reset by peer, 1 timed out``; "" if none did. What only closed is not named."""
    number_of = {how: int(count) for how, count in zip(How, update.hows.tolist(), strict=True)}
    del number_of[How.NO_CONNECTION]
    total = sum(number_of.values())
    if not total:
        return ""
    named = [f"{count:,} {fields.ENDED_TEXTS[how]}" for how, count in number_of.items() if count and how not in _PLAIN]
    return f"{total:,} ended in {update.seconds:.1f} s" + (f": {', '.join(named)}" if named else "")


def of(facts: Facts) -> Any:
    """The ENDING record of a socket, None if the kernel told nothing of its end."""
    if facts.life != Life.ENDED:
        return None
    at = int(facts.update.ending_places(np.array([facts.index]))[0])
    return None if at < 0 else facts.update.endings[at]


def sentence(facts: Facts, ending: Any) -> str:
    """How it ended; "" if there was no connection to end, what its state says is all then."""
    retransmissions, probes = int(facts.row["retransmits"]), int(facts.row["probes"])
    attempts = number(retransmissions, "retransmission was", "retransmissions were")
    if not retransmissions:
        attempts = number(probes, "probe was", "probes were")
    return _SENTENCES.get(How(int(ending["how"])), "").format(attempts=attempts)


def lines(facts: Facts, ending: Any) -> tuple[str, ...]:
    """What the kernel told last, and then what was seen before."""
    row, how = facts.row, How(int(ending["how"]))
    if how == How.NO_CONNECTION:
        return evidence.lines(facts)
    found = []
    if how not in _NO_LIFETIME:
        least, most = int(ending["lifetime_min_ms"]), int(ending["lifetime_max_ms"])
        lived = f"≤ {at_most(most)}" if 0 <= most < 1000 else interval(least, None if most < 0 else most)
        found.append(f"Lived {lived}, from the handshake on" if lived else "")
        found += _traffic(row, how) if how != How.DISCONNECTED else []
    if how in (How.REFUSED, How.NO_ANSWER) and row["retransmits"]:
        found.append(f"{number(int(row['retransmits']), 'SYN')} repeated")
    if row["state"] == State.CLOSE and facts.pid == 0:
        found.append("In no dump near its end: who held it is not known")
    else:
        found += ["When last seen:", evidence.age(facts), *evidence.owner(facts)]
        found += _traffic(row, how) if how == How.DISCONNECTED else []  # the last ones were cleared
    return tuple(line for line in found if line)


def _traffic(row: Any, how: How) -> list[str]:
    if not knows(row, Known.COUNTERS):
        return []
    sent, again = int(row["bytes_sent"]), int(row["bytes_retrans"])
    received = int(row["bytes_received"])
    finished = row["state"] in fields.FIN_RECEIVED or how == How.NORMAL
    fin = min(received, int(finished))
    perhaps = " (or 1 less: a FIN of the peer counts)" if received > fin and not fin and how in _FIN_POSSIBLE else ""
    repeated = f", {number(again, 'byte')} of them again" if again else ""
    found = [f"Sent {number(sent, 'byte')}{repeated}; received {number(received - fin, 'byte')}{perhaps}"]
    if row["total_retrans"]:
        found.append(f"{number(int(row['total_retrans']), 'segment')} retransmitted in all its life")
    if row["send_queue"]:
        found.append(f"Send-Q: {row['send_queue']:,} not acknowledged (a FIN counts 1)")
    came = finished or how in _FIN_POSSIBLE
    if int(row["recv_queue"]) > came:
        found.append(f"Recv-Q: {row['recv_queue']:,} not read{' (a FIN of the peer counts 1)' if came else ''}")
    return found
