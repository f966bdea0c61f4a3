"""What other systems print, and what Linux printed once, read as it is documented: tests/fixtures/text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sockui.collector.text import TextSnapshot, read_text
from sockui.model import Known, Owner, State, Timer, state_name
from sockui.view.format import local_endpoint, protocol, remote_endpoint

FIXTURES = Path(__file__).parents[2] / "fixtures/text"


def read(name: str, form: str = "auto") -> TextSnapshot:
    return read_text((FIXTURES / name).read_bytes(), name, form)


def rows(told: TextSnapshot) -> list[str]:
    return [
        f"{protocol(row)} {state_name(row['state'], row['protocol'])} {local_endpoint(row)} {remote_endpoint(row)}"
        for row in told.snapshot.sockets
    ]


def owners(told: TextSnapshot) -> list[tuple[int, str, int]]:
    processes = told.snapshot.processes
    return [
        (int(row["pid"]), processes[int(row["pid"])].name if row["pid"] else "", int(row["holders"]))
        for row in told.snapshot.sockets
    ]


def counts(told: TextSnapshot) -> tuple[int, int, int]:
    return told.other, told.cut, told.not_understood


def test_macos() -> None:
    told = read("macos-anv.txt")
    assert told.form == "macOS netstat -anv"
    assert rows(told) == [
        "tcp ESTABLISHED 192.0.2.147:65195 198.51.100.71:443",
        "tcp CLOSE_WAIT 192.0.2.147:65196 198.51.100.71:443",
        "tcp TIME_WAIT 192.0.2.147:65197 198.51.100.71:443",
        "tcp6 LISTEN [::]:3283 *",
        "tcp6 FIN_WAIT2 [fe80::1]:1024 [fe80::1]:443",
        "udp UNCONN 0.0.0.0:5353 *",
    ]
    assert owners(told)[:3] == [(89468, "telemetryd_v2", 1), (7187, "Brave Browser He", 1), (0, "", 0)]
    assert owners(told)[5] == (455, "mDNSResponder", 1)
    assert counts(told) == (0, 1, 0)
    assert told.sample[0].number == 8, "an IPv6 address that may be cut is no address"
    assert told.snapshot.sockets["send_queue"][0] == 523


def test_freebsd() -> None:
    told = read("freebsd-anW.txt")
    assert rows(told) == [
        "tcp ESTABLISHED 203.0.113.7:22 198.51.100.9:52114",
        "tcp6 CLOSE_WAIT [2001:db8::1234:5678:9abc]:443 [2001:db8:ffff::1]:61000",
        "tcp LISTEN 0.0.0.0:22 *",
        "tcp6 LISTEN [::]:22 *",
        "tcp SYN_RECV 203.0.113.7:80 198.51.100.9:40000",
        "udp UNCONN 127.0.0.1:123 *",
        "udp6 UNCONN [fe80::1]:123 *",
    ]
    assert counts(told) == (2, 0, 0)
    assert not told.snapshot.sockets["known"][2] & Known.QUEUES, "its Send-Q of a listener is not the backlog"


def test_aix() -> None:
    told = read("aix-Aan.txt")
    assert told.form == "AIX netstat -Aan"
    assert rows(told) == [
        "tcp CLOSE 0.0.0.0:* *",
        "tcp6 LISTEN [::]:22 *",
        "tcp LISTEN 0.0.0.0:22 *",
        "tcp ESTABLISHED 192.0.2.122:22 198.51.100.124:40326",
        "tcp CLOSE_WAIT 192.0.2.122:1521 198.51.100.124:40327",
        "udp UNCONN 0.0.0.0:514 *",
    ]
    assert counts(told) == (1, 0, 0)


def test_hpux() -> None:
    told = read("hpux-an.txt")
    assert told.form == "HP-UX or BSD netstat -an"
    assert rows(told)[1] == "tcp FIN_WAIT2 10.116.50.30:53081 10.116.50.34:1521"
    assert [row.split()[1] for row in rows(told)] == [
        *("LISTEN", "FIN_WAIT2", "ESTABLISHED", "CLOSE_WAIT", "TIME_WAIT", "UNCONN")
    ]
    assert counts(told) == (0, 0, 0)


def test_solaris() -> None:
    told = read("solaris-an.txt")
    assert told.form == "Solaris or illumos netstat -an"
    assert rows(told) == [
        "udp UNCONN 0.0.0.0:111 *",
        "udp ESTABLISHED 192.0.2.5:514 192.0.2.9:40000",
        "tcp LISTEN 0.0.0.0:22 *",
        "tcp ESTABLISHED 192.0.2.5:22 198.51.100.7:51234",
        "tcp CLOSE_WAIT 192.0.2.5:1521 198.51.100.7:51235",
        "tcp SYN_SENT 192.0.2.5:32799 198.51.100.8:80",
        "tcp CLOSE 0.0.0.0:* *",
        "tcp6 LISTEN [::]:22 *",
        "tcp6 FIN_WAIT2 [2001:db8::5]:22 [2001:db8::7]:51236",
    ]
    assert told.not_understood == 0
    row = told.snapshot.sockets[3]
    assert (row["send_queue"], row["recv_queue"], row["snd_wnd"], row["rcv_wnd"]) == (63, 0, 64128, 128872)


def test_windows() -> None:
    told = read("windows-anob.txt")
    assert told.form == "Windows netstat -anob"
    assert rows(told) == [
        "tcp LISTEN 0.0.0.0:135 *",
        "tcp CLOSE_WAIT 192.0.2.10:52341 198.51.100.46:443",
        "tcp TIME_WAIT 192.0.2.10:52342 198.51.100.46:443",
        "tcp FIN_WAIT1 192.0.2.10:52343 198.51.100.46:443",
        "tcp SYN_RECV 192.0.2.10:52344 198.51.100.46:443",
        "tcp6 LISTEN [::]:445 *",
        "tcp6 ESTABLISHED [fe80::1]:49300 [fe80::2]:445",
        "udp UNCONN 0.0.0.0:123 *",
        "udp6 UNCONN [fe80::1]:546 *",
    ]
    assert owners(told)[:4] == [(1004, "svchost.exe", 1), (3456, "chrome [x].exe", 1), (0, "", 0), (4, "", 1)]
    assert told.snapshot.sockets["owner"][2] == Owner.KERNEL, "pid 0 is nobody"
    assert not told.snapshot.sockets["known"].any(), "queues, timers, inodes: it has none"
    assert counts(told) == (0, 0, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "cp850", "cp437"])
def test_german_windows_in_every_code_page(encoding: str) -> None:
    text = (FIXTURES / "windows-german.txt").read_text("utf-8").replace("\n", "\r\n")
    told = read_text(text.encode(encoding))
    assert told.form == "Windows netstat -ano (German)"
    assert [row.split()[1] for row in rows(told)] == [
        *("LISTEN", "CLOSE_WAIT", "FIN_WAIT2", "ESTABLISHED", "TIME_WAIT", "SYN_SENT", "SYN_RECV", "UNCONN")
    ]
    assert counts(told) == (0, 0, 1)
    assert "SONSTWAS" in told.sample[0].text, "a word that is not known is not guessed"


@pytest.mark.parametrize(
    ("language", "encodings"),
    [
        ("french", ("cp850", "cp1252", "utf-16")),
        ("spanish", ("cp850", "cp1252")),
        ("portuguese", ("cp850", "cp1252")),
        ("italian", ("cp850",)),
        ("russian", ("cp866", "cp1251", "utf-8")),
        ("chinese", ("gbk", "utf-16")),
        ("japanese", ("cp932", "utf-8")),
    ],
)
def test_windows_in_other_languages(language: str, encodings: tuple[str, ...]) -> None:
    text = (FIXTURES / f"windows-{language}.txt").read_text("utf-8")
    for encoding in encodings:
        told = read_text(text.replace("\n", "\r\n").encode(encoding))
        assert told.form == f"Windows netstat -ano ({language.capitalize()})"
        assert len(rows(told)) == 3
        assert told.not_understood == 0, told.sample


def test_lsof_of_macos_has_a_row_for_each_socket_not_for_each_descriptor() -> None:
    told = read("lsof-macos.txt")
    assert told.form == "macOS or BSD lsof -i"
    assert rows(told) == [
        "tcp6 LISTEN [::]:22 *",
        "tcp LISTEN 0.0.0.0:80 *",
        "tcp CLOSE_WAIT 192.0.2.5:50001 198.51.100.1:443",
        "tcp6 ESTABLISHED [2001:db8::5]:50002 [2001:db8::1]:443",
        "udp UNCONN 0.0.0.0:5353 *",
    ]
    assert owners(told)[1] == (420, "nginx", 2)
    assert not told.snapshot.sockets["cookie"].any(), "an address in the kernel is not a cookie"


def test_ss_of_long_ago() -> None:
    told = read("ss-rhel6.txt")
    assert rows(told) == [
        "tcp6 LISTEN [::]:22 *",
        "tcp LISTEN 0.0.0.0:22 *",
        "tcp CLOSE_WAIT 192.0.2.7:443 198.51.100.3:51515",
        "tcp6 ESTABLISHED 192.0.2.7:80 198.51.100.3:51516",
    ]
    assert owners(told)[2:] == [(2200, "java", 2), (2300, "httpd", 1)]
    sockets = told.snapshot.sockets
    assert not (sockets["known"] & Known.COOKIE).any(), "an address in the kernel is used again"
    assert (sockets["timer"][3], sockets["timer_ms"][3]) == (Timer.KEEPALIVE, 119 * 60_000 + 59_999)
    assert told.snapshot.holders.of(40021) == [(2200, 88), (2201, 88)]


def test_netstat_of_long_ago() -> None:
    told = read("netstat-old.txt")
    assert told.form == "Linux netstat -tuanpeo"
    assert rows(told) == [
        "tcp LISTEN 0.0.0.0:111 *",
        "tcp CLOSE_WAIT 192.0.2.7:44410 198.51.100.9:5432",
        "tcp ESTABLISHED 192.0.2.7:44411 198.51.100.9:5432",
        "tcp ESTABLISHED 192.0.2.7:44412 198.51.100.9:5432",
        "tcp TIME_WAIT 192.0.2.7:44413 198.51.100.9:5432",
        "tcp6 LISTEN [::]:22 *",
        "udp UNCONN 0.0.0.0:68 *",
        "udp ESTABLISHED 192.0.2.7:5000 198.51.100.9:53",
    ]
    assert counts(told) == (2, 1, 0)
    sockets = told.snapshot.sockets
    assert sockets["timer"].tolist()[1:5] == [Timer.KEEPALIVE, Timer.ON, Timer.PERSIST, Timer.TIMEWAIT]
    assert sockets["timer_ms"].tolist()[1:5] == [7_148_230, 5380, 1050, 40_840]
    assert sockets["retransmits"][2] == 6
    assert owners(told)[1] == (2200, "nginx: worker", 1)
    assert not sockets["known"][2] & Known.UID, "a user's name is not a uid"


def test_proc() -> None:
    told = read("proc.txt")
    assert told.form == "Linux /proc/net/tcp, /proc/net/tcp6, /proc/net/udp"
    assert rows(told) == [
        "tcp LISTEN 127.0.0.1:8080 *",
        "tcp CLOSE_WAIT 127.0.0.1:8083 127.0.0.1:37678",
        "tcp TIME_WAIT 127.0.0.1:33935 127.0.0.1:44600",
        "tcp ESTABLISHED 10.0.0.2:42146 10.2.0.1:443",
        "tcp6 LISTEN [::]:22 *",
        "tcp6 ESTABLISHED [2001:db8::1]:22 [2001:db8::2]:49153",
        "udp UNCONN 127.0.0.1:8125 *",
    ]
    sockets = told.snapshot.sockets
    assert sockets["recv_queue"].tolist() == [0, 301, 0, 0, 0, 0, 7680]
    assert sockets[["send_queue", "timer", "timer_ms", "retransmits", "uid"]][3].item() == (500, 1, 5380, 6, 1000)


def test_an_incident_in_a_mail() -> None:
    told = read("incident.md")
    assert rows(told) == [
        "tcp CLOSE_WAIT 192.0.2.7:44410 198.51.100.9:5432",
        "tcp CLOSE_WAIT 192.0.2.7:443 203.0.113.77:61022",
    ]
    assert told.taken_at == 1763694765.0
    assert counts(told) == (0, 0, 2)


def test_without_its_command_a_list_for_one_state_does_not_say_which() -> None:
    text = (FIXTURES / "incident.md").read_text().replace("ss -tn state close-wait", "")
    told = read_text(text.encode())
    assert len(told.snapshot.sockets) == 0
    assert any("no column State" in note for note in told.snapshot.notes)


@pytest.mark.parametrize(
    ("printed", "latest"),
    [
        ("9.348ms", 9348), ("348ms", 348), ("048ms", 48), ("9sec", 9000), ("40sec", 40_999), ("", 0),
        ("1min20sec", 80_999), ("1min5sec", 65_999), ("12min", 779_999), ("x", None),
    ],
)  # fmt: skip
def test_timers_of_ss(printed: str, latest: int | None) -> None:
    told = read_text(f"ESTAB 0 1 10.0.0.1:1 10.0.0.2:2 timer:(on,{printed},3)".encode())
    (row,) = told.snapshot.sockets
    if latest is None:
        assert not row["known"] & Known.TIMER
    else:
        assert row[["timer", "timer_ms", "retransmits"]].item() == (Timer.ON, latest, 3)


@pytest.mark.parametrize("name", ["a,b", 'x",pid=1,fd=2)', "(sd-pam)", '"', "", "ino:9 sk:9", "[/x]", "\udcff"])
def test_no_name_of_a_process_breaks_a_row(name: str) -> None:
    line = f'ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 users:(("{name}",pid=70,fd=7),("y",pid=71,fd=8)) ino:5 sk:6 <->'
    told = read_text(line.encode("utf-8", "surrogateescape"))
    (row,) = told.snapshot.sockets
    assert row[["pid", "fd", "holders", "inode", "cookie"]].item() == (70, 7, 2, 5, 6)
    assert told.snapshot.processes[70].name == name


def test_what_ss_does_not_print_is_known_only_if_the_listing_has_it_elsewhere() -> None:
    quiet = "ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 cubic rto:204 cwnd:10"
    busy = "ESTAB 0 0 10.0.0.1:3 10.0.0.2:2 timer:(keepalive,5sec,0) cubic rto:204 cwnd:10 bytes_sent:7"
    (alone,) = read_text(quiet.encode()).snapshot.sockets
    assert alone["known"] == Known.QUEUES | Known.INFO
    both = read_text(f"{quiet}\n{busy}".encode()).snapshot.sockets
    assert both["known"].tolist() == [int(Known.QUEUES | Known.INFO | Known.TIMER | Known.COUNTERS)] * 2
    assert both["timer"].tolist() == [Timer.OFF, Timer.KEEPALIVE]


def test_a_listing_without_netid_is_udp_only_if_nothing_in_it_is_tcp() -> None:
    heading = "State Recv-Q Send-Q Local Address:Port Peer Address:Port"
    udp = "UNCONN 0 0 127.0.0.1:53 0.0.0.0:*"
    assert rows(read_text(f"{heading}\n{udp}\n".encode())) == ["udp UNCONN 127.0.0.1:53 *"]
    tcp = f"{heading}\nLISTEN 0 1 127.0.0.1:54 0.0.0.0:*\n{udp}\n"
    assert rows(read_text(tcp.encode()))[1] == "tcp CLOSE 127.0.0.1:53 *"
    both = (
        f"$ ss -tan\n{heading}\nESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n$ ss -uan\n{heading}\nESTAB 0 0 10.0.0.1:3 10.0.0.2:4"
    )
    assert [row.split()[0] for row in rows(read_text(both.encode()))] == ["tcp", "udp"]


def test_a_connection_listed_twice_counts_once_listeners_may_share_their_port() -> None:
    text = "LISTEN 0 1 0.0.0.0:80 0.0.0.0:*\nLISTEN 0 1 0.0.0.0:80 0.0.0.0:*\nESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n"
    told = read_text((text + "CLOSE-WAIT 1 0 10.0.0.1:1 10.0.0.2:2\n").encode())
    assert [row.split()[1] for row in rows(told)] == ["LISTEN", "LISTEN", "CLOSE_WAIT"]
    assert any("listed again" in note for note in told.snapshot.notes)


def test_what_a_text_cannot_say_is_missing() -> None:
    snapshot = read("windows-anob.txt").snapshot
    assert {"recv_queue", "timer", "inode", "cookie", "rtt_ms", "uid"} <= set(snapshot.coverage.missing_fields)
    assert "pid" not in snapshot.coverage.missing_fields
    assert (snapshot.host.name, snapshot.host.sysctls, snapshot.source) == ("", {}, "text")
    assert np.isin(snapshot.sockets["state"], [state.value for state in State]).all()


def test_what_waits_for_accept_is_the_listeners_and_a_handshake_is_the_kernels() -> None:
    told = read_text(
        b"Proto Recv-Q Send-Q Local Address Foreign Address State User Inode PID/Program name\n"
        b"tcp 0 0 10.0.0.1:80 0.0.0.0:* LISTEN 33 700 812/httpd\n"
        b"tcp 0 0 10.0.0.1:80 10.0.0.2:1 ESTABLISHED 0 0 -\n"
        b"tcp 0 0 10.0.0.1:80 10.0.0.2:2 SYN_RECV 0 0 -\n"
        b"tcp 0 0 10.0.0.1:80 10.0.0.2:3 ESTABLISHED 33 701 -\n"
    )
    rows = told.snapshot.sockets
    assert rows["owner"].tolist() == [Owner.PROCESS, Owner.LISTENER, Owner.KERNEL, Owner.UNKNOWN]
    assert rows["pid"].tolist() == [812, 812, 0, 0]
    coverage = told.snapshot.coverage
    assert (coverage.attributed, coverage.kernel, [gap.sockets for gap in coverage.gaps]) == (2, 1, [1])
