from __future__ import annotations

import ipaddress
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockui.view import format as fmt

S, M, H, D = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (850, "850ms"), (1999, "1s"), (59_999, "59s"), (M, "1m"), (H - 1, "59m"), (H, "1h"), (48 * H, "2d")],
)
def test_durations_are_in_the_coarsest_unit_rounded_down(milliseconds: int, text: str) -> None:
    assert fmt.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, -1, ""),
        (999, -1, ""),
        (42 * M + 59 * S, -1, "≥42m"),
        (42 * M, 42 * M + 50 * S, "42m"),
        (0, 999, "<1s"),
        (0, 3 * H, "≤3h"),
        (0, 3 * H + 1, "≤4h"),  # never "at most 3h" of what may be older
        (0, 59 * S + 1, "≤1m"),
        (0, 47 * H + 1, "≤2d"),
        (2 * M + 30 * S, 5 * M + 1, "2m-6m"),
        (11_900, 12_100, "12s"),
    ],
)
def test_an_age_is_an_interval(low: int, high: int, text: str) -> None:
    assert fmt.age(low, high) == text


_UNITS = {"s": S, "m": M, "h": H, "d": D}


@given(st.integers(0, 90 * D), st.integers(0, 90 * D))
def test_what_an_age_says_is_true(low: int, more: int) -> None:
    high = low + more
    text = fmt.age(low, high)
    assert len(text) <= (7 if high < 99 * D else 9)

    def value(part: str) -> int:
        return int(part[:-1]) * _UNITS[part[-1]]

    if text.startswith("≤"):
        assert value(text[1:]) >= high
    elif "-" in text:
        first, last = text.split("-")
        assert value(first) <= low
        assert value(last) >= high
    assert fmt.age(low, -1) == "" or value(fmt.age(low, -1)[1:]) <= low


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\e[31mred"),
        ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\0"),
        ("\u202eevil", "\\u202eevil"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b", "\\x9b"),
        (b"\xff".decode(errors="surrogateescape"), "\\xff"),
        ("[/x] `*` <b>", "[/x] `*` <b>"),
        ("进程", "进程"),
        ("Ti\u00ea\u0301ng e\u0302\u0301 ก็่", "Ti\u00ea\u0301ng e\u0302\u0301 ก็่"),  # as languages are written
        ("a\u0301\u0301\u0301\u0488b\u0301", "a\u0301\u0301\\u0301\\u0488b\u0301"),
        ("\u0301a", "\\u0301a"),
    ],
)
def test_hostile_characters_are_made_visible(text: str, shown: str) -> None:
    assert fmt.escape(text) == shown


def test_nothing_that_moves_the_cursor_or_hides_is_left() -> None:
    shown = fmt.escape("".join(map(chr, range(sys.maxunicode + 1))))
    assert not [each for each in shown if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\ufe0f\uffa0\U000e0100") & set(shown)  # may be left out


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**48 - 1) | st.integers(0, 2**33))
def test_addresses_are_those_of_the_rfc(number: int) -> None:
    expected: object = ipaddress.IPv6Address(number)
    if number >> 32 == 0xFFFF:
        expected = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    assert fmt.address(number >> 64, number & (2**64 - 1), 6) == str(expected)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0k"),
        (65_200, "63.7k"),
        (200 * 1024, "200k"),
        (3 << 20, "3.0M"),
        (5 << 60, "5.0E"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert fmt.size(number) == text


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [("abc", 5, "abc  "), ("abcdef", 5, "abcd…"), ("进程名", 5, "进程…"), ("进程名", 4, "进… "), ("a", 0, "")],
)
def test_fit_takes_exactly_the_cells(text: str, room: int, shown: str) -> None:
    assert fmt.fit(text, room) == shown
    assert fmt.cells(shown) == room


def test_a_cell_takes_few_characters_however_many_marks_there_are() -> None:
    shown = fmt.fit(fmt.escape("java " + "e" + "\u0316" * 30_000), 20)
    assert fmt.cells(shown) == 20
    assert len(shown) <= 60


@given(st.text(), st.integers(0, 40))
def test_everything_that_fits_takes_exactly_its_cells(text: str, room: int) -> None:
    shown = fmt.escape(text)
    assert fmt.cells(fmt.fit(shown, room)) == room
    assert fmt.cells(fmt.fit(shown, room, right=True)) == room


def test_an_endpoint_that_is_cut_keeps_its_port() -> None:
    assert fmt.fit_endpoint("192.168.100.200:54321", 17) == "…68.100.200:54321"
    assert fmt.fit_endpoint("10.0.0.1:443", 15) == "10.0.0.1:443   "
