"""The host's settings in words: sysctls by name, and how long the kernel goes on under them.

Owns the reading of sysctls for texts. Must not know sockets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cache

from sockui.ages import RTO_MAX_MS
from sockui.knowledge import lifetimes, systems
from sockui.model import Host
from sockui.view.format import long_duration

UNKNOWN_TIME = "an unknown time"


class Values(dict[str, str]):
    """Values for texts: those given, and every sysctl by its name; where it cannot be read its default, said to be."""

    def __init__(self, host: Host, given: dict[str, str]) -> None:
        super().__init__(given)
        self._host = host

    def __missing__(self, name: str) -> str:
        if "." not in name:
            raise KeyError(name)
        return value(self._host, name)


def value(host: Host, name: str) -> str:
    """The value of a sysctl, or that it is not known; then its default, if no machine differs in that."""
    default = _defaults().get(name, "")
    return host.sysctls.get(name, "").strip() or (f"{default} (default)" if default else "not known")


@cache
def _defaults() -> dict[str, str]:
    """What Linux sets unless somebody changes it; only numbers that do not depend on the machine."""
    known = {each.name: each.default for each in systems.system("linux").settings}
    return {name: default for name, default in known.items() if default.isdecimal()}


def usual(host: Host) -> Host:
    """The same host with the settings that Linux has unless somebody changes them."""
    return dataclasses.replace(host, sysctls=_defaults())


def times(host: Host, rto: int = lifetimes.RTO_MIN) -> dict[str, str]:
    """The times that the settings lead to, for texts; of a host that tells no setting those of the defaults.

    Those of window probes follow the ``rto`` of a socket, ms.
    """
    if not host.sysctls and _defaults():
        defaults = times(usual(host), rto)
        return {name: text if text == UNKNOWN_TIME else f"{text} (default)" for name, text in defaults.items()}
    retries, fin_timeout = host.number("net.ipv4.tcp_synack_retries"), host.number("net.ipv4.tcp_fin_timeout")
    return {
        "retries2_life": _text(unanswered_ms(host, orphan=False)),
        "orphan_life": _text(unanswered_ms(host, orphan=True)),
        "fin_wait2_life": _text(None if fin_timeout is None else lifetimes.fin_wait2_orphan(fin_timeout)),
        "connect_fails": _text(connect_fails_ms(host)),
        "synack_fails": _text(None if retries is None else lifetimes.syn_ack(retries)),
        **_probing(host, rto),
    }


def _probing(host: Host, rto: int) -> dict[str, str]:
    """What ends a closed socket behind a zero window: while the peer answers probes, and if not."""
    retries, most = (host.number(f"net.ipv4.tcp_{name}") for name in ("orphan_retries", "retries2"))
    if retries is None or most is None:
        return {
            **dict.fromkeys(("probe_life", "window_ends"), UNKNOWN_TIME),
            **dict.fromkeys(("probe_backoff", "probe_limit"), "an unknown number"),
            "probe_reason": "which settings say",
        }
    last = lifetimes.last_back_off(rto, retries, rto_max_ms(host))
    life = _text(lifetimes.probed(rto, last, rto_max_ms(host)))
    by_retries = last == retries
    above = f"tcp_orphan_retries={retries} is above " if by_retries else ""
    return {
        "probe_reason": f"tcp_orphan_retries={retries}" if by_retries else f"RTO {long_duration(rto)}",
        "probe_life": life,
        "probe_backoff": str(last),
        "probe_limit": str(retries or lifetimes.ORPHAN_RETRIES_ZERO),
        "window_ends": f"never ({above}tcp_retries2={most})"
        if last > most
        else f"about {life} after the window closed",
    }


def probed_for_ever(host: Host, rto: int, back_off: int = 0) -> bool:
    """Whether a closed socket behind a zero window, with this back-off now, stays while the peer answers probes."""
    retries, most = (host.number(f"net.ipv4.tcp_{name}") for name in ("orphan_retries", "retries2"))
    if retries is None or most is None:
        return False
    return lifetimes.last_back_off(rto, retries, rto_max_ms(host)) > max(most, back_off)


def shown(host: Host, names: Iterable[str]) -> str:
    """Some sysctls as they are here, ``net.core.somaxconn = 4096, ...``, without those that are empty or unreadable."""
    values = ((name, " ".join(host.sysctls.get(name, "").split())) for name in names)
    return ", ".join(f"{name} = {value}" for name, value in values if value)


def retries(host: Host) -> tuple[str, str]:
    """The settings that limit unanswered data, with their values: of held sockets, of closed ones."""
    held = f"tcp_retries2={value(host, 'net.ipv4.tcp_retries2')}"
    number = host.number("net.ipv4.tcp_orphan_retries")
    closed = f"tcp_orphan_retries={value(host, 'net.ipv4.tcp_orphan_retries')}"
    if number == 0:
        closed += ", which means 8"
    if number in (0, lifetimes.ORPHAN_RETRIES_ZERO):
        closed += "; about 107 s in all"  # measured with a 200 ms RTO
    return held, closed


def unanswered_ms(host: Host, *, orphan: bool) -> int | None:
    """Time without acknowledgement after which the next timeout ends a socket; None if it cannot be read."""
    number = host.number("net.ipv4.tcp_orphan_retries" if orphan else "net.ipv4.tcp_retries2")
    if number is None:
        return None
    if orphan and number == 0:
        number = lifetimes.ORPHAN_RETRIES_ZERO
    return lifetimes.unanswered(number, rto_max_ms(host))


def rto_max_ms(host: Host) -> int:
    """The longest wait between two repeats; older kernels have no setting for it."""
    return host.number("net.ipv4.tcp_rto_max_ms") or RTO_MAX_MS


def connect_fails_ms(host: Host) -> int | None:
    """Time from the first SYN to ETIMEDOUT; None if it cannot be read."""
    number = host.number("net.ipv4.tcp_syn_retries")
    linear = host.number("net.ipv4.tcp_syn_linear_timeouts") or 0  # absent before Linux 6.5
    return None if number is None else lifetimes.connect(number, linear)


def _text(milliseconds: int | None) -> str:
    """Settings are shown to the second, up to an hour."""
    if milliseconds is None:
        return UNKNOWN_TIME
    minutes, seconds = divmod(milliseconds // 1000, 60)
    if not 0 < minutes < 60:
        return long_duration(milliseconds)
    return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
