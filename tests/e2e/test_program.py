"""The real program on a real terminal, looking at real sockets: what only a pty shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockui.lab.run import Lab
from sockui.lab.scene import Made
from tests.screen import DEADLINE, Terminal

pytestmark = pytest.mark.pty

ENTER, ESCAPE, DOWN, PAGE_DOWN = "\r", "\x1b", "\x1b[B", "\x1b[6~"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    names = ["close-wait-unread", "fin-wait2-held", "listen-full", "established"]
    with Lab(names, namespace=f"e2e-{os.getpid()}") as made:
        yield made


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(lab: Lab, tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def begin(*arguments: str, size: tuple[int, int] = (120, 36), **environ: str) -> Terminal:
        where = ["--netns", lab.namespace] if lab.namespace else []
        home = {
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22",
        }
        opened.append(Terminal([*where, *arguments], size, {**home, **environ}))
        return opened[-1]

    yield begin
    for each in opened:
        if each.child.isalive():
            each.child.close(force=True)


def socket_of(lab: Lab, name: str) -> Made:
    return next(made for made in lab.made if made.name == name)


def test_what_is_typed_before_the_first_frame_is_not_lost(lab: Lab, terminal: Open) -> None:
    ui = terminal(SOCKUI_VIEW="sockets")
    ui.send("3")
    ui.wait("←→ fold")
    ui.send("q")
    assert ui.ended() == 0


def test_from_what_is_wrong_to_its_sockets_and_into_the_channel(lab: Lab, terminal: Open) -> None:
    full = socket_of(lab, "listen-full")
    ui = terminal()
    ui.wait(re.compile(rf"CRITICAL +Accept queue full.* {full.process} {full.pid} +:{full.local[1]} ").search)
    ui.wait(re.compile(r" sockui +[1-9][0-9]* critical").search)
    ui.wait("Our application: ")  # whose turn it is, of the finding under the cursor
    ui.send("c")
    text = ui.sent_to_clipboard()
    assert text.startswith("CRITICAL Accept queue full")
    assert f":{full.local[1]}" in text
    assert f"{full.process}" in text
    assert "UTC" in text
    assert not text.endswith("\n")
    ui.wait("sent to the terminal (OSC 52)")

    ui.send(ENTER)  # its sockets, and nothing else
    ui.wait(lambda text: "Esc show all" in text and f":{full.local[1]} " in text and "CLOSE_WAIT  " not in text)
    ui.send(ESCAPE)
    ui.wait("a acknowledge")  # Esc and a key in one burst are another key
    ui.send("r")
    ui.wait("What to do: Accept queue full")
    ui.send("x")
    ui.wait("Actions are off: start sockui with --allow-actions")
    ui.send("q")
    ui.wait("Severity")
    ui.send("q")
    assert ui.ended() == 0


def test_from_a_stuck_socket_to_what_it_means_and_back(lab: Lab, terminal: Open) -> None:
    stuck = socket_of(lab, "close-wait-unread")
    ui = terminal(f"sport = :{stuck.local[1]} and state close-wait", size=(80, 24), SOCKUI_VIEW="sockets")
    ui.wait("1 match")
    ui.send("i")
    ui.wait("Our application must close().")
    ui.send("n\t\x1b[Z")  # the first link, the next one, and with Shift-Tab the first again
    ui.send(ENTER)
    ui.wait(" CLOSE_WAIT › ")
    ui.send("/")
    ui.wait("Search: ")
    ui.send("keepalive probes")
    ui.wait("half-open")  # found by what its page says
    ui.send("q" + ESCAPE)
    ui.wait("Keys")
    ui.send(ESCAPE)
    ui.wait(" CLOSE_WAIT › ")
    ui.send("\x7f")  # Backspace
    ui.wait(lambda text: "›" not in text and "Our application must close()." in text)
    ui.send("q")
    ui.wait("1 match")
    ui.send("D")
    ui.wait(re.compile(r"\[CLOSE_WAIT [1-9]").search)
    ui.send("h")
    ui.wait("[FIN_WAIT1 0]")
    ui.send(DOWN)
    ui.wait(re.compile(r"\[FIN_WAIT2 [1-9]").search)
    ui.send(" ")
    ui.wait("/ state fin-wait2 and protocol = tcp")
    ui.send("q")
    assert ui.ended() == 0


def test_closing_one_socket_closes_it_and_says_what_stays(lab: Lab, terminal: Open) -> None:
    if not lab.namespace:
        pytest.skip("closing sockets needs root")
    victim, bystander = socket_of(lab, "established"), socket_of(lab, "close-wait-unread")
    port = victim.local[1]
    assert listed(lab, port)
    ui = terminal(f"sport = :{port}", "--allow-actions")
    ui.wait("1 match")
    ui.send("r")
    ui.wait("x act")
    ui.send("x")
    ui.wait("Close this socket")
    ui.send(ENTER)
    ui.wait("y do it")
    ui.wait("1 ESTABLISHED")
    ui.wait(f"{victim.process} {victim.pid}")
    ui.send("y")
    ui.wait("c copy")
    assert not listed(lab, port), ui.text
    assert listed(lab, bystander.local[1])
    ui.send("qq")
    ui.wait("0 match")
    ui.send("q")
    assert ui.ended() == 0


def listed(lab: Lab, port: int) -> str:
    """The connections from a local port in the lab that the kernel lists."""
    command = ["ip", "netns", "exec", str(lab.namespace), "ss", "-Htan", "state", "connected", f"sport = :{port}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_incident_from_start_to_paste(lab: Lab, terminal: Open, tmp_path: Path) -> None:
    stuck = socket_of(lab, "close-wait-unread")
    peer = f"{stuck.remote[0]}:{stuck.remote[1]}"
    ui = terminal(SOCKUI_VIEW="sockets")

    ui.wait(re.compile(rf"CLOSE_WAIT +\S+ +301 .*{re.escape(peer)} +{stuck.process}\b").search)  # in the table

    ui.send("/")  # filter
    ui.send(f"state close-wait and dport = :{stuck.remote[1]}")
    ui.wait(lambda text: "1 of" in text and "LISTEN " not in text.split("\n", 4)[4])
    ui.send(ENTER)

    # the explanation, from this socket's own numbers
    ui.wait("The peer has closed.")
    ui.wait("300 unread bytes; the other 1 in")
    ui.wait("Nothing but close()")
    ui.wait(f"{stuck.process} {stuck.pid}")

    ui.send("r")  # remediation
    ui.wait(f"$ ps -L -o tid,stat,wchan:24,comm -p {stuck.pid}")
    if lab.namespace:
        ui.wait(f"nsenter --net=/run/netns/{lab.namespace} ss ")
    ui.send(PAGE_DOWN)
    ui.wait("What not to do")
    ui.send("c")
    assert ui.sent_to_clipboard() == f"ps -L -o tid,stat,wchan:24,comm -p {stuck.pid}"
    ui.send("q")

    ui.wait("State ")
    ui.raw = b""
    ui.send("c")  # the summary for chat
    summary = ui.sent_to_clipboard()
    assert "CLOSE_WAIT" in summary
    assert peer in summary
    assert f"{stuck.process}" in summary
    assert "300 unread bytes" in summary
    assert not summary.endswith("\n")
    ui.wait("sent to the terminal (OSC 52), also in ~/state/sockui/copied.md")
    assert (tmp_path / "state/sockui/copied.md").read_text() == summary + "\n"

    ui.send(ESCAPE)  # every socket again, sorted by the receive queue
    ui.wait(lambda text: re.search("^ ?LISTEN", text, re.MULTILINE))
    ui.send("s")
    ui.wait("Sort by")
    ui.send("j" * 6)
    ui.send(ENTER)
    ui.wait(lambda text: re.search(r"[▲▼]", text))

    ui.send("3")  # processes
    ui.wait(lambda text: re.search(rf"{stuck.process} +{stuck.pid} +\d", text) and "CLOSEW" in text)
    ui.send("2")
    ui.wait("Recv-Q")

    ui.send("q")
    assert ui.ended() == 0
    after = ui.raw[ui.raw.rindex(b"\x1b[?1049l") :]
    assert b"\x1b[?25h" in ui.raw[-400:], "the cursor is back"
    assert b"\x1b[?1000h" not in after, "the mouse is given back"


def test_under_tmux_the_text_goes_plain_and_wrapped(lab: Lab, terminal: Open) -> None:
    ui = terminal(SOCKUI_VIEW="sockets", TMUX="/nonexistent,1,0", TERM="tmux-256color")
    ui.wait("CLOSE_WAIT")
    ui.send("c")
    plain = ui.sent_to_clipboard()
    wrapped = ui.sent_to_clipboard(rb"\x1bPtmux;\x1b\x1b\]52;c;([A-Za-z0-9+/=]+)\x07\x1b\\")
    assert plain == wrapped
    ui.wait("tmux set -s set-clipboard on")
    ui.send("q")
    assert ui.ended() == 0


def test_eighty_by_twenty_four_without_colour_or_unicode(lab: Lab, terminal: Open) -> None:
    ui = terminal(
        "--theme",
        "mono",
        size=(80, 24),
        SOCKUI_VIEW="sockets",
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        TERM="vt100",
    )
    text = ui.wait("CLOSE_WAIT")
    assert text.isascii()
    assert not re.search(rb"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|38|48|9[0-7])[0-9;]*m", ui.raw), "no colour is sent"
    ui.send("1")
    ui.wait("First")
    assert ui.wait("Severity").isascii()
    ui.send("2")
    ui.wait("State")
    ui.send(DOWN)
    ui.send("r")
    ui.wait("What to do")
    ui.send("q")
    ui.wait("State")
    ui.send("q")
    assert ui.ended() == 0


def test_resizing_and_every_key_of_the_footer(lab: Lab, terminal: Open) -> None:
    ui = terminal(size=(80, 24), SOCKUI_VIEW="sockets")
    ui.wait("CLOSE_WAIT")
    for lines, columns in ((10, 40), (50, 200), (1, 1), (24, 80)):
        ui.child.setwinsize(lines, columns)
        ui.screen.resize(lines, columns)
        ui.read()
    ui.wait("q quit")
    ui.screen.reset()
    os.kill(ui.child.pid, signal.SIGWINCH)  # the terminal shrank and grew back before it was looked at
    ui.wait("q quit")
    os.kill(ui.child.pid, signal.SIGSTOP)  # by a debugger, a freezer or ``kill``: not by Ctrl-Z
    ui.screen.reset()
    os.kill(ui.child.pid, signal.SIGCONT)
    ui.wait("q quit")
    ui.screen.reset()  # something else wrote on the terminal
    ui.send("\x0c")
    ui.wait("q quit")
    steps = [("p", "PAUSED"), ("p", "every"), ("+", "every 5 s"), ("-", "every 2 s"), ("?", "Keys"), (ESCAPE, "State"),
             ("o", "[x] state"), ("q", "q quit"), ("d", "OSC 52"), (" ", "1 marked"), ("C", "OSC 52"),
             (ENTER, "Esc back"), ("q", "q quit")]  # fmt: skip
    for keys, expected in steps:
        ui.send(keys)
        ui.wait(expected)
    ui.send("e")
    ui.wait(lambda text: "Turn" not in text)
    ui.send("q")
    assert ui.ended() == 0


def test_the_end_of_the_line_ends_the_program(terminal: Open) -> None:
    ui = terminal()
    ui.wait("sockui")
    os.close(ui.child.fileno())  # the SSH connection is gone
    end = time.monotonic() + DEADLINE
    while ui.child.isalive() and time.monotonic() < end:
        time.sleep(0.05)
    assert not ui.child.isalive(), "it still runs without a terminal"


def test_sigterm_restores_the_terminal(terminal: Open) -> None:
    ui = terminal()
    ui.wait("CLOSE_WAIT")
    ui.child.kill(signal.SIGTERM)
    assert ui.ended() == 128 + signal.SIGTERM
    assert b"\x1b[?1049l" in ui.raw


def test_a_wrong_filter_is_pointed_at_before_the_screen_is_taken(terminal: Open) -> None:
    ui = terminal("sport = :99999999")
    assert ui.ended() == 2
    assert b"\x1b[?1049h" not in ui.raw
    assert b"^" in ui.raw
