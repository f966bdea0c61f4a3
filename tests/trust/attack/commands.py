"""Every command that can be copied about hostile processes, beside the same one about harmless ones.

Owns which commands there are and what is put into them: unit names and names of network namespaces, the only words
from outside that commands have. Must not run anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from sockui.diagnosis.finding import Findings
from sockui.model import State
from sockui.view.explain import explain
from sockui.view.findings import say
from sockui.view.port import holders, parse_endpoint
from sockui.view.remedy import remedy
from tests.trust.attack.names import ALPHABET, LONG_WORDS, MARKUP, PAGE, SEQUENCES, SHELL

PLAIN = b"plain"
"""What stands where the hostile word does in the harmless command."""


class Pair(NamedTuple):
    """A command, and what it would be without hostility."""

    command: str
    harmless: str
    word: bytes


def words() -> list[bytes]:
    """Hostile words without ``/`` and NUL: neither a unit nor a namespace may have them."""
    alphabet = [b"".join(ALPHABET[at : at + 20]) for at in range(0, len(ALPHABET), 20)]
    texts = [text.encode() for text in (*SHELL, *LONG_WORDS, *MARKUP, *PAGE)]
    return [
        each.replace(b"/", b"") for each in (*texts, *SEQUENCES, *alphabet, b"-rf", b"--help", b" ", b"a b", b"$HOME")
    ]


def pairs(findings: Findings) -> Iterator[Pair]:
    """Every command that a hostile word changes, for every situation and finding of the scene."""
    harmless = commands(renamed(findings, PLAIN))
    for word in words():
        for command, wanted in zip(commands(renamed(findings, word)), harmless, strict=True):
            if command != wanted:
                yield Pair(command, wanted, word)


def commands(findings: Findings) -> list[str]:
    """What can be copied about one socket of each kind and one finding of each rule."""
    update = findings.update
    found: list[str | None] = []
    sockets = update.sockets
    kinds = {(row["state"].item(), row["recv_queue"] > 1, row["pid"] > 0): at for at, row in enumerate(sockets)}
    for at in kinds.values():
        first = explain(update, at).first
        found += [step.command for step in remedy(update, at).steps]
        found.append(first.command if first else None)
    for item in {item.rule: item for item in findings.items}.values():
        found += [step.command for step in say(findings, item).steps]
    port = int(sockets["local_port"][sockets["state"] == State.LISTEN][0])
    for section in holders(update, parse_endpoint(f":{port}")):
        found += [block.text for block in section.blocks if block.kind == "command"]
    return [command for command in found if command]


def renamed(findings: Findings, word: bytes) -> Findings:
    """The same with every unit and the network namespace called so."""
    name = word.decode("utf-8", "surrogateescape")
    snapshot = findings.update.snapshot
    processes = {pid: replace(each, unit=f"{name}.service") for pid, each in snapshot.processes.items()}
    renamed = replace(snapshot, processes=processes, host=replace(snapshot.host, namespace=name))
    return replace(findings, update=replace(findings.update, snapshot=renamed))
