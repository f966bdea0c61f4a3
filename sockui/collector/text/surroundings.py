"""What stands around a list of sockets in a pasted text: times, prompts, commands, fences.

Owns their recognition. Must not know what a socket looks like.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_CLOCK = r"(\d\d):(\d\d):(\d\d)([.,]\d{1,9})?"
_ISO = re.compile(r"\[?(\d{4})-(\d\d)-(\d\d)[T ]" + _CLOCK + r"(?: ?(Z|UTC|GMT|[+-]\d\d:?\d\d))?\]?:?(?:\s+|$)")
_DATE = re.compile(  # date(1) in the C and en_US locales, asctime(3); in their order: month, day or day, month, year
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(?:([A-Z][a-z]{2}) +(\d{1,2})|(\d{1,2}) +([A-Z][a-z]{2})(?: +(\d{4}))?) +"
    + _CLOCK
    + r"(?: ([AP]M))?(?: ([A-Z]{3,5}|[+-]\d{4}))?(?: (\d{4}))?\s*"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FENCES = ("```", "~~~", "{code", "{noformat", "==> ", "Every ")  # Markdown, Jira, head(1) of several files, watch(1)
_PROMPT = r"(?:[^\s$#>%❯]*(?: [^$#>%❯]{0,200})?[$#>%❯] *|\+ )?"
_BEFORE = r"(?:(?:sudo|watch|time|ip +netns +exec +\S+)(?: +-\S+(?: +[\d.]+)?)* +|[A-Z_]+=\S+ +)*"
_COMMAND = re.compile(_PROMPT + _BEFORE + r"(?:\S*/)?((?:ss|netstat|lsof|cat|head|grep|date)(?:\.exe|\.EXE)?(?: .*)?)")
_EMPTY_PROMPT = re.compile(r"(?:\S+[$#%❯]|\[[^\]]+\][$#]|(?:PS )?[A-Za-z]:\\[^>]{0,200}>|[$#%❯])\s*")


def time_of(line: str) -> tuple[float, str] | None:
    """The time at the beginning of a line, Unix seconds, and what follows it; None if it begins with none.

    A time without a zone, or with one whose letters several countries use, is taken as this machine's local time.
    """
    if not line or not (line[0].isdigit() or line[0] in "[MTWFS"):
        return None
    if found := _ISO.match(line):
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        rest = line[found.end() :]
    elif found := _DATE.fullmatch(line):
        name, day, day2, name2, year1, hour, minute, second, fraction, half, zone, year2 = found.groups()
        name, day, year, rest = name or name2, day or day2, year1 or year2, ""
        if name not in _MONTHS or not year:
            return None
        month = str(_MONTHS.index(name) + 1)
        if half:
            hour = str(int(hour) % 12 + (12 if half == "PM" else 0))
    else:
        return None
    try:
        date, clock = (int(year), int(month), int(day)), (int(hour), int(minute), int(second))
        moment = datetime(*date, *clock, tzinfo=_zone(zone))
        return moment.timestamp() + float("0." + fraction[1:] if fraction else 0), rest
    except (ValueError, OverflowError, OSError):  # the 31st of February, the year 0
        return None


def _zone(text: str | None) -> timezone | None:
    if text in ("Z", "UTC", "GMT"):
        return UTC
    if text and text[0] in "+-":
        minutes = int(text[1:3]) * 60 + int(text[-2:])
        return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
    return None


def command_of(line: str) -> str | None:
    """The command on a line with a prompt (or without one), from ``ss`` or ``netstat`` on; None if there is none."""
    found = _COMMAND.fullmatch(line)
    return found[1] if found else None


def surrounds(line: str) -> bool:
    """Whether a line is empty, a fence or an empty prompt."""
    return not line.strip() or line.lstrip().startswith(_FENCES) or _EMPTY_PROMPT.fullmatch(line) is not None
