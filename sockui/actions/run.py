"""Plan -> Outcome: does what the plan says, looks again at what came of it, and writes it down.

Owns the order of these and the log. Must not act on anything that the plan does not show, and claims only what a
fresh look has found. It waits for seconds: not for the thread that draws.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sockui.actions.plan import (
    ENDING,
    Plan,
    by_state,
    describe,
    descriptors,
    lacks_kill,
    lacks_net_admin,
    require,
    sockets,
)
from sockui.collector import inet_diag
from sockui.collector.coverage import shortage
from sockui.collector.destroy import Answer, Destroyer, Refusal, Verdict, refusals
from sockui.collector.processes import ProcessTable, user_name
from sockui.errors import ActionError, NetlinkError, NotKeptError
from sockui.model import Process, Protocol, SocketArray, State, empty_sockets, state_name
from sockui.statefile import append
from sockui.view.format import count, escape, local_endpoint, protocol, remote_endpoint

LOG = "actions.log"
"""One JSON object a line, beside the file that copied text is kept in."""

_AGAIN = 0.05  # s between two looks
_GRACE = 1.0  # s, for a signal that is not meant to end the process
_END_OF_FILE = "a read gives what had arrived, then end of file; the first write gives ECONNABORTED"
_AFTER = {  # what the holder of a destroyed socket meets, by the state that it was in
    (State.CLOSE_WAIT,): f"the leak remains; {_END_OF_FILE}",
    (State.CLOSING, State.LAST_ACK): _END_OF_FILE,
    (State.ESTABLISHED, State.SYN_SENT, State.FIN_WAIT1, State.FIN_WAIT2): (
        "a read gives what had arrived, then ECONNABORTED; so does a write"
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan, by a fresh look afterwards."""

    sentences: tuple[str, ...]  # to be shown in this order; escaped
    done: bool  # all that was planned has come about
    closed: int  # sockets of the plan that are gone since
    gone_before: int  # that had ended before, or had gone on to a state that ends by itself
    refused: int  # that the kernel refused to destroy, or that it was not asked about any more
    left: int  # that are still listed
    ended: bool | None  # whether the signalled process has ended; None: sockets were closed
    log: Path | None = None  # where it was written down; None: nowhere, a sentence says why


def run(
    plan: Plan,
    word: str,
    destroyer: Destroyer,
    *,
    allowed: bool,
    seconds: float = 5.0,
    directory: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Outcome:
    """Do what ``plan`` says, look until it has come about or ``seconds`` are over, and write it down.

    ``word`` is what was typed. ``destroyer`` was opened in the plan's network namespace and is used by nobody else.
    The log is in ``directory``, None for the user's state directory; ``environ`` tells who is behind sudo.

    Raises, with nothing done, :class:`ActionError` if actions are not ``allowed``, another word was typed or the plan
    has an obstacle, and :class:`NetlinkError` if the kernel cannot be asked. What goes wrong later is in the outcome.
    """
    require(allowed)
    if plan.obstacle:
        raise ActionError(plan.obstacle)
    if word.strip() != plan.word:
        raise ActionError(f'nothing was done: type "{plan.word}" to confirm')
    began = datetime.now().astimezone()
    answers: dict[int, Answer] = {}
    try:
        if plan.process is None or plan.signal is None:
            outcome = _close(plan, destroyer, seconds, answers)
        else:
            outcome = _signal(plan, plan.process, plan.signal, destroyer, seconds)
    except BaseException as error:  # what was done must be found in the log even then
        with contextlib.suppress(NotKeptError):
            append(LOG, _line(plan, began, answers, [f"broken off: {escape(repr(error))}"], environ), directory)
        raise
    try:
        path = append(LOG, _line(plan, began, answers, outcome.sentences, environ), directory)
    except NotKeptError as failure:
        return dataclasses.replace(outcome, sentences=(*outcome.sentences, f"It is not in a log: {failure}."))
    return dataclasses.replace(outcome, log=path)


def _close(plan: Plan, destroyer: Destroyer, seconds: float, answers: dict[int, Answer]) -> Outcome:
    """Destroy the targets that are still what the plan shows; ``answers`` gets the kernel's, by position."""
    targets = plan.targets
    now = targets.copy()
    seen = _look(destroyer, targets)
    here = seen["cookie"] != 0
    now[here] = seen[here]  # the others are asked for too: one dump proves nothing, ENOENT does
    moved_on = refusals(now) != Refusal.NONE
    to_do = np.flatnonzero(~moved_on)
    trouble = ""
    for index in to_do.tolist():
        try:
            answers[index] = destroyer.destroy(targets[index])
        except NetlinkError as error:
            trouble = str(error)
            break
    verdicts = Counter(answer.verdict for answer in answers.values())
    hit = np.array([i for i, answer in answers.items() if answer.verdict == Verdict.CLOSED], np.intp)
    try:
        after = _look_until_gone(destroyer, targets[hit], seconds)
    except NetlinkError as error:
        after, unproven = targets[hit], str(error)
    else:
        unproven = ""
    remaining = (after["cookie"] != 0) & (after["state"] != State.CLOSE)
    closed, left = len(hit) - int(remaining.sum()), int(remaining.sum())
    gone = verdicts[Verdict.GONE]
    refused = len(to_do) - len(hit) - gone

    said = []
    if closed:
        what = "Closed" if len(targets) == 1 else f"Closed {count(closed)} of {sockets(len(targets))}"
        said.append(f"{what}: the kernel lists {'it' if closed == 1 else 'them'} no more.")
    elif not len(hit):
        said.append("Nothing was closed.")
    if gone:
        said.append(f"{sockets(gone)} had ended before: the kernel has none with that cookie at those endpoints.")
    if moved_on.any():
        said.append(f"Left alone, having moved on before: {', '.join(by_state(now[moved_on]))}.")
    for answer, number in Counter(answers.values()).items():
        if answer.verdict not in (Verdict.CLOSED, Verdict.GONE):
            said.append(f"{sockets(number)} refused: {_refusal(answer)}")
    if trouble:
        said.append(f"{sockets(len(to_do) - len(answers))} not tried: {trouble}.")
    if unproven:
        said.append(f"{sockets(left)} destroyed, as the kernel says, but it could not be looked at again: {unproven}.")
    elif left:
        said.append(f"Still listed after {seconds:g} s: {', '.join(by_state(after[remaining]))}.")
    if bound := int(((after["cookie"] != 0) & ~remaining).sum()):
        said.append(
            f"{count(bound)} local port{' stays' if bound == 1 else 's stay'} bound until the descriptor is closed."
        )
    said += _what_stays(plan, now[hit[~remaining]])
    done = not refused and not left
    return Outcome(tuple(said), done, closed, gone + int(moved_on.sum()), refused, left, None)


def _what_stays(plan: Plan, rows: SocketArray) -> list[str]:
    """What the holders of destroyed sockets still have, by a look into /proc."""
    said = []
    for states, after in _AFTER.items():
        held = [each for each in descriptors(plan.update, rows[np.isin(rows["state"], states)]) if _refers_to(*each)]
        if held:
            said.append(f"{describe(plan.update, held)} {'is' if len(held) == 1 else 'are'} still open: {after}.")
    return said


def _refers_to(pid: int, descriptor: int, inode: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}") == f"socket:[{inode}]"
    except OSError:
        return False


def _refusal(answer: Answer) -> str:
    if answer.verdict == Verdict.NOT_PERMITTED:
        return f"EPERM. {lacks_net_admin()}"
    if answer.verdict == Verdict.NOT_SUPPORTED:
        return "EOPNOTSUPP. This kernel was built without CONFIG_INET_DIAG_DESTROY; only the process can close it."
    return f"{answer.name} ({os.strerror(answer.errno)})."


def _signal(plan: Plan, process: Process, number: signal.Signals, destroyer: Destroyer, seconds: float) -> Outcome:
    """Signal the process that the plan shows, through a descriptor that no successor of its pid can take over."""
    (name,) = plan.processes
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return _nothing_sent(plan, f"{name} had ended before: nothing was sent.", ended=True)
    except OSError as error:
        raise ActionError(f"nothing was sent: {name} cannot be held on to: {error.strerror}") from error
    try:
        table = ProcessTable()
        table.refresh()
        seen = table.seen.get(process.pid)  # after pidfd_open(): the descriptor is this one's, or an older one's
        if seen is None and table.shortage:
            raise ActionError(f"nothing was sent: /proc cannot be read: {shortage(table.shortage)}")
        if seen is None or _ended(descriptor, 0):
            return _nothing_sent(plan, f"{name} had ended before: nothing was sent.", ended=True)
        if seen.started_ticks != process.started_ticks:
            text = f"{name} had ended before, and pid {process.pid} is another process by now: nothing was sent."
            return _nothing_sent(plan, text, ended=True)
        began = time.monotonic()
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return _nothing_sent(plan, f"{name} had ended before: nothing was sent.", ended=True)
        except PermissionError:
            return _nothing_sent(plan, f"Nothing was sent: EPERM. {lacks_kill(process)}", ended=False)
        expects_end = number in ENDING
        patience = seconds if expects_end else min(seconds, _GRACE)
        ended = _ended(descriptor, patience)
        took = time.monotonic() - began
    finally:
        os.close(descriptor)
    if not ended:
        said = f"{name} got {number.name} and is still there after {patience:g} s"
        reason = _why_still_there(process.pid, number) if expects_end else ""
        text = f"{said}: {reason}." if reason else f"{said}."
        return Outcome((text,), not expects_end, 0, 0, 0, len(plan.targets), False)
    said = f"{name} ended {took:.1f} s after {number.name}."
    try:
        after = _look(destroyer, plan.targets)
    except NetlinkError as error:
        text = f"Its sockets could not be looked at again: {error}."
        return Outcome((said, text), True, 0, 0, 0, len(plan.targets), True)
    listed = after[after["cookie"] != 0]
    gone = len(after) - len(listed)
    texts = (
        [said, f"Of its {sockets(len(after))} {count(gone)} {'is' if gone == 1 else 'are'} gone."]
        if len(after)
        else [said]
    )
    if len(listed):
        texts.append(f"Still listed: {', '.join(by_state(listed))}.")
    return Outcome(tuple(texts), True, gone, 0, 0, len(listed), True)


def _nothing_sent(plan: Plan, text: str, *, ended: bool) -> Outcome:
    return Outcome((text,), ended, 0, 0, 0, 0 if ended else len(plan.targets), ended)


def _ended(descriptor: int, seconds: float) -> bool:
    """Whether the process of a pidfd ends within so many seconds; it counts from its exit, reaped or not."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(round(1000 * seconds)))


def _why_still_there(pid: int, number: signal.Signals) -> str:
    """What /proc/PID/status tells about a signal that did not end the process; "" nothing."""
    try:
        with open(f"/proc/{pid}/status", errors="replace") as status:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    except OSError:
        return ""
    if fields.get("State", "")[:1] in ("T", "t"):
        return "it is stopped and takes the signal when it is continued (SIGCONT)"
    if fields.get("State", "")[:1] == "D":
        return "it waits in the kernel and cannot be interrupted (state D)"
    for name, words in (
        ("SigIgn", f"it ignores {number.name}"),
        ("SigBlk", f"its main thread blocks {number.name}"),
        ("SigCgt", f"it handles {number.name} itself"),
    ):
        if int(fields.get(name, "0").strip(), 16) >> (number - 1) & 1:
            return words
    return ""


def _look(destroyer: Destroyer, targets: SocketArray) -> SocketArray:
    """What the kernel lists under each target's cookie now: (n,) SOCKET, zeros where there is none.

    A dump is not atomic, a socket may be missing from one; so the kernel's answer to each request counts too.
    """
    decoder = inet_diag.Decoder()
    for family, number in sorted(set(zip(targets["family"].tolist(), targets["protocol"].tolist(), strict=True))):
        wire = inet_diag.AF_INET6 if family == 6 else inet_diag.AF_INET
        try:
            destroyer.dump(wire, Protocol(number), decoder, inet_diag.ALL_STATES)
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # no diag module for this protocol
                raise
    rows = decoder.rows()
    rows = rows[np.argsort(rows["cookie"])]
    found = empty_sockets(len(targets))
    if len(rows):
        at = np.minimum(np.searchsorted(rows["cookie"], targets["cookie"]), len(rows) - 1)
        same = rows["cookie"][at] == targets["cookie"]
        found[same] = rows[at[same]]
    return found


def _look_until_gone(destroyer: Destroyer, targets: SocketArray, seconds: float) -> SocketArray:
    """Look until no target is listed but as CLOSE (its port was bound explicitly), or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        now = _look(destroyer, targets)
        if not ((now["cookie"] != 0) & (now["state"] != State.CLOSE)).any() or time.monotonic() >= deadline:
            return now
        time.sleep(_AGAIN)  # until the next look: the kernel announces nothing to whoever closed


def _line(
    plan: Plan,
    began: datetime,
    answers: Mapping[int, Answer],
    result: Sequence[str],
    environ: Mapping[str, str],
) -> str:
    """One line of the log. JSON escapes what is not ASCII, and what is ASCII and hostile was escaped before."""
    uid = os.getuid()
    entry: dict[str, Any] = {
        "time": began.isoformat(timespec="seconds"),
        "uid": uid,
        "user": escape(user_name(uid)),
        "sudo_user": escape(environ["SUDO_USER"]) if environ.get("SUDO_USER") else None,
        "host": escape(plan.update.snapshot.host.name),
        "netns": escape(plan.update.snapshot.host.namespace) or None,
        "action": "close" if plan.signal is None else plan.signal.name,
    }
    if plan.process is not None:
        entry["process"] = {
            "pid": plan.process.pid,
            "name": escape(plan.process.name),
            "started_ticks": plan.process.started_ticks,
        }
    else:
        entry["processes"] = plan.processes
    entry["targets"] = [
        {
            "cookie": int(row["cookie"]),
            "protocol": protocol(row),
            "local": local_endpoint(row),
            "remote": remote_endpoint(row),
            "state": state_name(int(row["state"]), int(row["protocol"])),
            "inode": int(row["inode"]),
            **({"answer": answers[i].name} if i in answers else {}),
        }
        for i, row in enumerate(plan.targets)
    ]
    entry["result"] = list(result)
    return json.dumps(entry)
