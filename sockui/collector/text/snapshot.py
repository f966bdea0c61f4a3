"""A pasted text -> a Snapshot: which form it has, its rows, and what could not be understood.

Owns the choice of the reader and the bookkeeping of lines. Must not know how a form prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from sockui.collector.text.bsd import BsdReader
from sockui.collector.text.lines import read_lines
from sockui.collector.text.lsof import LsofReader
from sockui.collector.text.netstat import NetstatReader
from sockui.collector.text.proc import ProcReader
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.solaris import SolarisReader
from sockui.collector.text.ss import SsReader
from sockui.collector.text.surroundings import command_of, surrounds, time_of
from sockui.collector.text.table import SocketTable
from sockui.collector.text.windows import WindowsReader
from sockui.errors import TextError, UsageError
from sockui.model import Coverage, Gap, Host, Known, Owner, Snapshot, SocketArray

FORMS: Mapping[str, Callable[[SocketTable], Reader]] = MappingProxyType(
    {
        "proc": ProcReader,
        "ss": SsReader,
        "netstat": NetstatReader,
        "lsof": LsofReader,
        "windows": WindowsReader,
        "bsd": BsdReader,
        "solaris": SolarisReader,
    }
)
"""Every form by the name that forces it, in the order in which they are tried."""

SAMPLE = 100
"""Lines that were not understood of which the text is kept, and at most so many characters of each ..."""
SAMPLE_WIDTH = 200
PATIENCE = 100_000
"""Lines in which a form must have been recognised."""
LONGEST_ROW = 2_000
"""Characters of a line of any form but ss."""
COUNTERS_BEGIN_AGAIN = float((1 << 32) // 1000 + 1)
"""Seconds, 49.7 days: the least uptime at which the kernel's times in ms may have begun again at 0."""

_FIELDS = (  # JSON names, by the group that a row must have for them
    (Known.QUEUES, ("recv_queue", "send_queue")),
    (Known.TIMER, ("timer", "timer_seconds", "retransmits")),
    (Known.UID, ("uid",)),
    (Known.INODE, ("inode",)),
    (Known.COOKIE, ("cookie",)),
    (Known.CGROUP, ("cgroup", "unit")),
    (Known.INFO, ("rtt_ms", "cwnd", "last_data_sent_ms", "last_data_received_ms", "last_ack_received_ms")),
    (Known.COUNTERS, ("bytes_sent", "bytes_received")),
)
_TOOL = re.compile(r" (?:netstat|ss|lsof|/proc)\b")
_UNNAMED = "have no process in the text"


class Line(NamedTuple):
    """A line that was not understood."""

    number: int  # 1 for the first line of the text
    text: str  # its beginning, raw: escape before showing


@dataclass(frozen=True, eq=False, slots=True)
class TextSnapshot:
    """What a text says, and how far it was understood."""

    snapshot: Snapshot
    name: str  # of the text: a file name, or ""
    form: str  # for people: "Linux ss -tanpieO", "Windows netstat -ano (German)"
    lines: int  # lines read
    other: int  # lines about sockets that are neither TCP nor UDP, left out
    cut: int  # lines left out because the program had cut an address short or printed a host name for it
    not_understood: int  # lines, without ``cut``
    sample: tuple[Line, ...]  # the first of the lines cut or not understood
    taken_at: float | None  # Unix time, seconds; None: the text does not say when it was taken

    def report(self, *, unread: bool) -> Iterator[str]:
        """What was recognised, a sentence a line, raw; with ``unread`` also the lines that were not understood."""
        for note in self.snapshot.notes:
            yield f"{self.name}: {note[0].lower()}{note[1:]}"
        number = self.cut + self.not_understood
        if not unread:
            if number:
                yield "--show-unread shows these lines"
            return
        for line in self.sample:
            yield f"{self.name}:{line.number}: {line.text}"
        if number > len(self.sample):
            yield f"{self.name}: {number - len(self.sample):,} more lines"


def read_text(data: BinaryIO | bytes, name: str = "", form: str = "auto") -> TextSnapshot:
    """Read one text: the sockets of one host at one moment.

    ``form`` is a key of :data:`FORMS`, or ``auto``: then the first line that is of one form decides. A TCP connection
    that is listed twice counts once, as it was listed last.

    ``taken_at`` of the snapshot is 0 where the text does not say it. Its ``monotonic`` and ``boottime`` are the least
    uptime at which the kernel's counters may have begun again (:data:`COUNTERS_BEGIN_AGAIN`): the uptime is not known,
    and :func:`sockui.ages.bounds` then claims no upper bound that a counter which began again would break.
    ``dump_seconds`` is what the tool may have taken, and a second more, the unit in which ss prints timers.

    Raises :class:`TextError` if nothing is recognised or reading fails, UsageError for an unknown ``form``.
    """
    if form != "auto" and form not in FORMS:
        raise UsageError(f"there is no form {form!r}; choose from: auto, {', '.join(FORMS)}")
    reading = _Reading([form] if form != "auto" else list(FORMS))
    for line in read_lines(data):
        reading.take(line)
        if reading.reader is None and reading.lines >= PATIENCE:
            break
    return reading.result(name)


class _Reading:
    """The state of reading one text."""

    def __init__(self, forms: list[str]) -> None:
        self.table = SocketTable()
        self.candidates = [FORMS[form](self.table) for form in forms]
        self.forced = len(forms) == 1
        self.reader: Reader | None = self.candidates[0] if self.forced else None
        self.lines = 0
        self.headings = 0  # of the chosen form
        self.counts = [0] * len(Seen)
        self.sample: list[Line] = []
        self.taken_at: float | None = None
        self._time: float | None = None  # of the last line that told one

    def take(self, line: str | None) -> None:
        """Take the next line, None for one that was too long."""
        self.lines += 1
        if line is None:
            self._not_understood(Seen.UNKNOWN, "(a line of more than a million characters)")
            return
        seen = self._read(line)
        if seen == Seen.UNKNOWN:
            if (time := time_of(line)) is not None:
                self._time, line = time
                seen = self._read(line) if line else Seen.HEADING
            if seen == Seen.UNKNOWN:
                seen = self._around(line)
        if seen == Seen.SOCKET:
            self.taken_at = self._time
        elif seen in (Seen.UNKNOWN, Seen.CUT):
            self._not_understood(seen, line)
            return
        self.counts[seen] += 1

    def _read(self, line: str) -> Seen:
        """The reader's word; until a row was read, another reader may still be the right one."""
        long = len(line) > LONGEST_ROW
        if self.reader is not None:
            if long and type(self.reader) is not SsReader:
                return Seen.UNKNOWN
            seen = self.reader.read(line)
            if seen != Seen.UNKNOWN or len(self.table) or self.forced:
                self.headings += seen == Seen.HEADING
                return seen
        found = Seen.UNKNOWN
        for candidate in self.candidates:
            if candidate is self.reader or (long and type(candidate) is not SsReader):
                continue
            seen = candidate.read(line)
            if seen in (Seen.SOCKET, Seen.HEADING):
                self.reader = candidate
                self.headings += seen == Seen.HEADING
                return seen
            found = max(found, seen)
        return found

    def _around(self, line: str) -> Seen:
        if surrounds(line):
            return Seen.HEADING
        command = command_of(line) if len(line) < 500 else None
        if command is None:
            return Seen.UNKNOWN
        for reader in self.candidates:
            reader.command(command)
        return Seen.HEADING

    def _not_understood(self, seen: Seen, line: str) -> None:
        self.counts[seen] += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(Line(self.lines, line[:SAMPLE_WIDTH]))

    def result(self, name: str) -> TextSnapshot:
        """Everything that was read. Raises :class:`TextError` if that is nothing."""
        reader = self._recognised(name or "the text")
        reader.finish()
        rows, holders = self.table.finish(one_row_per_holder=reader.one_row_per_holder)
        form = reader.title()
        snapshot = Snapshot(
            taken_at=self.taken_at or 0.0,
            monotonic=COUNTERS_BEGIN_AGAIN,
            boottime=COUNTERS_BEGIN_AGAIN,
            sockets=rows,
            processes=self.table.processes,
            holders=holders,
            host=Host(name="", system=_TOOL.split(form)[0]),
            coverage=_coverage(rows),
            source="text",
            notes=self._notes(form, len(rows), reader.notes()),
            dump_seconds=1.0 + len(rows) / 20_000,  # the slowest options of ss list 20,000 sockets in a second
        )
        return TextSnapshot(
            snapshot=snapshot,
            name=name,
            form=form,
            lines=self.lines,
            other=self.counts[Seen.OTHER],
            cut=self.counts[Seen.CUT],
            not_understood=self.counts[Seen.UNKNOWN],
            sample=tuple(self.sample),
            taken_at=self.taken_at,
        )

    def _recognised(self, what: str) -> Reader:
        """The reader that was chosen; raises if there is none, or nothing of its form in the text."""
        if not self.lines:
            raise TextError(f"{what} is empty")
        cut = self.counts[Seen.CUT]
        if cut and not len(self.table):
            raise TextError(f"all {cut} rows of {what} have host names or cut addresses: make it with netstat -nW")
        of_its_form = len(self.table) or self.headings or self.counts[Seen.OTHER]
        if self.reader is None or not of_its_form:
            raise TextError(
                f"no list of sockets is recognised in {what} ({self.lines} lines); known are ss, netstat, lsof -i and "
                "/proc/net/tcp of Linux, netstat of macOS, the BSDs, Windows, Solaris, HP-UX and AIX"
            )
        return self.reader

    def _notes(self, form: str, number: int, more: tuple[str, ...]) -> tuple[str, ...]:
        """``number`` of sockets."""
        unknown = self.counts[Seen.UNKNOWN]
        left = f"{_lines(unknown)} not understood" if unknown else "every line understood"
        notes = [f"Read as {form}: {number:,} {'socket' if number == 1 else 'sockets'}, {left}.", *more]
        if self.taken_at is None:
            notes.append("The text does not say when it was taken.")
        if cut := self.counts[Seen.CUT]:
            notes.append(
                f"{_lines(cut)} left out: addresses that are cut short, or host names (netstat -nW prints neither)."
            )
        if left := self.table.left_out():
            notes.append(f"So many sockets, told in such detail, that this is left out: {left}.")
        if self.table.duplicates:
            notes.append(f"{_lines(self.table.duplicates)} left out: the same connection is listed again further down.")
        return tuple(notes)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _coverage(rows: SocketArray) -> Coverage:
    groups = 0
    for group, _ in _FIELDS:
        if (rows["known"] & int(group)).any():
            groups |= int(group)
    missing = tuple(name for group, names in _FIELDS if not groups & group for name in names)
    owner = rows["owner"]
    attributed, kernel = int((rows["pid"] > 0).sum()), int((owner == Owner.KERNEL).sum())
    if not attributed:
        missing += ("pid", "process", "fd", "holders")
    unnamed = len(rows) - attributed - kernel
    return Coverage(
        sockets=len(rows),
        attributed=attributed,
        kernel=kernel,
        gaps=(Gap(unnamed, _UNNAMED),) if unnamed else (),
        missing_fields=missing,
    )
