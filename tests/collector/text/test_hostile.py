"""Whatever is pasted ends in a result or in a CollectError, in bounded memory, and nothing is lost silently."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockui.collector.text import FORMS, TextSnapshot, read_text, table
from sockui.collector.text.lines import LONGEST_LINE
from sockui.errors import CollectError, TextError, UsageError

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests/fixtures/text"
TEXTS = [path.read_bytes() for path in sorted(FIXTURES.glob("*.*"))]
ROW = b"ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n"


def attempt(data: bytes, form: str = "auto") -> TextSnapshot | None:
    try:
        told = read_text(data, "x", form)
    except CollectError:
        return None
    assert len(told.sample) <= 100
    assert len(told.sample) == min(100, told.cut + told.not_understood)
    assert told.snapshot.coverage.sockets == len(told.snapshot.sockets)
    return told


@given(st.binary(max_size=2000), st.sampled_from(["auto", *FORMS]))
def test_any_bytes(data: bytes, form: str) -> None:
    attempt(data, form)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_texts(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(TEXTS)))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 40))
        text[at : at + length] = data.draw(
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from([b"\0", b"\r", b"\n", b"\x1b[31m", b"99999999999999999999", b"-1", b" ", b"\xff\xfe"]),
            )
        )
    attempt(bytes(text), data.draw(st.sampled_from(["auto", *FORMS])))


@given(st.lists(st.sampled_from(b"".join(TEXTS).split(b"\n")), max_size=40))
def test_mixed_texts(lines: list[bytes]) -> None:
    attempt(b"\n".join(lines))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"hello\nworld\n",
        b"\0" * 5000,
        b"\xff\xfe",
        b"\xff\xfe\x00",
        b"\x1b[",
        b"#!/bin/sh\necho no\n",
        b"x" * (LONGEST_LINE + 10),
    ],
)
def test_no_list_of_sockets_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(TextError, match=r"empty|no list of sockets is recognised"):
        read_text(data)


def test_an_unknown_form_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="windows"):
        read_text(b"", form="vms")


def test_the_good_part_remains() -> None:
    data = (
        ROW
        + b"\x1b[1mCLOSE-WAIT\x1b[0m 1 0 10.0.0.1:3 \x1b]8;;http://x\x1b\\10.0.0.2:2\x1b]8;;\x1b\\\r\n"
        + b"ESTAB 0 0 10.0.0.1:70000 10.0.0.2:2\n"
        + b"ESTAB 0 9999999999 10.0.0.1:5 10.0.0.2:2\n"
        + b"ESTAB 0 0 10.0.0.1:6 10.0.\n"
        + b"> LISTEN 0 0 10.0.0.1:7\0 0.0.0.0:*\n"
        + b'ESTAB 0 0 10.0.0.1:8 10.0.0.2:2 users:(("\xff\xfe",pid=1,fd=1))\n'
        + b"x" * (2 * LONGEST_LINE)
        + b"\n"
        + b"LAST-ACK 0 0 10.0.0.1:9 10.0.0.2:2"
    )
    told = read_text(io.BytesIO(data))
    assert told.snapshot.sockets["local_port"].tolist() == [1, 3, 7, 8, 9]
    assert [line.number for line in told.sample] == [3, 4, 5, 8]
    assert (told.lines, told.not_understood) == (9, 4)


def test_the_sample_is_bounded_the_count_is_not() -> None:
    told = read_text(ROW + b"what is this\n" * 1000)
    assert (told.not_understood, len(told.sample)) == (1000, 100)


def test_reading_that_fails() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("disk on fire")

    with pytest.raises(TextError, match="disk on fire"):
        read_text(Broken())  # type: ignore[arg-type]


def test_a_process_for_each_socket_does_not_fill_memory_with_names() -> None:
    told = read_text(
        b"".join(
            b'ESTAB 0 0 10.%d.%d.1:1 10.0.0.2:2 users:(("a",pid=%d,fd=3))\n' % (at >> 8, at & 255, at)
            for at in range(1, 60_000)
        )
    )
    assert len(told.snapshot.sockets) == 59_999
    assert len(told.snapshot.processes) == 50_000


def test_what_is_told_late_changes_no_row_before() -> None:
    plain = b"".join(b"CLOSE-WAIT 1 0 10.0.0.1:%d 10.0.0.2:2\n" % port for port in range(1, 20_000))
    late = b"ESTAB 7 0 [2001:db8::1]:1 [2001:db8::2]:2 timer:(on,2sec,5) uid:7 ino:8 sk:9 <->\n"
    rows = read_text(plain + late + plain.replace(b"10.0.0.2", b"10.0.0.3")).snapshot.sockets
    assert rows["local_port"].tolist() == [*range(1, 20_000), 1, *range(1, 20_000)]
    told = np.flatnonzero(rows["inode"])
    assert told.tolist() == np.flatnonzero(rows["local_high"]).tolist() == [19_999]
    assert [rows[name][19_999] for name in ("recv_queue", "retransmits", "uid", "inode", "cookie")] == [7, 5, 7, 8, 9]
    others = np.delete(rows, told)
    assert (others["recv_queue"] == 1).all()
    assert (others["fd"] == -1).all()
    assert not any(others[name].any() for name in ("retransmits", "uid", "cookie", "timer_ms", "min_rtt", "bytes_sent"))


def test_what_there_is_no_room_for_is_said_and_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    row = (
        b"ESTAB 0 9 10.0.0.1:%d 10.0.0.2:2 uid:1 ino:3 sk:%x <-> skmem:(r1,rb9,t0,tb8,f0,w7,o0,bl0,d6) cubic rto:201"
        b" rtt:3.5/1 cwnd:10 bytes_sent:77 bytes_received:5 lastsnd:4 lastrcv:3 lastack:2 snd_wnd:9 rcv_wnd:8\n"
    )
    text = b"".join(row % (port, port) for port in range(1, 2000)) * 2  # each twice: rows are moved too
    whole = read_text(text).snapshot
    assert not {"bytes_sent", "rtt_ms"} & set(whole.coverage.missing_fields)
    wide = whole.sockets.itemsize - 20
    for room, sent, written in ((4000 * wide, False, True), (4000 * 60, False, False)):
        monkeypatch.setattr(table, "ROOM", room)
        told = read_text(text).snapshot
        assert ("bytes_sent" in told.coverage.missing_fields) is not sent
        assert ("rtt_ms" in told.coverage.missing_fields) is not written
        assert any("left out: bytes, segments" in note for note in told.notes)
        assert any("round trips" in note for note in told.notes) is not written
        for name in ("local_port", "cookie", "send_queue", "inode", "uid", *(["rtt", "rcv_wnd"] if written else ())):
            assert (told.sockets[name] == whole.sockets[name]).all(), name
        assert not told.sockets["bytes_sent"].any()


MEASURE = """
import io, resource, sys
from sockui.collector.text import read_text, table
from sockui.diagnosis.engine import Diagnosis
from sockui.tracker import Tracker
from sockui.view import table_view
NETSTAT = b"tcp        0      0 10.%d.%d.%d:33935         198.51.100.7:%d         ESTABLISHED %d/a\\n"
SS = (b'ESTAB 0 0 10.%d.%d.%d:33935 198.51.100.7:%d users:(("a",pid=5,fd=3)) uid:1 ino:%d sk:%d <->'
      b" skmem:(r0,rb131072,t0,tb46080,f0,w0,o0,bl0,d0) cubic rto:201 rtt:0.03/0.01 mss:32768 pmtu:65535 cwnd:10"
      b" bytes_sent:1 bytes_acked:1 bytes_received:5 segs_out:3 segs_in:2 data_segs_out:1 lastsnd:1 lastrcv:1"
      b" lastack:1 busy:1ms minrtt:0.01 snd_wnd:65536 rcv_wnd:65536\\n")
RICH = (b'ESTAB 0 9 [2001:db8::%d:%d:%d]:33935 [2001:db8:1::2]:%d users:(("a",pid=%d,fd=3)) timer:(on,200ms,7)'
      b" uid:1 ino:%d sk:%d <-> skmem:(r1,rb%d,t0,tb%d,f0,w%d,o0,bl0,d%d) cubic rto:%d backoff:7 rtt:%d.5/%d.1 mss:%d"
      b" pmtu:%d cwnd:%d bytes_sent:%d bytes_retrans:%d bytes_acked:%d bytes_received:%d segs_out:%d segs_in:%d"
      b" data_segs_out:%d lastsnd:%d lastrcv:%d lastack:%d busy:%dms rwnd_limited:%dms sndbuf_limited:%dms"
      b" unacked:%d retrans:%d/%d lost:%d notsent:%d minrtt:%d snd_wnd:%d rcv_wnd:%d\\n")
class Lines(io.RawIOBase):
    '''A listing that is made while it is read.'''
    def __init__(self, count, line):
        self.left, self.at, self.line = count, 0, line
    def read(self, size=-1):
        count = min(1000, self.left - self.at)
        first, self.at = self.at, self.at + count
        more = self.line.count(b"%d") - 4
        return b"".join(
            self.line % (i >> 16, i >> 8 & 255, i & 255, i % 60000 + 1, *[i + 1] * more)
            for i in range(first, first + count))
class Endless(io.RawIOBase):
    left = int(sys.argv[1]) * 1000
    def read(self, size=-1):
        self.left -= 1 << 16
        return b"x" * (1 << 16) if self.left > 0 else b""
def go_through(text):
    update = Tracker().update(read_text(text).snapshot)
    table_view.build(update)
    if sys.argv[2] != "ss":
        Diagnosis(look=lambda pid: None).update(update)
    return len(update.sockets)
go_through(b"ESTAB 0 0 10.0.0.1:1 10.0.0.2:2")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[2] == "endless":
    try:
        read_text(Endless())
    except Exception as error:
        assert type(error).__name__ == "TextError", error
else:
    count = int(sys.argv[1])
    if sys.argv[2] == "rich":
        table.ROOM = 1 << 20  # so few sockets give up what a million would
    assert go_through(Lines(count, {"netstat": NETSTAT, "ss": SS, "rich": RICH}[sys.argv[2]])) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def grown(count: int, what: str) -> int:
    """By how many bytes a process that reads so much, follows and sorts it grows."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(count), what], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert not done.returncode, done.stderr
    return int(done.stdout) * 1024


@pytest.mark.parametrize(
    ("form", "few", "many"), [("netstat", 50_000, 150_000), ("ss", 20_000, 80_000), ("rich", 10_000, 30_000)]
)
def test_a_million_sockets_fit_into_300_mib(form: str, few: int, many: int) -> None:
    """40 MiB of them are Python, numpy and the program. ``rich`` tells every field that ss has, of every socket."""
    each = (grown(many, form) - grown(few, form)) / (many - few)
    assert each * 1_000_000 < (300 - 40) << 20


def test_a_line_without_an_end_takes_no_memory() -> None:
    assert grown(200_000, "endless") < 24 << 20  # 200 MB
