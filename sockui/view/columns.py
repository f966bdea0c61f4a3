"""Every column, once: the table, the sort, the filter, JSON and CSV all read it here.

Owns which columns there are, their names, titles, widths and meaning. Must not compute their values
(``fields``), choose those of a screen (``layout``), parse filters, order rows or write reports.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType

from sockui.errors import UsageError
from sockui.model import Known, State
from sockui.view import column, fields
from sockui.view import format as fmt
from sockui.view.column import Column, number, process_words, words


def _address(side: str, title: str, meaning: str, aliases: tuple[str, ...] = ()) -> Column:
    return words(
        lambda update: column.address_words(update, side),
        name=f"{side}_address",
        title=title,
        help=meaning,
        kind="address",
        width=15,
        wide=39,
        aliases=aliases,
        known=fields.has_end(side),
        json=fields.addresses(side),
        texts=lambda update: [text or "*" for text in fields.addresses(side)(update)],
        values=lambda update: column.distinct_addresses(update, side)[2],
    )


def _endpoint(side: str, title: str, width: int, aliases: tuple[str, ...]) -> Column:
    return Column(
        name=side,
        title=title,
        help=f"{side} address and port",
        kind="endpoint",
        width=width,
        wide=47,
        aliases=aliases,
        values=lambda update: column.distinct_addresses(update, side)[2] * 65536 + update.sockets[f"{side}_port"],
        known=fields.has_end(side),
        texts=fields.endpoint_texts(side),
        json=fields.endpoint_texts(side),
        shorten=fmt.fit_endpoint,
    )


_JSON = (
    words(
        fields.protocol_words,
        name="protocol",
        title="Proto",
        help="tcp or udp; the screen adds 6 for an IPv6 socket",
        kind="enum",
        choices=("tcp", "udp"),
        width=5,
        aliases=("proto",),
        texts=fields.protocol_texts,
    ),
    words(
        fields.family_words,
        name="family",
        title="Family",
        help="inet or inet6, of the socket: a v4-mapped connection of an IPv6 socket says inet6",
        kind="enum",
        choices=("inet", "inet6"),
        width=6,
    ),
    words(
        fields.state_words,
        name="state",
        title="State",
        help="TCP state; UNCONN is a UDP socket without a peer",
        kind="state",
        width=11,
        values=lambda update: fields.state_words(update)[1],
        texts=fields.state_texts,
    ),
    _address("local", "Local address", "local address; 0.0.0.0 and :: are every address", ("laddr",)),
    number(
        "local_port",
        fields.port_set("local"),
        name="local_port",
        title="LPort",
        help="local port",
        unit="port",
        width=5,
        aliases=("sport", "lport"),
    ),
    _address("remote", "Remote address", "the peer's address", ("raddr", "peer_address")),
    number(
        "remote_port",
        fields.port_set("remote"),
        name="remote_port",
        title="RPort",
        help="the peer's port",
        unit="port",
        width=5,
        aliases=("dport", "rport", "peer_port"),
    ),
    number(
        "pid",
        fields.with_pid,
        name="pid",
        title="PID",
        help="lowest pid that holds the socket, or its listener's before accept(); a filter finds every holder",
        width=7,
        of_process=True,
    ),
    process_words(
        lambda process: process.name,
        name="process",
        title="Process",
        help="name of the process that holds the socket (at most 15 bytes in the kernel)",
        width=11,
        wide=38,
        aliases=("comm", "program", "name"),
        texts=fields.owner_texts,
        shorten=fields.fit_owner,
    ),
    number("fd", fields.held, name="fd", title="FD", help="descriptor by which that process holds the socket", width=6),
    number("uid", Known.UID, name="uid", title="UID", help="user id of the socket", width=10),
    words(
        fields.user_words,
        name="user",
        title="User",
        help="user name of the socket's uid",
        kind="text",
        width=8,
    ),
    number(
        "inode",
        Known.INODE,
        name="inode",
        title="Inode",
        help="inode of the socket; 0: no descriptor refers to it, the kernel alone holds it",
        width=10,
        aliases=("ino",),
    ),
    number(
        "cookie",
        Known.COOKIE,
        name="cookie",
        title="Cookie",
        help="the kernel's name for the socket, never reused (ss -e: sk:, there in hexadecimal)",
        width=10,
        aliases=("sk",),
    ),
    process_words(
        lambda process: process.cgroup,
        name="cgroup",
        title="Cgroup",
        help="cgroup2 path of the process that holds the socket",
        width=20,
        wide=60,
    ),
    process_words(
        lambda process: process.unit,
        name="unit",
        title="Unit",
        help="systemd unit of the process that holds the socket",
        width=16,
        wide=32,
        aliases=("service",),
    ),
    number(
        "recv_queue",
        Known.QUEUES,
        name="recv_queue",
        title="Recv-Q",
        help="bytes not read by the application, the peer's FIN counts 1; LISTEN: connections not accepted",
        unit="bytes",
        width=6,
        aliases=("recvq", "recv_q", "rq"),
        texts=fields.queue_texts("recv_queue"),
    ),
    number(
        "send_queue",
        Known.QUEUES,
        name="send_queue",
        title="Send-Q",
        help="bytes not acknowledged by the peer, our SYN or FIN counts 1; LISTEN: the backlog",
        unit="bytes",
        width=6,
        aliases=("sendq", "send_q", "wq"),
        texts=fields.queue_texts("send_queue"),
    ),
    number(
        fields.age_min,
        fields.age_known,
        fields.seconds_text,
        name="state_age_min_seconds",
        title="Age≥",
        help="at least this long in its state, seconds",
        unit="s",
        width=6,
        aliases=("age_min", "min_age"),
    ),
    number(
        fields.age_max,
        fields.age_bounded,
        fields.seconds_text,
        name="state_age_max_seconds",
        title="Age≤",
        help="at most this long in its state, seconds; none: nothing bounds it",
        unit="s",
        width=6,
        aliases=("age_max", "max_age"),
    ),
    words(
        fields.age_source_words,
        name="state_age_source",
        title="Age from",
        help="what the age rests on",
        kind="enum",
        choices=fields.AGE_SOURCES[1:],
        width=11,
        aliases=("age_source",),
    ),
    words(
        fields.timer_words,
        name="timer",
        title="Timer",
        help="the kernel's timer for the socket: off, on (retransmission), keepalive, timewait, persist, delack",
        kind="enum",
        choices=fields.TIMER_WORDS,
        width=13,
        texts=fields.timer_texts,
    ),
    number(
        lambda update: update.sockets["timer_ms"] / 1000,
        fields.timer_runs,
        fields.seconds_text,
        name="timer_seconds",
        title="Fires",
        help="seconds until the timer fires; it may rest at 0 for up to 2 s",
        unit="s",
        width=5,
        aliases=("fires", "expires"),
    ),
    number(
        "retransmits",
        Known.TIMER,
        name="retransmits",
        title="Retr",
        help="retransmissions since the last progress (the kernel counts to 255 and begins again)",
        width=4,
        aliases=("retrans", "retr"),
    ),
    number(
        lambda update: update.sockets["rtt"] / 1000,
        fields.rtt_known,
        fields.milliseconds_text,
        name="rtt_ms",
        title="RTT",
        help="smoothed round-trip time, milliseconds",
        unit="ms",
        width=7,
        aliases=("rtt",),
    ),
    number(
        "snd_cwnd",
        fields.not_in(State.LISTEN),
        name="cwnd",
        title="Cwnd",
        help="congestion window, segments",
        width=5,
    ),
    number(
        "bytes_sent",
        fields.counters,
        fmt.size,
        name="bytes_sent",
        title="Sent",
        help="bytes sent, retransmitted ones included",
        unit="bytes",
        width=6,
        aliases=("sent",),
    ),
    number(
        fields.bytes_received,
        fields.counters,
        fmt.size,
        name="bytes_received",
        title="Rcvd",
        help="bytes received without the peer's FIN, which the kernel counts as 1",
        unit="bytes",
        width=6,
        aliases=("received", "rcvd"),
    ),
    *(
        number(
            field,
            fields.not_in(State.LISTEN, State.SYN_SENT),
            fmt.duration,
            name=name,
            title=title,
            help=f"milliseconds since {what}",
            unit="ms",
            width=7,
            aliases=(alias,),
        )
        for name, field, title, what, alias in (
            ("last_data_sent_ms", "last_data_sent", "LastSnd", "the last segment with data left", "lastsnd"),
            ("last_data_received_ms", "last_data_recv", "LastRcv", "the last segment with data came", "lastrcv"),
            ("last_ack_received_ms", "last_ack_recv", "LastAck", "the last acceptable ACK came", "lastack"),
        )
    ),
    number(
        "holders",
        fields.holders_known,
        name="holders",
        title="Holders",
        help="how many descriptors refer to the socket; close() of all of them ends it",
        width=7,
        json=fields.holders_json,
        texts=lambda update: ["" if pairs is None else str(len(pairs)) for pairs in fields.holders_json(update)],
    ),
)

_SCREEN = (
    _endpoint("local", "Local", 15, ("src",)),
    _endpoint("remote", "Remote", 17, ("dst", "peer")),
    Column(
        name="age",
        title="Age",
        help="how long in its state: 42m, ≥42m at least, ≤3h at most, 2m-5m between",
        kind="age",
        unit="s",
        width=7,
        right=True,
        aliases=("state_age",),
        values=fields.age_order,
        known=fields.age_known,
        texts=fields.age_texts,
        json=fields.age_json,
    ),
    words(
        fields.owner_words,
        name="owner",
        title="Owner",
        help="process, listener (not accepted yet), kernel, hidden (may not be read), unfound or unknown",
        kind="enum",
        choices=fields.OWNERS,
        width=8,
    ),
    process_words(
        fields.command,
        name="command",
        title="Command",
        help="command line of the process that holds the socket",
        width=30,
        wide=120,
        aliases=("cmdline", "cmd", "args"),
    ),
    words(
        fields.ended_words,
        name="ended",
        title="Ended",
        help="how it ended, where the kernel told: closed, reset, timed out, refused ...",
        kind="enum",
        choices=fields.ENDED_NAMES,
        width=13,
        texts=fields.ended_texts,
    ),
)

COLUMNS = MappingProxyType({column.name: column for column in _JSON})
"""The columns of JSON and CSV by name, in their order."""

SCREEN = MappingProxyType({column.name: column for column in _SCREEN})
"""Columns that the screen, the sort and the filter have besides."""

_BY_NAME = {name: column for column in (*_JSON, *_SCREEN) for name in (*column.aliases, column.name)}
NAMES = tuple(_BY_NAME)
"""Every name and short form that ``find`` understands."""


def find(name: str) -> Column | None:
    """A column by its name or a short form, in any case and with ``-`` for ``_``; None if there is none."""
    return _BY_NAME.get(name.lower().replace("-", "_"))


def nearest(word: str) -> str | None:
    """The name or short form of a column that a word is nearly spelt like; None if there is none."""
    return next(iter(difflib.get_close_matches(word.lower().replace("-", "_"), NAMES, 1, 0.8)), None)


def require(name: str) -> Column:
    """The same as ``find``; raises :class:`UsageError` with a suggestion for an unknown name."""
    found = find(name)
    if found is None:
        raise UsageError(f'there is no column "{fmt.escape(name)}"{fmt.did_you_mean(name, NAMES)}')
    return found
