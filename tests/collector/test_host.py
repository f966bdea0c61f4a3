"""HostReader against this host, and its parsers against text as the kernel writes it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sockui.collector import host, open_collector
from sockui.collector.host import HostReader, parse_conntrack, parse_counters, parse_sockstat
from sockui.collector.namespace import enter_namespace
from sockui.model import Host


def test_settings_are_what_sysctl_says() -> None:
    told = HostReader().read()
    assert told.system == f"{os.uname().sysname} {os.uname().release}"
    assert told.name == socket.gethostname()
    for name in ("net.ipv4.tcp_fin_timeout", "net.ipv4.ip_local_port_range", "net.core.somaxconn", "fs.file-max"):
        assert told.sysctls[name].split() == Path("/proc/sys", name.replace(".", "/")).read_text().split()
    assert told.number("net.ipv4.ip_local_port_range", 1) == int(
        Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[1]
    )
    assert len(told.sysctls["fs.file-nr"].split()) == 3


@pytest.mark.parametrize("source", ["netlink", "psutil"])
def test_every_snapshot_names_the_namespace_that_was_entered(source: str) -> None:
    for namespace in ("blue", ""):
        collector = open_collector(source, namespace)
        try:
            assert [collector.collect().host.namespace for _ in range(2)] == [namespace] * 2
        finally:
            collector.close()


def test_counters_move_with_what_happens() -> None:
    reader = HostReader()
    before = reader.read()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"a")
        after = reader.read()
    assert after.counters["TcpExt.TCPOrigDataSent"] > before.counters["TcpExt.TCPOrigDataSent"]
    assert "TcpExt.ListenOverflows" in after.counters
    assert "sockets.used" in after.sockstat
    assert {"TCP.inuse", "TCP.orphan", "TCP.tw", "TCP.mem"} <= after.sockstat.keys()


def fake_proc(tmp_path: Path, fin_timeout: str) -> str:
    directory = tmp_path / "sys/net/ipv4"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tcp_fin_timeout").write_text(fin_timeout)
    (directory / "ip_local_reserved_ports").write_text("\n")
    (directory / "tcp_mem").write_text("1\t2\t3\n")
    return str(tmp_path)


def test_what_is_missing_is_absent_and_what_is_empty_is_empty(tmp_path: Path) -> None:
    told = HostReader(fake_proc(tmp_path, "60\n")).read()
    assert told.sysctls == {
        "net.ipv4.tcp_fin_timeout": "60",
        "net.ipv4.ip_local_reserved_ports": "",
        "net.ipv4.tcp_mem": "1 2 3",
    }
    assert (told.counters, told.sockstat) == ({}, {})


def test_files_of_any_length_are_read_whole_and_what_cannot_be_read_is_absent(tmp_path: Path) -> None:
    directory = Path(fake_proc(tmp_path, "60\n"), "thread-self/net")
    directory.mkdir(parents=True)
    names = [f"Name{number}" for number in range(20_000)]
    (directory / "netstat").write_text(f"TcpExt: {' '.join(names)}\nTcpExt: {' '.join('7' for _ in names)}\n")
    (directory / "sockstat").mkdir()  # it can be opened, and not be read
    (tmp_path / "sys/net/ipv4/tcp_rmem").write_bytes(b"4096 \xff\n")
    descriptors = len(os.listdir("/proc/self/fd"))
    told = HostReader(str(tmp_path)).read()
    assert (told.counters, told.sockstat) == ({f"TcpExt.{name}": 7 for name in names}, {})
    assert told.sysctls["net.ipv4.tcp_rmem"] == "4096 \ufffd"
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_file_that_is_not_as_linux_writes_it_is_absent_and_the_others_are_told(tmp_path: Path) -> None:
    net = tmp_path / "thread-self/net"
    (net / "stat").mkdir(parents=True)
    (net / "netstat").write_text("TcpExt: ListenOverflows\nTcpExt: many\n\n")
    (net / "stat/nf_conntrack").write_text("entries drop\nx y\n")
    (net / "sockstat").write_text("TCP: inuse 5 orphan 0\n\n")
    (net / "sockstat6").write_text("TCP6: inuse 2\n")
    told = HostReader(str(tmp_path)).read()
    assert told.counters == {}
    assert told.sockstat == {"TCP6.inuse": 2}


def test_settings_are_read_again_after_ten_seconds(tmp_path: Path) -> None:
    now = [100.0]
    reader = HostReader(fake_proc(tmp_path, "60"), clock=lambda: now[0])
    told = [reader.read().sysctls["net.ipv4.tcp_fin_timeout"]]
    fake_proc(tmp_path, "30")
    for _ in range(4):
        now[0] += 4.0
        told.append(reader.read().sysctls["net.ipv4.tcp_fin_timeout"])
    assert told == ["60", "60", "60", "30", "30"]  # at 0, 4, 8, 12 and 16 s


def test_gauges_are_read_every_time(tmp_path: Path) -> None:
    directory = tmp_path / "sys/net/netfilter"
    directory.mkdir(parents=True)
    reader = HostReader(str(tmp_path), clock=lambda: 0.0)
    counts = []
    for count in ("7", "8"):
        (directory / "nf_conntrack_count").write_text(count)
        counts.append(reader.read().number("net.netfilter.nf_conntrack_count"))
    assert counts == [7, 8]


def test_counter_lines() -> None:
    text = (
        "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 0 12\nTcp: MaxConn InSegs\nTcp: -1 5\nIpExt: New Newer\nIpExt: 3\n"
    )
    assert parse_counters(text) == {
        "TcpExt.SyncookiesSent": 0,
        "TcpExt.ListenDrops": 12,
        "Tcp.MaxConn": -1,
        "Tcp.InSegs": 5,
        "IpExt.New": 3,
    }


def test_another_line_of_names_renames_the_numbers_below_it() -> None:
    assert parse_counters("TcpExt: New Newer\nTcpExt: 7 8\n") == {"TcpExt.New": 7, "TcpExt.Newer": 8}
    assert parse_counters("TcpExt: Newest New Newer\nTcpExt: 1 7 8\n") == {
        "TcpExt.Newest": 1,
        "TcpExt.New": 7,
        "TcpExt.Newer": 8,
    }
    assert parse_counters("TcpExt: New Newer\nTcpExt: 5\n") == {"TcpExt.New": 5}, "a number that is not there is none"


def test_sockstat_lines() -> None:
    assert parse_sockstat("sockets: used 290\nTCP: inuse 5 orphan 0 mem 1\nTCP6: inuse 2\n") == {
        "sockets.used": 290,
        "TCP.inuse": 5,
        "TCP.orphan": 0,
        "TCP.mem": 1,
        "TCP6.inuse": 2,
    }


def test_conntrack_lines_are_hexadecimal_one_for_each_cpu() -> None:
    text = (  # as Linux 6.18 writes them; the names of columns have changed over time
        "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error"
        "  expect_new expect_create expect_delete search_restart\n"
        "000000ff  00000000 00000000 00000000 00000007 00000000 00000000 00000000 00000000 0000000a 00000010 00000001"
        " 00000000  00000000 00000000 00000000 00000000\n"
        "000000ff  00000000 00000000 00000000 00000009 00000000 00000000 00000000 00000000 00000001 00000002 00000000"
        " 00000000  00000000 00000000 00000000 00000000\n"
    )
    assert parse_conntrack(text) == {
        "conntrack.insert_failed": 11,
        "conntrack.drop": 18,
        "conntrack.early_drop": 1,
    }
    assert parse_conntrack("") == {}


def test_conntrack_counters_are_there_where_the_kernel_tracks_connections() -> None:
    told = {name for name in HostReader().read().counters if name.startswith("conntrack.")}
    exists = Path("/proc/net/stat/nf_conntrack").exists()
    assert told == ({"conntrack.insert_failed", "conntrack.drop", "conntrack.early_drop"} if exists else set())


def test_pages_are_as_big_as_the_kernel_says() -> None:
    (line,) = [line for line in Path("/proc/self/smaps").read_text().splitlines() if "KernelPageSize" in line][:1]
    assert HostReader().read().page_size == int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("entries", "buckets", "backlog"),
    [("262144", 131072, 2048), ("-262144", 131072, 2048), ("4096", 2048, 128), (None, None, None)],
)
def test_defaults_that_follow_from_the_hash_table(entries: str | None, buckets: int, backlog: int) -> None:
    told = Host("h", "Linux", {} if entries is None else {"net.ipv4.tcp_ehash_entries": entries})
    assert (told.default_max_tw_buckets, told.default_max_syn_backlog) == (buckets, backlog)


def test_every_setting_named_here_is_spelt_as_some_kernel_spells_it() -> None:
    """Those that this kernel lacks are the ones known to be new, removed, or in a module."""
    missing = {name for name in host.SETTINGS if not Path("/proc/sys", name.replace(".", "/")).exists()}
    may_lack = ("tw_recycle", "rto_max_ms", "rto_min_us", "tw_reuse_delay", "linear_timeouts", "migrate_req", "ehash")
    assert not {
        name for name in missing if "nf_conntrack" not in name and not name.endswith(may_lack) and "ehash" not in name
    }


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: enters another network namespace")
def test_the_counters_are_those_of_the_calling_threads_namespace() -> None:
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        if not other.stdout.readline():
            pytest.skip("no network namespaces here")
        told = []

        def read() -> None:
            enter_namespace(str(other.pid))
            told.append(HostReader().read())

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        other.kill()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"a")
        here = HostReader().read()
    assert told[0].counters["TcpExt.TCPOrigDataSent"] == 0 < here.counters["TcpExt.TCPOrigDataSent"]
    assert told[0].sockstat["TCP.inuse"] == 0 < here.sockstat["TCP.inuse"]
    if Path("/proc/sys/net/ipv4/tcp_ehash_entries").exists():  # Linux 6.2
        there = told[0]
        assert (there.number("net.ipv4.tcp_ehash_entries") or 0) < 0 < (here.number("net.ipv4.tcp_ehash_entries") or 0)
        assert there.default_max_tw_buckets == there.number("net.ipv4.tcp_max_tw_buckets")  # nobody set them there
        assert there.default_max_syn_backlog == there.number("net.ipv4.tcp_max_syn_backlog")
