"""What sockui prints about hostile processes without a terminal UI, and whether it is harmless where it is read.

Owns running the commands and reading each format as its readers do. Findings are described, not raised.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.format import escape
from tests.trust.attack.scene import Scene
from tests.trust.attack.tour import thresholds
from tests.trust.attack.written import leaked

MARK = re.compile(r"q\d\dz")
EVERY = ",".join(dict.fromkeys([*COLUMNS, *SCREEN]))
OURS = "a article b body code h1 h2 h3 h4 head header html li main meta nav p pre style title ul"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def commands(made: Scene) -> list[list[str]]:
    """Everything that prints outside text."""
    listed = [["list", "--columns", EVERY, "--format", form] for form in ("table", "json", "ndjson", "csv", "markdown")]
    found = [["diagnose", "--format", form] for form in ("text", "json", "markdown")]
    marked = [port for name, port in made.ports.items() if MARK.match(name.decode(errors="replace"))]
    ports = [f":{port}" for port in marked[::20]]
    told = [
        ["explain", "EADDRINUSE", port, "--format", form]
        for port in ports
        for form in ("text", "markdown", "html", "man")
    ]
    return [["list", "--format", "table"], *listed, *found, *told]


def printed(made: Scene, home: Path, arguments: list[str]) -> str:
    """What a command prints; its own newlines only."""
    config = home / "soon.toml"
    config.write_text(thresholds())
    done = subprocess.run(
        [sys.executable, "-m", "sockui", "--netns", str(made.namespace), "--config", str(config), *arguments],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def problems(made: Scene, arguments: list[str], text: str) -> Iterator[str]:
    """What is wrong with one output."""
    yield from leaked(text)
    what, form = arguments[0], arguments[-1]
    if not MARK.search(text):
        yield "no hostile process is in it"
    if form == "csv":
        yield from _csv(made, text)
    elif form in ("json", "ndjson"):
        yield from _json(made, what, text.splitlines() if form == "ndjson" else [text])
    elif form == "markdown":
        yield from _page(text) if what == "explain" else _markdown(text, table=what == "list")
    elif form == "html":
        yield from _html(text)
    elif form == "man":
        yield from (f"a request: {line}" for line in text.splitlines() if line[:1] in ".'" and MARK.search(line[:6]))


def _shown(made: Scene) -> set[str]:
    return {escape(name.decode("utf-8", "surrogateescape")) for name in made.pids}


def _csv(made: Scene, text: str) -> Iterator[str]:
    heading, *rows = csv.reader(io.StringIO(text))
    at = heading.index("process")
    yield from (f"{len(row)} cells" for row in rows if len(row) != len(heading))
    yield from (f"a formula: {cell[:40]}" for row in rows for cell in row if cell.startswith(FORMULA))
    missing = _shown(made) - {row[at].removeprefix("'") for row in rows}
    if missing:
        yield f"not in the column of processes: {sorted(missing)}"


def _json(made: Scene, what: str, texts: list[str]) -> Iterator[str]:
    whole = [json.loads(text) for text in texts]
    rows = whole if len(whole) > 1 else whole[0]["sockets" if what == "list" else "findings"]
    missing = _shown(made) - {row["process"] for row in rows}
    if missing:
        yield f"not told: {sorted(missing)}"


def _markdown(text: str, *, table: bool) -> Iterator[str]:
    lines = text.splitlines()
    for line in lines:
        if table and line.count("|") - line.count("\\|") != lines[0].count("|"):
            yield f"another number of cells: {line[:120]}"
        if not line.startswith("    ") and MARK.search(re.sub(r"`[^`]*`", "", line)):
            yield f"outside of a code span: {line[:120]}"


def _page(text: str) -> Iterator[str]:
    """The handbook escapes what could be markup: of what a name could make a renderer must find none."""
    for block in MarkdownIt().enable("table").parse(text):
        for token in (block, *(block.children or ())):
            target = str(token.attrGet("href") or "")
            if token.type in ("html_inline", "html_block", "image", "table_open") or (target and target[:1] != "#"):
                yield f"{token.type}: {token.content or target}"


class _Tags(HTMLParser):
    """Every tag and attribute that is not the handbook's."""

    OURS = frozenset(OURS.split())
    ATTRIBUTES = frozenset(("charset", "http-equiv", "name", "content", "lang", "id", "href", "class"))

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.OURS or {name for name, _ in attrs} - self.ATTRIBUTES or MARK.search(str(attrs)):
            self.foreign.append(f"<{tag} {attrs}>")

    def handle_comment(self, data: str) -> None:
        self.foreign.append(f"<!--{data}-->")

    def handle_pi(self, data: str) -> None:
        self.foreign.append(f"<?{data}>")


def _html(text: str) -> Iterator[str]:
    parser = _Tags()
    parser.feed(text)
    parser.close()
    yield from parser.foreign
