"""A kernel, a /proc and a host in trouble: what is true stays, what is missing is said with its cause and its cure."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sockui.collector import inet_diag, netlink
from sockui.collector.linux import NetlinkCollector
from sockui.collector.netlink import DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Owner, Protocol
from tests.screen import Terminal
from tests.trust import preload, seccomp
from tests.trust.seccomp import Refused, refusing

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, namespaces and other users need root")
needs_compiler = pytest.mark.skipif(preload.COMPILER is None, reason="no C compiler to build the library with")
needs_numbers = pytest.mark.skipif(not seccomp.KNOWN, reason="the numbers of this machine's system calls are not known")

NETLINK, SOCK_DIAG = 16, 4
ROOT = Path(__file__).parents[2]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
LOOKER = (sys.executable, "-m", "tests.trust.looker")
HOUR = 3600


def mounted(command: str) -> tuple[str, ...]:
    """In a mount namespace of its own, after a shell command."""
    return ("unshare", "--mount", "sh", "-c", f'{command} && exec "$@"', "sh")


def sockui(
    *arguments: str,
    within: Sequence[str] = (),
    before: Callable[[], None] | None = None,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the program, and hold it to what goes for all trouble: no traceback, and a sentence with every failure."""
    done = subprocess.run(
        [*within, sys.executable, "-m", "sockui", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=before,
        env={**os.environ, **(environ or {})},
        cwd=ROOT,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or done.stderr.strip(), "it failed in silence"
    return done


class Looker:
    """tests/trust/looker.py in a process of its own."""

    def __init__(self, port: int, within: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*within, *LOOKER, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
        )

    def look(self) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


@pytest.fixture
def looker(port: int) -> Iterator[Callable[..., Looker]]:
    with contextlib.ExitStack() as opened:

        def begin(within: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Looker:
            one = Looker(port, within, environ)
            opened.callback(one.close)
            return one

        yield begin


def listed(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(done.stdout)["sockets"]
    return rows


def ours(port: int) -> tuple[str, ...]:
    return ("list", f"sport = :{port}", "--format", "json")


# --- netlink ----------------------------------------------------------------------------------------------------------


@needs_numbers
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.EPERM, "NETLINK_SOCK_DIAG is refused here (Operation not permitted): a sandbox"),
        (errno.EAFNOSUPPORT, "NETLINK_SOCK_DIAG is refused here (Address family not supported by protocol): a sandbox"),
        (errno.EPROTONOSUPPORT, "the kernel offers no NETLINK_SOCK_DIAG here (Protocol not supported); as root: mod"),
        (errno.EMFILE, "a netlink socket cannot be opened: Too many open files"),
    ],
)
def test_netlink_that_is_refused_is_replaced_by_psutil_and_every_output_says_why(
    code: int, cause: str, port: int
) -> None:
    refuse = refusing(Refused("socket", code, {0: NETLINK, 2: SOCK_DIAG}))
    done = sockui(*ours(port), before=refuse)
    assert (done.returncode, [row["state"] for row in listed(done)]) == (0, ["LISTEN"])
    assert f"Read through psutil, because {cause}" in done.stderr
    assert json.loads(done.stdout)["source"] == "psutil"
    assert "recv_queue" in json.loads(done.stdout)["coverage"]["missing_fields"]


@needs_numbers
def test_netlink_that_was_asked_for_and_is_refused_exits_3_with_the_cause(port: int) -> None:
    refuse = refusing(Refused("socket", errno.EPERM, {0: NETLINK, 2: SOCK_DIAG}))
    for command in (["list"], ["diagnose"]):
        done = sockui(*command, "--source", "netlink", before=refuse)
        assert (done.returncode, done.stdout) == (3, "")
        assert "NETLINK_SOCK_DIAG is refused here" in done.stderr
        assert "run sockui outside of it" in done.stderr


@needs_root
@needs_numbers
def test_without_netlink_and_without_proc_both_causes_are_named() -> None:
    refuse = refusing(Refused("socket", errno.EPERM, {0: NETLINK, 2: SOCK_DIAG}))
    done = sockui("list", within=mounted("mount -t tmpfs none /proc"), before=refuse)
    assert (done.returncode, done.stdout) == (3, "")
    assert "NETLINK_SOCK_DIAG is refused here" in done.stderr
    assert "is /proc mounted?" in done.stderr


@needs_numbers
def test_a_request_that_is_refused_is_no_reason_to_show_nothing(port: int) -> None:
    done = sockui(*ours(port), before=refusing(Refused("sendto", errno.EPERM)))
    assert (done.returncode, len(listed(done))) == (0, 1)
    assert "because reading sockets from the kernel failed: Operation not permitted" in done.stderr


@needs_numbers
@pytest.mark.parametrize(
    ("call", "cause"),
    [
        (Refused("bind", errno.EPERM), "hearing what ends is refused here (Operation not permitted): a sandbox"),
        (Refused("setsockopt", errno.EINVAL, {1: 270}), "this kernel does not tell what ends"),
    ],
)
def test_a_kernel_that_does_not_tell_what_ends_is_named_and_the_sockets_stay(
    call: Refused, cause: str, port: int
) -> None:
    done = sockui(*ours(port), before=refusing(call))
    assert (done.returncode, [row["pid"] for row in listed(done)]) == (0, [os.getpid()])
    assert f"How sockets end is not known: {cause}" in done.stderr


@needs_compiler
def test_a_kernel_without_a_module_for_udp_lists_tcp_and_says_so(port: int, tmp_path: Path) -> None:
    environ = {"LD_PRELOAD": str(preload.built(tmp_path)), "UNLISTED": "17"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        both = f"sport = :{port} or sport = :{udp.getsockname()[1]}"
        done = sockui("list", both, "--format", "json", environ=environ)
        assert len(listed(sockui("list", both, "--format", "json"))) == 2
    assert (done.returncode, [row["protocol"] for row in listed(done)]) == (0, ["tcp"])
    for version in ("IPv4", "IPv6"):
        assert f"This kernel cannot list {version} UDP sockets: no udp_diag; as root: modprobe udp_diag" in done.stderr


@needs_compiler
def test_a_kernel_without_a_module_for_tcp_is_read_through_psutil(port: int, tmp_path: Path) -> None:
    environ = {"LD_PRELOAD": str(preload.built(tmp_path)), "UNLISTED": "6"}
    done = sockui(*ours(port), environ=environ)
    assert (done.returncode, len(listed(done))) == (0, 1)
    assert "the kernel refused to list TCP sockets: No such file or directory (no tcp_diag; as root: mod" in done.stderr
    assert sockui(*ours(port), "--source", "netlink", environ=environ).returncode == 3


@pytest.fixture
def collector() -> Iterator[NetlinkCollector]:
    opened = NetlinkCollector()
    yield opened
    opened.close()


def complete(collector: NetlinkCollector, ports: set[int]) -> bool:
    sockets = collector.collect().sockets
    return ports <= set(sockets["local_port"].tolist())


@pytest.fixture
def crowd() -> Iterator[set[int]]:
    """Many sockets that stay, by their ports."""
    with contextlib.ExitStack() as opened:
        made = [opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(500)]
        for each in made:
            each.bind(("127.0.0.1", 0))
        yield {each.getsockname()[1] for each in made}


def test_a_dump_among_floods_of_other_messages_is_complete_or_an_error(
    collector: NetlinkCollector, crowd: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket that dumps is made to hear what ends too, in the least buffer that the kernel gives."""
    drained, drain = [0], DiagSocket._drain

    def counting(self: DiagSocket) -> None:
        drained[0] += 1
        drain(self)

    monkeypatch.setattr(DiagSocket, "_drain", counting)
    diag = collector._diag._socket
    diag.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    diag.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 100_000))
    diag.setsockopt(270, 1, 2)  # NETLINK_ADD_MEMBERSHIP, SKNLGRP_INET_UDP_DESTROY
    outcomes = []
    for _ in range(10):
        before = dropped(diag)
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.bind(("127.0.0.1", 0))
        while dropped(diag) == before:
            time.sleep(0.001)
        try:
            outcomes.append(complete(collector, crowd))
        except NetlinkError as error:
            outcomes.append("broke off" in str(error) or "did not answer" in str(error))
    assert drained[0], "nothing overran"
    assert all(outcomes)
    diag.setsockopt(270, 2, 2)
    assert complete(collector, crowd), "when the flood is over all is as before"


def dropped(listening: socket.socket) -> int:
    """How many messages did not fit into the buffer of a netlink socket (SO_MEMINFO, SK_MEMINFO_DROPS)."""
    return int(struct.unpack_from("=9I", listening.getsockopt(socket.SOL_SOCKET, 55, 36))[8])


def test_messages_that_do_not_fit_end_in_a_reason_and_the_next_poll_is_whole(
    collector: NetlinkCollector, crowd: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete(collector, crowd)
    with monkeypatch.context() as patch:
        patch.setattr(netlink, "RECEIVE", 512)
        with pytest.raises(
            NetlinkError, match=r"broke off the socket dump 3 times: a message of \d+ bytes was cut off"
        ):
            collector.collect()
    assert complete(collector, crowd)


def test_a_dump_that_was_left_in_its_midst_does_not_disturb_the_next(
    collector: NetlinkCollector, crowd: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 0
    for answers in range(1, 6):
        with monkeypatch.context() as patch:
            patch.setattr(collector._diag, "_socket", Leaving(collector._diag._socket, answers))
            try:
                collector._diag.dump(socket.AF_INET, Protocol.UDP, inet_diag.Decoder(), inet_diag.ALL_STATES)
            except LeftError:
                left += 1
        assert complete(collector, crowd)
    assert left


class LeftError(Exception):
    """The dump is not read any further."""


class Leaving:
    """A real netlink socket that is left after some answers."""

    def __init__(self, real: socket.socket, answers: int) -> None:
        self._real, self._answers = real, answers
        self.send = real.send

    def recv_into(self, *arguments: Any) -> int:
        if not self._answers:
            raise LeftError
        self._answers -= 1
        return self._real.recv_into(*arguments)


# --- /proc ------------------------------------------------------------------------------------------------------------


@needs_root
def test_with_hidepid_every_socket_stays_and_root_is_named_as_the_cure(port: int) -> None:
    hidden = (*mounted("mount -t proc -o hidepid=2 proc /proc"), *NOBODY)
    done = sockui("list", f"sport = :{port}", within=hidden)
    assert done.returncode == 0
    assert f"127.0.0.1:{port}" in done.stdout
    assert "needs root" in done.stdout
    assert "no owner is named for" in done.stderr
    assert "root may see more: sudo " in done.stderr
    assert "LISTEN" in sockui("list", f"sport = :{port}", "--source", "psutil", within=hidden).stdout
    (row,) = listed(sockui(*ours(port), within=hidden[: -len(NOBODY)]))
    assert row["pid"] == os.getpid(), "root sees through it, as the message promises"


@needs_root
@pytest.mark.parametrize("command", ["list", "diagnose"])
def test_without_proc_the_sockets_stay_and_what_cannot_be_known_is_said(command: str, port: int) -> None:
    done = sockui(command, f"sport = :{port}", within=mounted("mount -t tmpfs none /proc"))
    assert done.returncode == 0
    assert "/proc is not mounted here; as root: mount -t proc proc /proc" in done.stderr
    assert "they cannot be looked for: /proc shows no process" in done.stderr
    assert "sudo" not in done.stderr, "it would not help"
    if command == "list":
        assert f"127.0.0.1:{port}" in done.stdout


@needs_root
def test_proc_that_goes_and_comes_back_while_sockui_looks(looker: Callable[..., Looker]) -> None:
    one = looker(within=mounted("true"))
    before = one.look()
    enter = ["nsenter", f"--mount=/proc/{one.process.pid}/ns/mnt"]
    subprocess.run([*enter, "mount", "-t", "tmpfs", "none", "/proc"], check=True)
    without = one.look()
    subprocess.run([*enter, "umount", "/proc"], check=True)
    after = one.look()
    assert [len(each["rows"]) for each in (before, without, after)] == [1, 1, 1]
    assert (without["rows"][0]["pid"], without["rows"][0]["owner"]) == (0, "HIDDEN")
    assert "/proc is not mounted here" in without["notes"]
    assert before["rows"][0]["pid"] == after["rows"][0]["pid"] == os.getpid()
    assert "/proc" not in after["notes"]


@needs_root
def test_a_cgroup_that_may_not_be_read_leaves_the_unit_open_and_the_rest_right(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    unreadable = tmp_path / "cgroup"
    unreadable.write_text("0::/system.slice/wrong.service\n")
    unreadable.chmod(0)
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [*NOBODY, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        number = int(holder.stdout.readline())
        hidden = mounted(f"mount --bind {unreadable} /proc/{holder.pid}/cgroup")
        (row,) = listed(sockui(*ours(number), within=(*hidden, *NOBODY)))
        holder.communicate()
    assert (row["pid"], row["user"], row["unit"]) == (holder.pid, "nobody", None)


def test_processes_that_die_while_they_are_read_do_no_harm(collector: NetlinkCollector, port: int) -> None:
    code = f"while :; do {sys.executable} -S -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0))'; done"
    churn = [subprocess.Popen(["sh", "-c", code], process_group=0) for _ in range(2)]
    try:
        strangers: set[int] = set()
        end = time.monotonic() + 20
        while len(strangers) < 50 and time.monotonic() < end:
            snapshot = collector.collect()
            (row,) = snapshot.sockets[snapshot.sockets["local_port"] == port]
            assert (int(row["pid"]), int(row["owner"])) == (os.getpid(), Owner.PROCESS)
            strangers |= collector._processes.seen.keys()
        assert len(strangers) >= 50
    finally:
        for each in churn:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()


@needs_root
def test_a_pid_that_is_another_process_by_now_is_neither_named_nor_signalled_as_the_old_one(tmp_path: Path) -> None:
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--net",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
    ]
    reuse = [sys.executable, "-m", "tests.trust.pid_reuse", str(tmp_path / "state")]
    done = subprocess.run([*command, *reuse], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pids"] == [4000, 4000]
    assert (told["before"], told["after"]) == ([4000, "old"], [4000, "new"])
    assert told["said"] == ["old 4000 had ended before, and pid 4000 is another process by now: nothing was sent."]
    assert told["alive"]


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [5, 6])
def test_too_few_descriptors_from_the_start_are_the_cause_that_is_named(limit: int, port: int) -> None:
    done = sockui(*ours(port), within=("prlimit", f"--nofile={limit}"))
    assert (done.returncode, [row["state"] for row in listed(done)]) == (0, ["LISTEN"])
    assert "Too many open files; as root: prlimit --nofile=1024 --pid " in done.stderr
    assert "in sight" not in done.stderr, "that nobody holds it is more than is known"


def test_descriptors_that_run_out_while_sockui_looks_cost_only_what_is_new(
    port: int, looker: Callable[..., Looker]
) -> None:
    one = looker()
    one.look()
    before = one.look()
    limits = resource.prlimit(
        one.process.pid, resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with socket.socket() as new:
        new.bind(("127.0.0.2", port))
        new.listen()
        without = one.look()
        assert without["error"] is None
        owners = {(row["pid"], row["owner"], row["process"]) for row in without["rows"]}
        known = before["rows"][0]
        assert owners == {(known["pid"], "PROCESS", known["process"]), (0, "UNKNOWN", None)}
        cure = re.search(r"Too many open files; (prlimit --nofile=1024: --pid \d+), or ulimit", without["notes"])
        assert "could not be looked for: Too many open files" in without["gaps"]
        assert cure, without["notes"]
        subprocess.run(shlex.split(cure[1]), check=True)
        assert resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE) == (1024, limits[1])
        after = one.look()
        assert {row["pid"] for row in after["rows"]} == {os.getpid()}
        assert "Too many" not in after["notes"]


@pytest.mark.parametrize("mebibytes", [35, 50, 65, 105, 130, 160])
def test_too_little_memory_is_said_in_a_sentence(mebibytes: int, port: int) -> None:
    done = sockui(*ours(port), within=("prlimit", f"--as={mebibytes << 20}"))
    if done.returncode == 0:
        assert len(listed(done)) == 1
    elif "OpenBLAS error: Memory allocation still failed" in done.stderr:
        assert (done.returncode, done.stdout) == (1, ""), (
            "a library of numpy ends the program before Python hears of it"
        )
    elif done.returncode == 1 and re.search("SystemError|lost sys.stderr", done.stderr):
        assert done.stdout == "", "the interpreter itself loses its MemoryError, about one time in a hundred"
    else:
        assert (done.returncode, done.stdout) == (3, "")
        said = "there is not enough memory|Python broke off, as it does when memory runs out"
        assert re.match(f"sockui: ({said}); free some, or raise the limit", done.stderr)
        assert done.stderr.count("\n") == 1


@needs_root
@pytest.mark.pty
def test_where_no_thread_may_be_started_there_is_still_the_list(port: int, tmp_path: Path) -> None:
    alone = (
        "setpriv",
        "--reuid=54322",
        "--regid=54322",
        "--clear-groups",
    )  # the limit counts what the user runs already
    crowded = ("prlimit", "--nproc=1", *alone)
    done = sockui("list", f"sport = :{port}", within=crowded, environ={"HOME": "/nonexistent"})
    assert (done.returncode, f"127.0.0.1:{port}" in done.stdout) == (0, True), done.stderr
    assert "OpenBLAS" not in done.stderr


@needs_root
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_fills_up_is_said_and_is_no_success(unbuffered: str) -> None:
    full = "mount -t tmpfs -o size=4k none /mnt && exec > /mnt/handbook"
    done = sockui("explain", "--all", within=mounted(full), environ={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 74
    assert done.stderr == "sockui: the output cannot be written: No space left on device\n"


# --- clocks -----------------------------------------------------------------------------------------------------------


@needs_compiler
def test_a_clock_that_is_set_back_changes_no_age(server: socket.socket, port: int, looker: Any, tmp_path: Path) -> None:
    clocks = preload.Clocks(preload.built(tmp_path))
    with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
        one = looker(environ=clocks.environ)
        before = one.look()
        clocks.shift(realtime=-HOUR)
        after = one.look()
    passed = after["clocks"][1] - before["clocks"][1]
    assert after["clocks"][0] - before["clocks"][0] == pytest.approx(passed - HOUR, abs=1), "the clock was set back"
    assert len(before["rows"]) == len(after["rows"]) >= 2
    for then, now in zip(before["rows"], after["rows"], strict=True):
        for bound_then, bound_now in zip(then["age"], now["age"], strict=True):
            assert (bound_now < 0) == (bound_then < 0) or bound_now <= 60_000
            if bound_then >= 0 and bound_now >= 0:
                assert 0 <= bound_now - bound_then <= 1000 * passed + 50
        assert now["running"] - then["running"] == pytest.approx(passed, abs=1), "nor since when a process runs"


@needs_compiler
def test_a_host_that_slept_widens_ages_upwards_alone(
    server: socket.socket, port: int, looker: Any, tmp_path: Path
) -> None:
    clocks = preload.Clocks(preload.built(tmp_path))
    with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
        one = looker(environ=clocks.environ)
        before = one.look()
        clocks.shift(boottime=HOUR)
        after = one.look()
    bounded = [(then, now) for then, now in zip(before["rows"], after["rows"], strict=True) if then["age"][1] >= 0]
    assert bounded, "the connection never carried data: its age is known"
    for then, now in bounded:
        assert now["age"][0] < 60_000, "at least: it may have been made after the sleep"
        assert now["age"][1] >= then["age"][1] + 1000 * HOUR - 50, "at most: it may have been made before"


PYTHON = (sys.executable, "-c")
POLLER = """
import sys, threading, time
from sockui.collector import open_collector
from sockui.diagnosis.engine import Diagnosis
from sockui.poller import Poll, Poller
from sockui.tracker import Tracker

def publish(poll):
    rows = poll.update.sockets["remote_port"] == int(sys.argv[1])
    (least,) = poll.update.ages["min_ms"][rows]
    print(time.monotonic(), least / 1000, flush=True)

Poller(open_collector("netlink"), Tracker(), Diagnosis(), publish, 0.3).start()
threading.Event().wait()
"""


def test_after_being_stopped_it_neither_polls_for_what_it_missed_nor_forgets_the_time(
    server: socket.socket, port: int
) -> None:
    with (
        socket.create_connection(("127.0.0.1", port)),
        server.accept()[0],
        subprocess.Popen(
            [sys.executable, "-c", POLLER, str(port)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as poller,
    ):
        assert poller.stdout is not None

        def polled() -> tuple[float, float]:
            assert poller.stdout is not None
            moment, age = poller.stdout.readline().split()
            return float(moment), float(age)

        before = [polled() for _ in range(2)][-1]
        poller.send_signal(signal.SIGSTOP)
        time.sleep(3)  # in which ten polls would have come
        poller.send_signal(signal.SIGCONT)
        while (after := polled())[0] < before[0] + 3:
            pass
        more = [polled() for _ in range(5)]
        poller.kill()
    assert after[1] - before[1] > 2.5, "the connection is older by as long as sockui was stopped"
    assert more[-1][0] - after[0] > 2 * 0.3, "ten polls at once would take no time"


@pytest.mark.pty
def test_a_screen_that_was_stopped_shows_what_is_now(server: socket.socket, port: int, tmp_path: Path) -> None:
    ui = Terminal([f"sport = :{port}"], (120, 30), {"HOME": str(tmp_path), "SOCKUI_VIEW": "sockets"})
    try:
        ui.wait("1 match")
        os.kill(ui.child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, ui.child.pid, os.WSTOPPED | os.WNOWAIT)
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            os.kill(ui.child.pid, signal.SIGCONT)
            assert "ESTABLISHED" in ui.wait("2 match")
        ui.send("q")
        assert ui.ended() == 0
    finally:
        ui.child.close(force=True)


@needs_root
@pytest.mark.pty
def test_a_screen_whose_descriptors_run_out_keeps_its_rows_and_says_so(port: int, tmp_path: Path) -> None:
    ui = Terminal([f"sport = :{port}"], (200, 30), {"HOME": str(tmp_path), "SOCKUI_VIEW": "sockets"})
    try:
        ui.wait(str(os.getpid()))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.prlimit(ui.child.pid, resource.RLIMIT_NOFILE, (3, hard))
        assert str(os.getpid()) in ui.wait("Too many open files; prlimit --nofile=1024: --pid")
        resource.prlimit(ui.child.pid, resource.RLIMIT_NOFILE, (1024, hard))
        ui.wait(lambda text: "Too many open files" not in text and str(os.getpid()) in text)
        ui.send("q")
        assert ui.ended() == 0
    finally:
        ui.child.close(force=True)


LOADED = """
import os, sys
from pathlib import Path
from sockui.tui import ahead
loading = ahead.load_ahead

async def load():
    await loading()
    Path(os.environ["LOADED"]).touch()

ahead.load_ahead, ahead.PAUSE = load, 0
import sockui.cli
sys.exit(sockui.cli.main())
"""


@pytest.mark.pty
def test_a_screen_without_descriptors_still_explains_whatever_is_asked_for(port: int, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    environ = {"HOME": str(tmp_path), "SOCKUI_VIEW": "sockets", "LOADED": str(loaded), "SSH_TTY": "/dev/pts/0"}
    with socket.create_connection(("127.0.0.1", port)) as client:
        ui = Terminal([f"sport = :{port} or dport = :{port}"], (120, 40), environ, (sys.executable, "-c", LOADED))
        try:
            ui.wait(lambda text: "match" in text and loaded.exists())
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.prlimit(ui.child.pid, resource.RLIMIT_NOFILE, (3, hard))
            client.shutdown(socket.SHUT_WR)  # situations that it has not seen yet: one with words of its own
            ui.wait("CLOSE_WAIT")
            ui.wait("Too many open files")
            ui.send("Gg")
            pages = {"\r": "All about this socket", "r": "What to do", "i": "What ends it", "D": "Entered from"}
            pages |= {"s": "Sort by", "o": "Space: on/off", "?": "search all pages"}

            def left(page: str, text: str) -> bool:
                return page not in text and "q quit" in text

            for key, page in pages.items():
                ui.send(key)
                ui.wait(page)
                ui.send("\x1b")
                ui.wait(partial(left, page))
            for keys, shown in (("1", "Severity"), ("3", "fold"), ("2", "Recv-Q"), ("/", "as it was before")):
                ui.send(keys)
                ui.wait(shown)
            ui.send(" and recvq = 0")
            ui.wait("/ sport = ")
            ui.send("\x1b")
            ui.wait("q quit")
            ui.send("c")
            ui.wait("sent to the terminal")
            ui.send("q")
            assert ui.ended() == 0, ui.text
        finally:
            ui.child.close(force=True)
