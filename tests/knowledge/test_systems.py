"""The settings named for Linux are those of the running kernel, their commands work; other systems' are consistent."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from sockui.collector import host
from sockui.knowledge import systems, topics, words
from sockui.knowledge.files import File
from sockui.knowledge.systems import Setting, SystemWords

KEYS = ("linux", "aix", "freebsd", "hpux", "macos", "solaris", "windows")
LINUX = {setting.name: setting for setting in systems.system("linux").settings}
GONE = {"net.ipv4.tcp_tw_recycle"}
THERE = sorted(set(LINUX) - GONE)
YOUNG = {f"net.ipv4.tcp_{name}" for name in ("tw_reuse_delay", "rto_min_us", "rto_max_ms", "syn_linear_timeouts")}
OTHERS = [key for key in KEYS if key != "linux"]
EVERY = [(each, one) for each in systems.systems() for one in each.settings]

SYSCTL = r"(?<![\w/])(?:net\.(?:ipv4|ipv6|core|netfilter)|fs)\.[a-z0-9_-]+[a-z0-9]"  # not sysctl/fs.rst

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")


def path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def there(name: str) -> Setting:
    """A setting of Linux that this kernel has; skips with the reason where it can lack it."""
    if name.startswith("net.netfilter.") and not Path("/proc/sys/net/netfilter/nf_conntrack_max").exists():
        pytest.skip("connection tracking is not loaded")
    if name in YOUNG and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 18) and not path(name).exists():
        pytest.skip("this kernel is older than the setting")
    return LINUX[name]


def private(command: str) -> str:
    """What a shell command prints in a network namespace of its own; it must succeed and not complain."""
    done = subprocess.run(["unshare", "--net", "sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.stderr or done.stdout}"
    return done.stdout


def value(printed: str, name: str) -> str:
    """The value in what sysctl printed."""
    label, _, number = printed.strip().partition(" =")
    assert label == name
    return " ".join(number.split())


def of_namespace(name: str) -> bool:
    return LINUX[name].scope == "each network namespace"


# --- the form -------------------------------------------------------------------------------------


def test_there_is_a_file_for_every_system_and_it_is_found_by_any_spelling() -> None:
    assert tuple(each.key for each in systems.systems()) == KEYS
    for text, key in (("HP-UX", "hpux"), ("darwin", "macos"), ("illumos", "solaris"), ("Mac OS X", "macos")):
        assert systems.find_system(text) is systems.system(key)
    assert systems.find_system("plan9") is None


def test_a_command_that_changes_without_who_and_how_long_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="who and how long"):
        systems._way(File("x.toml", {"read": "r", "change": "c"}))


def test_a_read_only_setting_has_no_command_that_changes_it() -> None:
    for name in ("fs.file-nr", "net.ipv4.tcp_ehash_entries"):
        assert [(way.change, way.persist) for way in LINUX[name].ways] == [("", "")]


@pytest.mark.parametrize(("each", "one"), EVERY, ids=[f"{each.key}-{one.name}" for each, one in EVERY])
def test_a_setting_is_about_known_topics_and_its_commands_are_whole(each: SystemWords, one: Setting) -> None:
    unknown = [name for name in one.topics if topics.find(name) is None]
    assert not unknown
    assert one.topics
    told = " ".join((one.text, one.default, one.versions, one.source, each.about))
    assert told.isascii()
    assert not re.search(r"\b(please|simply|just)\b", told, re.I)
    commands = [line for way in one.ways for line in (way.read, way.change, way.persist) if line]
    assert commands or one.gone or "winsock" in one.source
    for line in commands:
        assert not list(words.placeholders(line))
        assert "\n" not in line
        if each.key != "windows":
            subprocess.run(["sh", "-n", "-c", line], check=True)


def test_what_ends_a_state_names_a_state() -> None:
    for each in systems.systems():
        assert {ends.state for ends in each.ends} <= set(words.names("states"))
        assert len({ends.state for ends in each.ends}) == len(each.ends)


# --- Linux: against the running kernel ------------------------------------------------------------


def test_every_sysctl_that_is_read_or_named_anywhere_is_a_setting() -> None:
    named = {*host.SETTINGS, *host.GAUGES}
    for file in Path(words.__file__).parent.rglob("*.toml"):
        named |= set(
            re.findall(r"(?<![\w/])(?:net\.(?:ipv4|ipv6|core|netfilter)|fs)\.[a-z0-9_-]+[a-z0-9]", file.read_text())
        )
    assert named - set(LINUX) == set()


def test_settings_that_are_gone_say_so_and_have_no_commands() -> None:
    assert {name for name, setting in LINUX.items() if setting.gone} == GONE
    for name in GONE:
        assert not LINUX[name].ways
        assert not path(name).exists()


@pytest.mark.parametrize("name", THERE)
def test_a_setting_is_a_file_of_this_kernel(name: str) -> None:
    assert path(there(name).name).is_file()


@pytest.mark.kernel
@as_root
@pytest.mark.parametrize("name", THERE)
def test_a_setting_of_a_namespace_is_one_and_one_of_the_host_is_not(name: str) -> None:
    there(name)
    mine = private(f"if [ -e {path(name)} ]; then stat -c %a {path(name)}; fi").strip()
    fixed = not LINUX[name].ways[0].change
    if name.startswith("fs."):
        assert not of_namespace(name)
        assert f"{path(name).stat().st_mode & 0o777:o}" == ("444" if fixed else "644")
    elif fixed:
        assert mine == "444"
    else:
        assert (mine == "644") is of_namespace(name)
        assert path(name).stat().st_mode & 0o200


@pytest.mark.kernel
@as_root
@pytest.mark.parametrize("name", [name for name in THERE if of_namespace(name) and LINUX[name].default[0].isdigit()])
def test_a_default_is_the_value_in_a_fresh_namespace(name: str) -> None:
    assert LINUX[name].default.split() == private(f"cat {path(there(name).name)}").split()


def test_defaults_that_are_no_numbers_say_why() -> None:
    other = {setting.default for setting in LINUX.values() if not setting.default[0].isdigit()}
    assert other == {"depends on memory", "empty", "none, the kernel counts"}


@pytest.mark.kernel
@as_root
@pytest.mark.parametrize("name", THERE)
def test_reading_prints_the_value(name: str) -> None:
    (way,) = there(name).ways
    if of_namespace(name):
        assert value(private(way.read), name).split() == private(f"cat {path(name)}").split()
    else:
        done = subprocess.run(way.read, shell=True, capture_output=True, text=True, check=True)
        assert len(value(done.stdout, name).split()) == len(path(name).read_text().split())


@pytest.mark.kernel
@as_root
@pytest.mark.parametrize("name", [name for name in THERE if of_namespace(name) and LINUX[name].ways[0].change])
def test_changing_works(name: str) -> None:
    (way,) = there(name).ways
    before, said, after = private(f"{way.read}; {way.change}; {way.read}").splitlines()
    if "twice" in way.changes:
        wanted = [str(2 * int(number)) for number in value(before, name).split()]
    else:
        wanted = shlex.split(way.change)[-1].partition("=")[2].split()
    assert value(said, name).split() == value(after, name).split() == wanted


@pytest.mark.kernel
@as_root
@pytest.mark.parametrize("name", [name for name in THERE if LINUX[name].ways[0].persist])
def test_the_file_that_persists_is_understood(name: str, tmp_path: Path) -> None:
    (way,) = there(name).ways
    assert f"> /etc/sysctl.d/90-{name.rsplit('.', 1)[-1]}.conf" in way.persist
    persist = way.persist.replace("/etc/sysctl.d/", f"{tmp_path}/")
    subprocess.run(persist, shell=True, check=True)
    (file,) = tmp_path.iterdir()
    if of_namespace(name):
        said = private(f"sysctl -p {file}; {way.read}").splitlines()
        assert value(said[0], name).split() == value(said[1], name).split()
    else:  # writing it would change the host
        before = path(name).read_text()
        said = subprocess.run(
            f"sysctl --dry-run -p {file}", shell=True, capture_output=True, text=True
        ).stdout.splitlines()
        assert path(name).read_text() == before
    assert value(said[0], name).split() == file.read_text().split("=")[1].split()


# --- other systems --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", OTHERS)
@pytest.mark.parametrize("state", ["time_wait", "fin_wait2", "close_wait", "syn_sent", "established"])
def test_every_system_says_what_ends_a_state(key: str, state: str) -> None:
    assert [ends for ends in systems.system(key).ends if ends.state == state]


@pytest.mark.parametrize("key", OTHERS)
@pytest.mark.parametrize("topic", ["time_wait", "so_keepalive", "syn_sent", "backlog", "eaddrnotavail", "etimedout"])
def test_every_system_has_a_setting_for_what_matters(key: str, topic: str) -> None:
    assert [one for one in systems.system(key).settings if topic in one.topics]


def test_every_system_but_windows_has_one_for_fin_wait2() -> None:
    having = {key for key in KEYS if [one for one in systems.system(key).settings if "fin_wait2" in one.topics]}
    assert set(KEYS) - having == {"windows"}


def test_units_are_right_keepalive_begins_after_two_hours_everywhere() -> None:
    seconds = {"s": 1.0, "ms": 0.001, "half-seconds": 0.5}
    names = {
        "linux": "net.ipv4.tcp_keepalive_time",
        "aix": "tcp_keepidle",
        "freebsd": "net.inet.tcp.keepidle",
        "hpux": "tcp_keepalive_interval",
        "macos": "net.inet.tcp.keepidle",
        "solaris": "tcp_keepalive_interval",
        "windows": "KeepAliveTime",
    }
    for key, name in names.items():
        (one,) = [one for one in systems.system(key).settings if one.name == name]
        assert int(one.default) * seconds[one.unit] == 7200, key


def test_nothing_ends_close_wait_but_the_application() -> None:
    for key in OTHERS:
        (ends,) = [ends for ends in systems.system(key).ends if ends.state == "close_wait"]
        assert ends.text.startswith("Nothing but the application")
    (misnamed,) = [one for one in systems.system("solaris").settings if one.name == "tcp_close_wait_interval"]
    assert misnamed.gone
    assert "TIME_WAIT" in misnamed.text
    assert not misnamed.ways


def test_conflicting_documents_are_both_named() -> None:
    (delay,) = [one for one in systems.system("windows").settings if one.name == "TcpTimedWaitDelay"]
    assert (delay.default, delay.unit) == ("240", "s")
    assert "120" in delay.versions
    assert "cc938217" in delay.source
    assert "cc757512" in delay.source


def test_the_boot_file_of_hpux_gets_the_next_number(tmp_path: Path) -> None:
    boot = tmp_path / "nddconf"
    boot.write_text("# TRANSPORT_NAME[0]=ip\nTRANSPORT_NAME[0]=ip\nNDD_NAME[0]=ip_forwarding\nNDD_VALUE[0]=0\n")
    one = systems.system("hpux").settings[0]
    for _ in range(2):
        subprocess.run(one.ways[0].persist.replace("/etc/rc.config.d/nddconf", str(boot)), shell=True, check=True)
    assert boot.read_text().splitlines()[4:] == [
        line
        for number in (1, 2)
        for line in (
            f"TRANSPORT_NAME[{number}]=tcp",
            f"NDD_NAME[{number}]=tcp_time_wait_interval",
            f"NDD_VALUE[{number}]=60000",
        )
    ]


def test_the_job_of_macos_sets_what_the_command_sets(tmp_path: Path) -> None:
    for one in systems.system("macos").settings:
        (way,) = one.ways
        line = way.persist.replace("sudo tee /Library/LaunchDaemons/", f"tee {tmp_path}/")
        subprocess.run(line, shell=True, check=True, stdout=subprocess.DEVNULL)
        job = plistlib.loads((tmp_path / f"local.sysctl.{one.name.rsplit('.', 1)[-1]}.plist").read_bytes())
        assert job["ProgramArguments"] == ["/usr/sbin/sysctl", way.change.split()[-1]]
        assert job["RunAtLoad"] is True
        assert (tmp_path / f"{job['Label']}.plist").is_file()


def test_the_boot_file_of_freebsd_keeps_its_other_lines(tmp_path: Path) -> None:
    boot = tmp_path / "sysctl.conf"
    boot.write_text("kern.coredump=0\n")
    one = systems.system("freebsd").settings[0]
    subprocess.run(one.ways[0].persist.replace("/etc/sysctl.conf", str(boot)), shell=True, check=True)
    assert boot.read_text() == "kern.coredump=0\nnet.inet.tcp.msl=30000\n"
