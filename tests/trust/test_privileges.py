"""Whoever starts it, sockui shows every socket and says what it may not read; and whatever it may, it only looks."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import site
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.screen import Terminal
from tests.trust.test_faults import NOBODY, ROOT, needs_root

pytestmark = [
    needs_root,
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed"),
]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
needs_setcap = pytest.mark.skipif(shutil.which("setcap") is None, reason="setcap (libcap2-bin) is not installed")
SOCKUI = (sys.executable, "-m", "sockui")


def nobody(*capabilities: str) -> tuple[str, ...]:
    """As nobody, with these capabilities and no other."""
    given = ",".join(f"+{name}" for name in capabilities)
    return (*NOBODY, f"--inh-caps={given}", f"--ambient-caps={given}") if given else NOBODY


def listed(within: Sequence[str], *words: str, program: Sequence[str] = SOCKUI, **environ: str) -> dict[str, Any]:
    """What ``sockui list --format json`` prints."""
    command = [*within, *program, "list", *words, "--format", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "HOME": "/nonexistent", **environ}
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def connection() -> Iterator[int]:
    """A listener of root's and a connection to it; the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            yield port


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own is for its user alone."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def near(port: int) -> str:
    return f"sport = :{port} or dport = :{port}"


def owners(answer: dict[str, Any]) -> list[int | None]:
    return [row["pid"] for row in answer["sockets"]]


@pytest.mark.kernel
@pytest.mark.parametrize("capabilities", [(), ("net_admin",)])
def test_nobody_sees_every_socket_with_its_age_and_is_told_how_to_see_the_owners(
    capabilities: tuple[str, ...], connection: int
) -> None:
    def ss() -> set[str]:
        done = subprocess.run([*nobody(*capabilities), "ss", "-HtuanOe"], capture_output=True, text=True, check=True)
        return set(re.findall(r"\bsk:(\w+)", done.stdout))

    before = ss()
    answer = listed(nobody(*capabilities))
    steady = {int(cookie, 16) for cookie in before & ss()}
    assert len(steady) >= 3
    assert steady <= {row["cookie"] for row in answer["sockets"]}
    mine = [row for row in answer["sockets"] if connection in (row["local_port"], row["remote_port"])]
    assert [row["pid"] for row in mine] == [None] * 3
    assert all(row["state_age_min_seconds"] is not None for row in mine if row["state"] == "ESTABLISHED")
    assert answer["coverage"]["fix"] == f"sudo {shlex.join(SOCKUI)}"
    assert "may be read without root" in json.dumps(answer["coverage"])


def test_nobody_is_named_as_the_owner_of_what_is_its_own(connection: int) -> None:
    code = f"import socket, sys; s = socket.create_connection(('127.0.0.1', {connection})); print(flush=True); input()"
    with subprocess.Popen(
        [*NOBODY, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert holder.pid in owners(listed(NOBODY, near(connection)))
        holder.communicate(b"\n")


def test_nobody_gets_findings_and_explanations(connection: int) -> None:
    for command in (["diagnose", near(connection)], ["explain", "EADDRINUSE", f":{connection}"]):
        done = subprocess.run([*NOBODY, *SOCKUI, *command], capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert "sudo " in done.stderr


def test_nobody_is_told_what_is_wrong_with_a_socket_of_another_user(reachable: Path) -> None:
    config = reachable / "config.toml"
    config.write_text("[thresholds]\nclose_wait_seconds = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        client = socket.create_connection(("127.0.0.1", port))
        with server.accept()[0]:
            client.close()
            command = ["diagnose", f"sport = :{port}", "--for", "2", "--format", "json", "--config", str(config)]
            done = subprocess.run([*NOBODY, *SOCKUI, *command], capture_output=True, text=True, cwd=ROOT)
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["id"], finding["pid"]) == ("R01", None)
    assert "close()" in json.dumps(finding)
    explained = subprocess.run([*NOBODY, *SOCKUI, "explain", "close-wait"], capture_output=True, text=True, cwd=ROOT)
    assert "Our application must close()" in explained.stdout


def test_the_command_that_is_named_closes_the_gap(connection: int) -> None:
    command = shlex.split(listed(NOBODY, near(connection))["coverage"]["fix"])
    assert command[0] == "sudo"
    answer = listed((), near(connection), program=command[1:])
    assert owners(answer) == [os.getpid()] * 3
    assert (answer["coverage"]["fix"], answer["source"]) == (None, "netlink")


def test_two_capabilities_are_enough_for_every_owner(connection: int) -> None:
    answer = listed(nobody("sys_ptrace", "dac_read_search"), near(connection))
    assert owners(answer) == [os.getpid()] * 3


@needs_setcap
def test_an_interpreter_with_these_capabilities_names_every_owner_to_nobody(connection: int, reachable: Path) -> None:
    interpreter = reachable / "python"
    shutil.copy(Path(sys.executable).resolve(), interpreter)
    given = subprocess.run(["setcap", "cap_sys_ptrace,cap_dac_read_search=ep", interpreter], capture_output=True)
    if given.returncode:
        pytest.skip(f"setcap: {given.stderr.decode().strip()}")
    where = {"PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}", "PYTHONPATH": ":".join(site.getsitepackages())}
    answer = listed(NOBODY, near(connection), program=(str(interpreter), "-m", "sockui"), **where)
    assert owners(answer) == [os.getpid()] * 3


def test_root_of_a_user_namespace_sees_the_sockets_and_is_not_told_to_become_root(connection: int) -> None:
    answer = listed(("unshare", "--user", "--map-root-user"), near(connection))
    assert owners(answer) == [None] * 3
    assert answer["coverage"]["fix"] is None
    assert "in a container or a user namespace look from outside of it" in json.dumps(answer["coverage"])


def test_root_of_a_user_namespace_with_its_own_network_sees_that_alone(connection: int) -> None:
    assert listed(("unshare", "--user", "--map-root-user", "--net"), near(connection))["sockets"] == []


IN_A_USER_NAMESPACE = """
import ctypes, os, sys
from pathlib import Path
from sockui.statefile import append
outside = os.geteuid()
try:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/uid_map").write_text(f"0 {outside} 1")
except OSError as error:
    sys.exit(f"not here: {error}")
print(os.geteuid(), append("a.log", "line", Path(sys.argv[1])))
"""


def test_root_of_a_user_namespace_keeps_its_files_where_they_belong(reachable: Path) -> None:
    home = reachable / "home"  # the directories above are the host's root's, who has no number in there
    home.mkdir()
    os.chown(home, 65534, 65534)
    command = [*NOBODY, sys.executable, "-c", IN_A_USER_NAMESPACE, str(home / "state")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.stderr.startswith("not here: "):
        pytest.skip(f"nobody may not make a user namespace {done.stderr.strip()}")
    assert (done.stdout.split(), done.stderr) == (["0", f"{home}/state/a.log"], "")


# --- only looking -----------------------------------------------------------------------------------------------------

CALLS = "%process,%network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,kill,tgkill,pidfd_send_signal"
STRACE = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={CALLS}")
LOOKS = {"AF_NETLINK", "AF_UNIX"}


OF_A_PROCESS = r"stat|status|comm|cmdline|cgroup|limits|fd|exe|ns/net|net/tcp6?|task(/\d+/(stat|wchan|syscall))?"
READS = re.compile(
    rf"/proc|/proc/(self|thread-self|\d+)/({OF_A_PROCESS})"
    r"|/proc/sys/(net|fs)/[\w./-]+"
    r"|/proc/(thread-self/|self/)?net/(netstat|snmp6?|sockstat6?|(tcp|udp)6?|stat/nf_conntrack)"
    r"|/run/netns(/.*)?|/etc/(passwd|nsswitch\.conf|services|localtime|ld\.so\.cache)"
    r"|/proc/sys/vm/overcommit_memory|/sys/devices/system/cpu/.*|/dev/(null|tty|urandom)|\d+/(stat|wchan|syscall)"
)
"""What SECURITY.md says that is read, and what the C library reads for names, times, CPUs and malloc_trim(3)."""
PROGRAM = (sys.prefix, sys.base_prefix, str(ROOT), "/usr", "/lib", "/lib64")
"""Where the program, Python and their libraries are."""


def traced(log: Path) -> list[str]:
    """The system calls of a run under strace, each whole; those that failed did nothing."""
    waiting: dict[str, str] = {}
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        number, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            waiting[number] = rest.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        if resumed:
            rest = waiting.pop(number, "") + resumed[1]
        if not re.search(r"= -1 [A-Z]+ ", rest):
            calls.append(rest)
    assert any(call.startswith("sendto(") and "nlmsg_len" in call for call in calls), "it was seen to ask the kernel"
    return calls


def judge(calls: list[str], home: Path) -> set[Path]:
    """Hold a run to what sockui never does; the files that it wrote."""
    for call in calls:
        name = call.partition("(")[0]
        assert name not in ("listen", "kill", "pidfd_send_signal", "creat", "vfork", "fork"), call
        if name in ("clone", "clone3"):
            assert "CLONE_THREAD" in call, call
        if name in ("socket", "socketpair", "bind"):
            assert re.search(r"\b(AF_\w+)", call)[1] in (LOOKS if name != "bind" else {"AF_NETLINK"}), call  # type: ignore[index]
        if name in ("connect", "sendmsg", "sendmmsg"):
            assert "AF_UNIX" in call, call  # the name service cache, on this host
        if name == "sendto":  # to the kernel, or to another thread of its own
            assert "{nlmsg_len=" in call or re.match(r'sendto\(\d+, "\\0", 1,', call), call
    assert sum(call.startswith("execve(") for call in calls) == 1, "itself, and nothing else"
    for call in calls:
        read = re.match(r'open(?:at)?\(.*?"(.*?)", [^)]*O_RDONLY', call)
        if read and not read[1].startswith((*PROGRAM, str(home))) and read[1] != str(home):
            assert READS.fullmatch(read[1]), call
    written = set()
    for call in calls:
        found = re.match(r'(open|openat|mkdir|mkdirat)\(.*?"(.*?)"(.*)\)', call)
        if not found or (found[1].startswith("open") and not re.search("O_WRONLY|O_RDWR|O_CREAT", found[3])):
            continue
        if found[2].startswith(("/dev/", "/proc/self/")):
            continue
        path = home / "state/sockui" / found[2] if not found[2].startswith("/") else Path(found[2])
        assert path.is_relative_to(home), call
        if "O_CREAT" in found[3]:
            assert found[3].rstrip(") ").endswith("0600") or ", 0600" in found[3], call
        written.add(path)
    return written


@needs_strace
@pytest.mark.parametrize("command", [["list"], ["diagnose"]])
def test_headless_it_asks_the_kernel_and_does_nothing_else(command: list[str], connection: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    strace = [*STRACE, "-o", str(log)]
    done = subprocess.run([*strace, *SOCKUI, *command], capture_output=True, text=True, cwd=ROOT, env=environ)
    assert done.returncode == 0, done.stderr
    assert judge(traced(log), tmp_path / "home") == set()


@needs_strace
@pytest.mark.pty
def test_on_screen_it_asks_the_kernel_and_keeps_what_is_copied_for_its_user_alone(
    connection: int, tmp_path: Path
) -> None:
    log, home = tmp_path / "log", tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "SOCKUI_VIEW": "sockets"}
    environ |= {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "PYTHONDONTWRITEBYTECODE": "1", "SOCKUI_INTERVAL": "0.5"}
    ui = Terminal([near(connection)], (120, 36), environ, (*STRACE, "-o", str(log), *SOCKUI))
    try:
        ui.wait("3 match")
        for keys, shown in (
            ("3", "fold"), ("1", "Severity"), ("2", "Recv-Q"), ("\r", "Esc back"), ("q", "q quit"),
            ("r", "What to do"), ("x", "Actions are off: start sockui with --allow-actions"), ("q", "q quit"),
            ("c", "copied.md"),
        ):  # fmt: skip
            ui.send(keys)
            ui.wait(shown)
        polls = log.read_text().count("NLM_F_DUMP")
        while log.read_text().count("NLM_F_DUMP") < polls + 9:  # three more polls, each of three dumps
            ui.read()
        ui.send("q")
        assert ui.ended() == 0
    finally:
        ui.child.close(force=True)
    state = home / "state/sockui"
    assert judge(traced(log), home), "what was copied was seen to be written"
    assert [path.name for path in state.iterdir()] == ["copied.md"]
    assert stat.S_IMODE((state / "copied.md").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
