from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockui.errors import FilterError
from sockui.model import Coverage, Known, Owner, Process, Protocol, State, Timer
from sockui.tracker import Update
from sockui.view import predicates, query
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.query import Query, help_text

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]


@pytest.fixture
def host(make_update: MakeUpdate, make_process: MakeProcess) -> Update:
    leak = {
        "state": State.CLOSE_WAIT,
        "pid": 4312,
        "recv_queue": 70_000,
        "age": (600_000, 600_500),
        "local": ("10.0.0.5", 443),
        "remote": ("192.168.1.7", 50_000),
    }
    at_most_a_minute_old = {
        "pid": 812,
        "family": 6,
        "age": (0, 60_000),
        "local": ("10.0.0.5", 80),
        "remote": ("10.20.30.40", 1024),
        "rtt": 250_000,
    }
    at_least_two_minutes_old = {
        "pid": 812,
        "age": (120_000, -1),
        "local": ("::1", 80),
        "remote": ("2001:db8::7", 1025),
        "timer": Timer.PERSIST,
        "retransmits": 4,
    }
    little_known = {
        "known": int(Known.COOKIE),
        "state": State.TIME_WAIT,
        "owner": Owner.KERNEL,
        "remote": ("10.0.0.9", 443),
    }
    listener = {"state": State.LISTEN, "pid": 812, "remote": ("::", 0), "local": ("::", 80), "interface": 1}
    udp_of_somebody_else = {
        "protocol": Protocol.UDP,
        "state": State.CLOSE,
        "owner": Owner.HIDDEN,
        "uid": 65_534,
        "remote": ("0.0.0.0", 0),
        "local": ("127.0.0.1", 53),
    }
    shared = {"pid": 812, "inode": 5000, "holders": 2, "local": ("10.0.0.5", 22), "remote": ("10.0.0.6", 22)}
    return make_update(
        [
            leak,
            at_most_a_minute_old,
            at_least_two_minutes_old,
            little_known,
            listener,
            udp_of_somebody_else,
            shared,
        ],
        [
            make_process(4312, "java", cmdline=("java", "-jar", "shop.jar"), unit="shop.service"),
            make_process(812, "nginx", unit="nginx.service"),
            make_process(813, "kworker/0:1", cmdline=(), unit=""),
        ],
        [(5000, 812, 3), (5000, 813, 4)],
        coverage=Coverage(7, 5, 1, fix="sudo sockui"),
    )


def rows(text: str, update: Update) -> list[int]:
    return np.flatnonzero(query.compile(text).mask(update)).tolist()


ALL = [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL),
        ("   ", ALL),
        # the states of ss
        ("state close-wait", [0]),
        ("state CLOSE_WAIT", [0]),
        ("state established", [1, 2, 6]),
        ("state close-wait state time-wait", [0, 3]),
        ("state connected exclude established", [0, 3]),
        ("exclude established", [0, 3, 4, 5]),
        ("state synchronized", [0, 1, 2, 3, 6]),
        ("state bucket", [3]),
        ("state big", [0, 1, 2, 4, 5, 6]),
        ("state all", ALL),
        ("not state established", [0, 3, 4, 5]),
        ("state close-wait and state time-wait", []),
        ("state close-wait,time-wait", None),
        ("state = close-wait,time-wait", [0, 3]),
        ("state != established", [0, 3, 4, 5]),
        ("state ~ ^time-wait$", [3]),
        ("state ~ unconn", [5]),
        # the places of ss
        ("dst 10.0.0.0/8", [1, 3, 6]),
        ("dst = 10.0.0.0/8", [1, 3, 6]),
        ("dst != 10.0.0.0/8", [0, 2]),
        ("dst 10.0/16", [3, 6]),
        ("dst 192.168.1.7", [0]),
        ("dst 192.168.1.7:50000", [0]),
        ("dst 192.168.1.7:50001", []),
        ("dst 2001:db8::/32", [2]),
        ("dst [2001:db8::7]:1025", [2]),
        ("dst [2001:db8::]/32:1025", [2]),
        ("src [::1]:80", [2]),
        ("src ::1", [2]),
        ("src *:80", [1, 2, 3, 4]),
        ("src :80", [1, 2, 3, 4]),
        ("dst :443", [3]),
        ("dst 0.0.0.0/0", [0, 1, 3, 6]),
        ("dst ::/0", [0, 1, 2, 3, 6]),
        ("src 10.0.0.5,127.0.0.1", [0, 1, 5, 6]),
        ("not src 127.0.0.1", [0, 1, 2, 3, 4, 6]),
        ("! src 127.0.0.1", [0, 1, 2, 3, 4, 6]),
        ("!src 127.0.0.1", [0, 1, 2, 3, 4, 6]),
        ("dport = :https", [3]),
        ("dport = 443", [3]),
        ("dport :443", [3]),
        ("( sport = :ssh or dport = :ssh )", [6]),
        ("sport = :ssh || dport = :443", [3, 6]),
        ("sport gt :80", [0]),
        ("sport ge :80", [0, 1, 2, 3, 4]),
        ("sport lt :53", [6]),
        ("sport le :53", [5, 6]),
        ("sport ne :80", [0, 5, 6]),
        ("sport eq :80", [1, 2, 3, 4]),
        ("sport != 80", [0, 5, 6]),
        ("dport > 1024", [0, 2]),  # a socket without a peer has no dport
        ("dport < 100", [6]),
        ("not dport > 1024", [1, 3, 4, 5, 6]),
        ("dev lo", [4]),
        ("dev != lo", [0, 1, 2, 3, 5, 6]),
        ("dev = 1", [4]),
        # ages are intervals: only what is certain
        ("age > 5m", [0]),
        ("age >= 2m", [0, 2]),
        ("age > 119s", [0, 2]),
        ("age < 5m", [1]),
        ("age <= 1m", [1]),
        ("age < 1m", []),
        ("age < 1h", [0, 1]),
        ("not age > 5m", [1, 2, 3, 4, 5, 6]),
        ("age > 1m59s", [0, 2]),
        ("age > 599", [0]),
        ("state_age_min_seconds > 119", [0, 2]),
        ("state_age_max_seconds < 2m", [1]),
        # numbers with and without units; what is not known satisfies nothing
        ("recvq > 64k", [0]),
        ("recvq>64k", [0]),
        ("recv_queue = 70000", [0]),
        ("recvq = 0", [1, 2, 4, 5, 6]),
        ("recvq != 0", [0]),
        ("not recvq != 0", [1, 2, 3, 4, 5, 6]),
        ("retransmits >= 3", [2]),
        ("rtt > 200", [1]),
        ("rtt > 200ms", [1]),
        ("rtt > 0.3s", []),
        ("rtt < 1s", [1]),
        ("cookie = 0x3", [2]),
        ("inode = 5000", [6]),
        ("uid = 65534", [5]),
        # processes: every holder counts
        ("pid = 4312", [0]),
        ("pid = 812", [1, 2, 4, 6]),
        ("pid = 813", [6]),
        ("pid = 4312,813", [0, 6]),
        ("pid = 4312, 813", [0, 6]),
        ("pid != 813", [0, 1, 2, 4]),
        ("pid > 812", [0, 6]),
        ("process = java", [0]),
        ("process = JAVA", [0]),
        ("process = j*a", [0]),
        ("process = ja", []),
        ("process = ngin?", [1, 2, 4, 6]),
        ("process = kworker/0:1", [6]),
        ("process ~ ^(java|nginx)$", [0, 1, 2, 4, 6]),
        ("(process ~ ^(java|nginx)$) recvq > 0", [0]),
        ("process ~ (java|kwork)", [0, 6]),
        ("process ~ ^((java))$", None),
        ('process ~ "^(java|nginx)$"', [0, 1, 2, 4, 6]),
        ("process ~ java|kwork", [0, 6]),
        ("(process ~ AVA)", [0]),
        ("process !~ java", [1, 2, 4, 6]),
        ("process != nginx", [0]),
        ("cmdline ~ shop\\.jar", [0]),
        ("unit = shop.service", [0]),
        ("owner = hidden", [5]),
        ("owner = kernel", [3]),
        ("user = root", [0, 1, 2, 4, 6]),
        # words
        ("timer = persist", [2]),
        ("timer = off", [0, 1, 4, 5, 6]),
        ("proto = udp", [5]),
        ("family = inet6", [1, 2, 4]),
        ("local_address = 10.0.0.5", [0, 1, 6]),
        ("local_address ~ ^10\\.", [0, 1, 3, 6]),
        ("remote_address != 10.0.0.0/8", [0, 2]),
        # joining
        ("pid = 812 recvq = 0 state listen", [4]),
        ("pid = 812 & state listen", [4]),
        ("pid = 812 && not state listen && sport = 80", [1, 2]),
        ("state listen | state close-wait", [0, 4]),
        ("state listen or state close-wait and pid = 1", [4]),
        ("(state listen or state close-wait) and pid = 4312", [0]),
        ("not (state listen or pid = 4312)", [1, 2, 3, 5, 6]),
        ("not not pid = 4312", [0]),
        # bare words
        ("java", [0]),
        ("JAVA", [0]),
        ("shop", [0]),
        ("nginx/812", [1, 2, 4, 6]),
        ("kworker", [6]),
        ("close-wait", [0]),
        ("fin-wait", []),
        ("e-wait", [0, 3]),
        ("b8:10", []),  # of [2001:db8::7]:1025
        (":*", []),  # a socket without a peer shows only *
        ("0.0.0.0", []),
        ("*", [4, 5]),
        ("estab", [1, 2, 6]),
        ("udp", [5]),
        ("tcp6", [1, 2, 4]),
        ("needs", [5]),
        ('"needs root"', [5]),
        ("10.0.0.5:4", [0]),
        ("0.5:80", [1]),
        ("192.168", [0]),
        ("[::1]:80", [2]),
        ("db8::7]:10", [2]),
        ("'not'", []),
        ("nothing", []),
        ("nginx established", [1, 2, 6]),
        ("nobody", [5]),
        ("state", None),
        ('"state"', []),
    ],
)
def test_what_a_filter_chooses(text: str, expected: list[int] | None, host: Update) -> None:
    if expected is None:
        with pytest.raises(FilterError):
            query.compile(text)
    else:
        assert rows(text, host) == expected


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("recvqq > 3", 0, 'did you mean "recvq"'),
        ("java and prcess = x", 9, 'did you mean "process"'),
        ("state close-wat", 6, 'did you mean "close-wait"'),
        ("state = listen,clos-wait", 15, 'did you mean "close-wait"'),
        ("timer = persit", 8, 'did you mean "persist"'),
        ("state", 5, "a state belongs here"),
        ("pid =", 5, "a value belongs here"),
        ("pid = 1,", 8, "a value belongs here"),
        ("pid = 1,x", 8, "a number belongs here"),
        ("process ~ ", 9, "a regular expression belongs here"),
        ('process ~ "a(b"', 14, "not a regular expression"),
        ("process ~ a{3,2}", 12, "not a regular expression"),
        ("(pid = 1", 8, "a ( is not closed"),
        ("pid = 1)", 7, "there is no ( for this )"),
        ("()", 1, "a condition belongs before"),
        ('java "ngin', 5, 'the quote " is not closed'),
        ("java or", 7, "a condition belongs here"),
        ("age = 5m", 6, "an age is an interval"),
        ("age > soon", 6, "a duration belongs here"),
        ("age > 5m3x", 8, "a duration belongs here"),
        ("recvq > 3q", 8, "a number of bytes belongs here"),
        ("dport = :htps", 8, "no service of that name"),
        ("dport = 65536", 8, "a port belongs here"),
        ("dst example.com", 4, "names are not looked up"),
        ("dst 10.0.0.300", 4, "an address belongs here"),
        ("dst 10.0.0.1:", 13, "a port belongs after the colon"),
        ("dst [::1", 4, "the [ is not closed"),
        ("src fe80::1%eth0", 11, "without its scope"),
        ("process < 3", 10, "process has no order"),
        ("pid < 3,4", 6, "a list of values goes with = and !="),
        ("pid ~ 4", 6, "use = or <"),
        ("fwmark = 3", 0, "does not read the mark"),
        (f'process ~ "{"(" * 3000}{")" * 3000}"', 11, "too large"),
        ("process ~ a{99999999999}", 10, "too large"),
        ("dev = nosuchdevice", 6, "no network device of that name"),
        ("not " * 60 + "java", 36, "nested 50 deep"),
        ("age > 5 m", 8, "as in 5m"),
        ("tcp and not age > 90 MIN", 21, "as in 5MIN"),
        ("udp and rtt >= 200 ms", 19, "as in 5ms"),
        ("recvq > 64 KiB", 11, "as in 5KiB"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, position: int, hint: str) -> None:
    with pytest.raises(FilterError) as caught:
        query.compile(text)
    assert caught.value.position == position
    assert hint in caught.value.hint
    assert "\n" not in caught.value.hint
    assert str(caught.value).splitlines()[2] == "  " + " " * position + "^"


@pytest.mark.parametrize(
    "text", ["age > 5m m", "age > 5 'm'", "pid = 5 m", "recvq > 64 mx", "age > 5 and m", "m age > 5", "sport = 5 s"]
)
def test_a_word_behind_a_number_that_is_no_unit_of_it_is_looked_for(text: str) -> None:
    assert query.compile(text).text == text


def test_long_and_deep_filters_work(host: Update) -> None:
    pids = ",".join(map(str, range(1, 5001)))
    assert rows(f"pid = {pids}", host) == [0, 1, 2, 4, 6]
    assert rows(" or ".join(["pid = 4312"] * 3000), host) == [0]
    assert rows("pid = 4312 " * 3000, host) == [0]
    assert rows("(" * 3000 + "pid = 4312" + ")" * 3000, host) == [0]
    assert rows("not (" * 49 + "pid = 4312" + ")" * 49, host) == [1, 2, 3, 4, 5, 6]


def test_a_text_pasted_by_mistake_is_refused_and_as_many_words_as_allowed_are_found(host: Update) -> None:
    assert query.compile("443 " * query.MOST_WORDS).mask(host).any()
    for text in ("a " * (query.MOST_WORDS + 1), "(a or b) not c pid = 1 " * query.MOST_WORDS):
        with pytest.raises(FilterError, match=f"may search for {query.MOST_WORDS} words"):
            query.compile(text)


def test_stars_take_no_more_time_than_the_command_line_is_long(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    """A process may call itself anything; trying each star at each place would not end."""
    process = make_process(4312, cmdline=("a" * 60_000,))
    update = make_update([{"pid": 4312}], [process])
    assert not query.compile("command = *a*a*a*a*a*a*a*b").mask(update).any()
    assert query.compile("command = *a*a*a*a").mask(update).all()


def test_brackets_in_a_value_are_text(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update([{"pid": 4312}], [make_process(4312, name="[a]")])
    assert query.compile("process = [a*").mask(update).all()
    assert not query.compile("process = '[[]*'").mask(update).any()


def test_a_long_word_of_digits_and_colons_is_looked_for_once(host: Update) -> None:
    assert not query.compile(f"'{':1024' * 2000}'").mask(host).any()


def test_a_process_that_is_gone_is_still_found_by_its_pid(make_update: MakeUpdate) -> None:
    assert rows("pid = 77", make_update([{"pid": 77}, {"pid": 78}])) == [0]


def test_a_process_without_a_unit_has_no_text_that_could_match(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    update = make_update([{"pid": 1}, {"pid": 2}], [make_process(1), make_process(2, unit="a.service")])
    assert rows("unit ~ .*", update) == [1]
    assert rows("unit = *", update) == [1]
    assert rows("unit != b", update) == [1]


def test_a_word_across_the_colon_ends_the_address(make_update: MakeUpdate) -> None:
    update = make_update([{"local": ("10.5.0.1", 80)}, {"local": ("10.1.5.0", 80)}, {"local": ("10.1.15.0", 8)}])
    assert rows("5.0:80", update) == [1]
    assert rows("5.0:8", update) == [1, 2]


def test_queries_are_equal_by_their_text() -> None:
    assert query.compile("pid = 1") == query.compile("pid = 1") != query.compile("pid = 2")
    assert query.compile("") == query.EVERYTHING == Query("", None)


def test_no_sockets_at_all(make_update: MakeUpdate) -> None:
    update = make_update([])
    for text, _ in help_text():
        assert rows(text, update) == []


def test_the_examples_of_the_help_are_right(host: Update) -> None:
    for text, meaning in help_text():
        query.compile(text).mask(host)
        assert meaning


def test_the_parser_is_not_loaded_before_there_is_a_filter() -> None:
    code = "import sys; from sockui.view import query; query.compile(''); sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


WORDS = (
    "and or not state exclude src dst sport dport dev age pid process recvq close-wait == != !~ >= 10.0.0.0/8 "
    "[::1]:80 :443 5m 64k 0x1f ^a+$ é ٣"
)
PIECES = st.sampled_from([*"()!&|,=<>~'\"[]:/*?\\.-_ \n\t\0\ud800", *WORDS.split()])
TEXTS = (
    st.lists(PIECES | st.text(max_size=4), max_size=12).map(" ".join)
    | st.lists(PIECES, max_size=12).map("".join)
    | st.text()
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_no_text_whatever_raises_anything_but_a_filter_error(host: Update, text: str) -> None:
    compiled = None
    with contextlib.suppress(FilterError):
        compiled = query.compile(text)
    if compiled is not None:
        mask = compiled.mask(host)
        assert mask.shape == (7,)
        assert mask.dtype == np.bool_


def cells(update: Update) -> list[str]:
    """What each row shows of the searched columns, the slow way."""
    columns = [COLUMNS[name] for name in ("protocol", "state", "process", "user", "unit")]
    columns += [SCREEN[name] for name in ("local", "remote", "command")]
    texts = [column.texts(update) for column in columns]
    texts.append([text.replace("_", "-") for text in COLUMNS["state"].texts(update)])
    return ["\n".join(row).casefold() for row in zip(*texts, strict=True)]


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_bare_word_is_a_substring_of_a_cell(host: Update, data: st.DataObject) -> None:
    shared = 6  # of a second holder there is no cell
    shown = cells(host)
    row = data.draw(st.integers(0, len(shown) - 1))
    start = data.draw(st.integers(0, len(shown[row]) - 1))
    word = shown[row][start : start + data.draw(st.integers(1, 8))].split("\n")[0]
    word = data.draw(st.sampled_from([word, *"0123456789.:[]*", "0.0", ":80", ".0.5:", "5:443", "::"])) or "x"
    if '"' in word or "\\" in word:
        return
    found = rows(f'"{word}"', host)
    assert [index for index in found if index != shared] == [
        index for index, text in enumerate(shown) if any(word in cell for cell in text.split("\n")) and index != shared
    ]


@pytest.mark.parametrize("pattern", ["(a+)+c", "a.*b.*c.*d.*e", "(?R)", "((a{1,50}){1,50})+c"])
def test_a_regular_expression_without_end_is_ended_and_said(
    pattern: str, make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    update = make_update([{"pid": 1}], [make_process(1, cmdline=("a" * 60_000,))])
    begun = time.process_time()
    with pytest.raises(FilterError, match="takes too long") as caught:
        query.compile(f"command ~ '{pattern}'").mask(update)
    assert caught.value.text[caught.value.position] == "~"
    assert time.process_time() - begun < 10 * predicates.PATIENCE


def test_a_regular_expression_that_would_be_built_of_millions_of_parts_is_refused() -> None:
    with pytest.raises(FilterError, match="too large"):
        query.compile("command ~ '((a{999}){999}){999}'")


def test_counts_beside_each_other_are_few_parts(host: Update) -> None:
    number = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    for pattern in (number * 3, r"([0-9]{1,3}\.){3}[0-9]{1,3}"):
        assert not query.compile(f"command ~ '{pattern}'").mask(host).any()
