"""The parent's side of the lab: its processes, its sockets, and the scene in which one state is made.

Owns the conversation with :mod:`sockui.lab.actor` and :class:`Made`. Must not know which states there
are or when they are made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import sockui
from sockui.errors import SockuiError
from sockui.lab.namespaces import Namespaces
from sockui.model import State

Address: TypeAlias = tuple[str, int]
NOWHERE: Address = ("0.0.0.0", 0)
LOOPBACK = "127.0.0.1"


class ActorDiedError(SockuiError):
    """A process of the lab is gone; nothing that it held exists any more."""


@dataclass(frozen=True, slots=True)
class Made:
    """A socket that was seen in its state."""

    name: str  # the recipe's
    state: State
    local: Address
    remote: Address  # NOWHERE if it has none
    pid: int  # holds it, or holds the listener whose accept queue it is in; 0: the kernel alone has it
    inode: int  # 0: not accepted, closed by its application, or a mini-socket
    made_at_monotonic: float | None  # s, CLOCK_MONOTONIC, when it entered ``state``; None if that is not known
    process: str  # name of ``pid``, "" for 0


class Actor:
    """A child process named ``name`` that makes and holds sockets, in a namespace or in this one."""

    def __init__(self, name: str, namespace: str | None) -> None:
        self.name = name
        enter = ["ip", "netns", "exec", namespace] if namespace else []
        self._process = subprocess.Popen(
            [*enter, sys.executable, "-S", "-P", "-m", "sockui.lab.actor", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the lab, which then ends its children
            env={**os.environ, "PYTHONPATH": str(Path(sockui.__file__).parents[1])},
        )
        self._pipes = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self.pid = self._process.pid

    def call(self, op: str, **arguments: object) -> dict[str, Any]:
        """Have an operation done. Raises OSError as the child got it, ActorDiedError if there is no child."""
        stdin, stdout = self._pipes
        line = ""
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise ActorDiedError(f"the lab's process {self.name} (pid {self.pid}) died")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise OSError(*([answer["errno"]] if answer["errno"] else []), answer["error"])
        return answer

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process; the kernel closes what it held."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Give back the pipes, once nobody is in :meth:`call`."""
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@dataclass(eq=False, slots=True)
class Socket:
    """A descriptor in an actor. Methods return the CLOCK_MONOTONIC instant after their system call."""

    actor: Actor
    fd: int
    local: Address
    remote: Address
    inode: int
    at: float  # when it was connected, accepted, bound or listening
    open: bool = True  # numbers of closed descriptors come again

    def send(self, count: int) -> float:
        """Send ``count`` bytes."""
        return self._do("send", count=count)

    def fill(self) -> float:
        """Send until neither buffer takes more."""
        return self._do("fill")

    def read(self, count: int = 0) -> float:
        """Receive ``count`` bytes; 0: everything up to the peer's FIN."""
        return self._do("read", count=count)

    def shutdown(self) -> float:
        """Send a FIN and keep the descriptor."""
        return self._do("shutdown")

    def close(self, how: str = "fin") -> float:
        """``fin``, ``reset`` or ``vanish`` (no packet, needs root)."""
        self.open = False
        return self._do("close", how=how)

    def option(self, name: int, value: int) -> float:
        """Set a TCP option."""
        return self._do("option", level=socket.IPPROTO_TCP, name=name, value=value)

    def await_state(self, state: State) -> None:
        """Wait until the kernel says so. Raises SockuiError if it does not."""
        seen = self.actor.call("await_state", fd=self.fd, state=state)["state"]
        _check(state, seen)

    def _do(self, op: str, **arguments: object) -> float:
        return float(self.actor.call(op, fd=self.fd, **arguments)["at"])


class Cast:
    """The processes of one lab, each started when it is first needed."""

    def __init__(self, namespaces: Namespaces | None) -> None:
        self.namespaces = namespaces
        self._actors: dict[str, Actor] = {}

    def __getitem__(self, name: str) -> Actor:
        if name not in self._actors:
            where = None
            if self.namespaces:
                where = self.namespaces.peer if name == "lab-peer" else self.namespaces.name
            self._actors[name] = Actor(name, where)
        return self._actors[name]

    def dead(self) -> list[Actor]:
        """Those that ended though nobody asked them to."""
        return [actor for actor in list(self._actors.values()) if actor.dead]

    def kill(self) -> None:
        """End all of them."""
        for actor in list(self._actors.values()):
            actor.kill()

    def close(self) -> None:
        """Give back their pipes."""
        for actor in self._actors.values():
            actor.close()


class Scene:
    """Where one state is made once, or, if it grows, again and again.

    ``turn`` counts the makings of this recipe: addresses and ports move on with it, because what was
    made before still needs its own. ``number`` (1-254) keeps recipes apart.
    """

    def __init__(self, name: str, number: int, cast: Cast) -> None:
        self.name = name
        self.turn = 0
        self.made: list[Made] = []
        self.lasts: float | None = None  # s, set where a sysctl decides it
        self.finished: float | None = None  # CLOCK_MONOTONIC, set by a recipe that has grown as far as it can
        self._number = number
        self._cast = cast
        self._listeners: dict[tuple[str, int], Socket] = {}
        self._sockets: list[Socket] = []

    @property
    def has_root(self) -> bool:
        """Whether there are namespaces, and with them black holes, chosen ports and raw packets."""
        return self._cast.namespaces is not None

    # --- making -----------------------------------------------------------------------------------

    def listen(
        self,
        who: str,
        port: int,
        *,
        on: str = LOOPBACK,
        backlog: int = 16,
        rcvbuf: int = 0,
        defer: int = 0,
        reuse: bool = True,
    ) -> Socket:
        """A listener, the same one when asked again while it is open. Without root the kernel picks the port."""
        listener = self._listeners.get((who, port))
        if listener is None or not listener.open:
            wanted = port + self.turn % 3 if self.has_root else 0
            options = {"backlog": backlog, "rcvbuf": rcvbuf, "defer": defer, "reuse": reuse}
            listener = self._socket(who, self.ask(who, "listen", address=on, port=wanted, **options))
            self._listeners[who, port] = listener
        return listener

    def bind(self, who: str, port: int, kind: int = socket.SOCK_STREAM, rcvbuf: int = 0) -> Socket:
        """A bound socket that neither listens nor connects. Without root the kernel picks the port."""
        wanted = port if self.has_root else 0
        return self._socket(who, self.ask(who, "bind", kind=kind, address=LOOPBACK, port=wanted, rcvbuf=rcvbuf))

    def connect(self, who: str, to: Address, *, source: str = "", wait: bool = True) -> Socket:
        """A connection; without ``wait`` nobody needs to answer."""
        return self._socket(who, self.ask(who, "connect", to=to, source=source, wait=wait))

    def accept(self, listener: Socket) -> Socket:
        """The next connection of ``listener``."""
        return self._socket(listener.actor.name, listener.actor.call("accept", fd=listener.fd))

    def pair(
        self, server: str, port: int, client: str, *, on: str = LOOPBACK, rcvbuf: int = 0
    ) -> tuple[Socket, Socket]:
        """An accepted connection: (server's end, client's end)."""
        listener = self.listen(server, port, on=on, rcvbuf=rcvbuf)
        connected = self.connect(client, listener.local)
        return self.accept(listener), connected

    def ask(self, who: str, op: str, **arguments: object) -> dict[str, Any]:
        """Have a process do something that makes no socket to keep."""
        return self._cast[who].call(op, **arguments)

    def set(self, name: str, value: str) -> None:
        """Change a sysctl of the lab's own network namespace, which is lost with it."""
        self._namespaces()
        self.ask("lab-client", "sysctl", name=name, value=value)

    def far(self) -> str:
        """An address of the peer that no other recipe, nor the last makings of this one, use."""
        address = f"10.9.{self._number}.{self.turn % 4 + 1}"
        self._namespaces().open_far(address)
        return address

    def blackhole(self, address: str) -> None:
        """From now on nothing that is sent to this address of the peer arrives."""
        self._namespaces().blackhole(address)

    def unplug(self, address: str) -> None:
        """From now on the peer does not have this address, and nobody answers when it is asked for (ARP)."""
        self._namespaces().close_far(address)

    def strangers(self, count: int) -> list[Address]:
        """At most 256 senders far away, others in each turn (198.18.0.0/15, RFC 2544); what they are sent is lost."""
        (gateway,) = self.nobody()
        self._namespaces().route("198.18.0.0/15", gateway)
        numbers = range(self.turn * 256, self.turn * 256 + count)
        return [(f"198.{18 + (n >> 16 & 1)}.{n >> 8 & 255}.{n & 255}", 1024 + n % 60000) for n in numbers]

    def nobody(self, count: int = 1) -> list[str]:
        """Addresses beyond the link that swallow everything and belong to nobody."""
        addresses = [f"10.9.{self._number}.{host}" for host in range(201, 201 + count)]
        for address in addresses:
            self.blackhole(address)
        return addresses

    # --- saying what was made ---------------------------------------------------------------------

    def held(self, state: State, by: Socket, at: float | None) -> None:
        """A process has it."""
        if state != State.CLOSE:
            by.await_state(state)
        self._add(state, by.local, by.remote, at, by.actor, by.inode)

    def queued(self, state: State, listener: Socket, client: Socket, at: float | None) -> None:
        """It waits in the accept queue of ``listener``; ``client`` is its other end."""
        self._await_row(state, client.remote, client.local)
        self._add(state, client.remote, client.local, at, listener.actor, 0)

    def alone(self, state: State, local: Address, remote: Address, at: float | None) -> None:
        """The kernel alone has it."""
        self._await_row(state, local, remote)
        self._add(state, local, remote, at, None, 0)

    def found(self, state: State, *, local: int = 0, remote: int = 0, least: int = 1, at: float | None = None) -> None:
        """The kernel alone has them, ``least`` or more, known by a port; they replace what was made so far."""
        answer = self.ask("lab-api", "await_rows", state=state, local=local, remote=remote, least=least)
        rows = answer["rows"]
        if len(rows) < least:
            raise SockuiError(f"the kernel was to have {least} sockets in {state.name}; it has {len(rows)}")
        self.made.clear()
        for near, far in rows:
            self._add(state, (near[0], near[1]), (far[0], far[1]), at, None, 0)

    def strike(self) -> None:
        """Close what is still open of this scene, and take it off the list."""
        for each in self._sockets:
            if each.open:
                each.close()
        self._sockets.clear()
        self.made.clear()

    def _namespaces(self) -> Namespaces:
        if self._cast.namespaces is None:
            raise SockuiError("needs root")
        return self._cast.namespaces

    def _add(
        self, state: State, local: Address, remote: Address, at: float | None, holder: Actor | None, inode: int
    ) -> None:
        pid, process = (holder.pid, holder.name) if holder else (0, "")
        self.made.append(Made(self.name, state, local, remote, pid, inode, at, process))

    def _await_row(self, state: State, local: Address, remote: Address) -> None:
        _check(state, self.ask("lab-api", "await_row", local=local, remote=remote, state=state)["state"])

    def _socket(self, who: str, answer: dict[str, Any]) -> Socket:
        local, remote = (str(answer["local"][0]), answer["local"][1]), (str(answer["remote"][0]), answer["remote"][1])
        made = Socket(self._cast[who], answer["fd"], local, remote, answer["inode"], answer["at"])
        self._sockets.append(made)
        return made


def _check(wanted: State, seen: int | None) -> None:
    if seen != wanted:
        name = "no such socket" if seen is None else State(seen).name
        raise SockuiError(f"the kernel was to have a socket in {wanted.name}; it has: {name}")
