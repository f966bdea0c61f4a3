"""Pages as one HTML file that needs nothing else.

Owns how a page looks in a browser, and that no character of it is markup. Nothing is loaded from anywhere, nothing
runs: the file's own policy forbids both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape as _escape
from itertools import groupby

from sockui.handbook.book import Book, anchor, pieces
from sockui.knowledge.topics import Topic
from sockui.view.format import escape
from sockui.view.page import Block, Page

_STYLE = """\
:root { color-scheme: light dark; --dim: #666; --code: #f2f2f2; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --dim: #999; --code: #262626; --link: #79b8ff; } }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
pre { background: var(--code); padding: .5rem .75rem; overflow-x: auto; }
a { color: var(--link); }
h2, h3 { border-top: 1px solid var(--dim); padding-top: .75rem; margin-top: 2rem; }
.below { color: var(--dim); margin: 0; }
p, li { overflow-wrap: anywhere; }
"""


def page(only: Page) -> str:
    """One page; what it names has no link, for there is nothing to link to."""
    return _document(only.title, ["<main>", *_page(only, 1, ()), "</main>"])


def book(whole: Book) -> str:
    """Title, contents with links, pages with links to each other."""
    lines = ["<header>", f"<h1>{_shown(whole.title)}</h1>", *(f"<p>{_shown(each)}</p>" for each in whole.about)]
    lines += ["</header>", "<nav>", "<h2>Contents</h2>", "<ul>"]
    for title, chapters in whole.parts.items():
        lines += [f"<li>{_shown(title)}", "<ul>"]
        lines += [f'<li><a href="#{anchor(each.topic)}">{_shown(each.page.title)}</a></li>' for each in chapters]
        lines += ["</ul>", "</li>"]
    lines += ["</ul>", "</nav>", "<main>"]
    for title, chapters in whole.parts.items():
        lines.append(f"<h2>{_shown(title)}</h2>")
        for each in chapters:
            lines.append(f'<article id="{anchor(each.topic)}">')
            lines += _page(each.page, 3, whole.topics - {each.topic})
            lines.append("</article>")
    return _document(whole.title, [*lines, "</main>"])


def _document(title: str, body: list[str]) -> str:
    head = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_shown(title)}</title>",
        f"<style>\n{_STYLE}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*head, *body, "</body>", "</html>"]) + "\n"


def _page(shown: Page, level: int, linked: Collection[Topic]) -> Iterator[str]:
    yield f"<h{level}>{_shown(shown.title)}</h{level}>"
    for section in shown.sections:
        if section.title:
            yield f"<h{level + 1}>{_shown(section.title)}</h{level + 1}>"
        for kind, blocks in groupby(section.blocks, lambda block: block.kind):
            yield from _blocks(kind, list(blocks), linked)


def _blocks(kind: str, blocks: list[Block], linked: Collection[Topic]) -> Iterator[str]:
    """Elements of neighbours of one kind."""
    match kind:
        case "point":
            yield "<ul>"
            for block in blocks:
                below = "".join(f'\n<p class="below">{_linked(each, linked)}</p>' for each in block.below)
                yield f"<li>{_linked(block.text, linked)}{below}</li>"
            yield "</ul>"
        case "table":
            yield "<pre>" + "\n".join(_shown(block.text) for block in blocks) + "</pre>"
        case "command":
            for block in blocks:  # what it does stands outside: what is in <pre> is pasted
                yield from (f'<p class="below">{_shown(each[0].upper() + each[1:])}:</p>' for each in block.below)
                yield f"<pre><code>{_shown(block.text)}</code></pre>"
        case "fact":
            for block in blocks:
                yield f"<p><b>{_linked(f'{block.label}:', linked)}</b> {_linked(block.text, linked)}</p>"
        case _:
            yield from (f"<p>{_linked(block.text, linked)}</p>" for block in blocks)


def _linked(words: str, linked: Collection[Topic]) -> str:
    """A text with links to what it names."""
    return "".join(
        _shown(piece) if topic is None else f'<a href="#{anchor(topic)}">{_shown(piece)}</a>'
        for piece, topic in pieces(words, linked)
    )


def _shown(words: str) -> str:
    return _escape(escape(words))
