"""The handbook and its forms: every character shows as itself, every link leads somewhere, man renders it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.binding import Binding

from sockui import arguments
from sockui.collector import open_collector
from sockui.config import template
from sockui.errors import UsageError
from sockui.handbook import html, man, markdown, place, text
from sockui.handbook.book import Book, Chapter, anchor, handbook
from sockui.handbook.command import KEYS, manual
from sockui.knowledge import systems, topics
from sockui.knowledge.topics import Topic
from sockui.model import Host
from sockui.tracker import Tracker, Update
from sockui.tui.app import SockuiApp
from sockui.tui.main_screen import MainScreen
from sockui.tui.wording import key_name
from sockui.view.format import escape
from sockui.view.page import Block, Page, Section, command, fact, plain, point
from sockui.view.page import text as paragraph

HOST = Host("web1.example", "Linux 6.18.1", {"net.ipv4.tcp_fin_timeout": "47"})
HOSTILE = (
    "*a* _b_ __c__ `d` ~~e~~ [f](#g) ![h](i) <b>j</b> <script>alert(1)</script> &lt; &amp; | k | $l$",
    "# heading",
    "- point",
    "+ point",
    "1. first",
    "12) twelfth",
    "=====",
    "---",
    "> quote",
    "| a | b |",
    "```",
    "</pre></code></p></article>",
    '"quoted" \'single\' <a href="x">',
    ".SH REQUEST",
    '.\\" comment',
    "'br",
    "\\fB bold \\n(.x \\*[string] \\[u2265] \\&x \\",
    "a\\",
    "line\n.SH one\nline",
    "esc \x1b[31m red \x9b bell \x07 nul \x00 rtl \u202e zero \u200b",
    "--option -x ^caret ~tilde `grave'",
    "≥5 m – × … ü 日本",
    "https://example.com/a_b_c www.example.com",
    "   spaces   ",
)
KINDS = ("state", "option", "error", "finding", "setting")
MARKUP = "\\`*_{}[]<>()#+-.!|~$&:;=\"'/ ab1\n\t"


def of(*blocks: Block) -> Page:
    return Page("T", (Section("", blocks),))


def every_kind(words: str) -> Page:
    """A page with a text at every place that a page has."""
    return Page(
        words,
        (
            Section("", (paragraph(words), fact(words, words), point(words, words), point(words))),
            Section(words, (command(words, f"x{words}"), command(words, ""), Block("table", words))),
        ),
    )


def squeezed(words: str) -> str:
    return " ".join(words.split())


@pytest.fixture(scope="module")
def whole() -> Book:
    return handbook(HOST)


class TestBook:
    def test_every_topic_has_its_page_once_in_their_order(self, whole: Book) -> None:
        held = [chapter.topic for chapters in whole.parts.values() for chapter in chapters]
        assert Counter(held) == Counter(topics.topics())
        assert held == sorted(topics.topics(), key=lambda topic: KINDS.index(topic.kind))

    def test_it_says_whose_values_it_has(self, whole: Book) -> None:
        assert "web1.example, Linux 6.18.1" in whole.about[-1]
        assert "47" in text.book(whole)
        assert "the defaults of Linux" in handbook(Host("", "")).about[-1]

    def test_of_another_system_it_has_the_settings(self) -> None:
        hpux = handbook(HOST, system=systems.system("hpux"))
        assert hpux.about[-1] == "Settings are those of HP-UX."
        assert "Settings of HP-UX" in text.book(hpux)
        assert "web1.example" not in text.book(hpux)

    def test_ids_differ(self) -> None:
        assert [name for name, number in Counter(map(anchor, topics.topics())).items() if number > 1] == []

    def test_as_text_every_page_is_as_explain_prints_it(self, whole: Book) -> None:
        shown = text.book(whole)
        for chapters in whole.parts.values():
            for chapter in chapters:
                assert plain(chapter.page) + "\n" in shown
                assert f"    {chapter.page.title}\n" in shown


def tokens(source: str) -> list[Token]:
    """As GitHub reads it, but for links without brackets."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source)


def shown(token: Token) -> str:
    """The text of an inline token; fails if anything of it is markup."""
    assert token.children is not None
    assert {child.type for child in token.children} <= {"text", "text_special"}
    return "".join(child.content for child in token.children)


class TestMarkdown:
    @pytest.mark.parametrize("words", HOSTILE)
    def test_a_paragraph_shows_as_it_is(self, words: str) -> None:
        _, title, _, *found = tokens(markdown.page(of(paragraph(words))))
        assert shown(title) == "T"
        assert [each.type for each in found] == ["paragraph_open", "inline", "paragraph_close"]
        assert shown(found[1]) == escape(words).strip()

    @given(st.text(MARKUP, min_size=1))
    def test_whatever_it_is(self, words: str) -> None:
        if wanted := escape(words).strip():
            found = tokens(markdown.page(of(point(words))))[3:]
            assert [each.type for each in found if each.type == "inline"] == ["inline"]
            assert {each.type for each in found} <= {
                *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
                *("paragraph_open", "inline", "paragraph_close"),
            }
            assert [shown(each) for each in found if each.type == "inline"] == [wanted]

    @pytest.mark.parametrize("words", HOSTILE)
    def test_a_command_stands_in_a_fence_that_it_cannot_leave(self, words: str) -> None:
        fences = [each for each in tokens(markdown.page(every_kind(words))) if each.type == "fence"]
        assert [each.content for each in fences] == [escape(words) + "\n"] * 3

    @pytest.mark.parametrize("words", HOSTILE)
    def test_a_page_has_its_own_headings_and_lists_only(self, words: str) -> None:
        found = Counter(each.type for each in tokens(markdown.page(every_kind(words))))
        assert (found["heading_open"], found["fence"], found["list_item_open"]) == (2, 3, 3)
        assert found["html_block"] + found["hr"] + found["table_open"] + found["blockquote_open"] == 0

    def test_a_web_address_stays_text(self) -> None:
        assert "http://" not in markdown.page(of(paragraph("see http://example.com")))

    def test_every_link_leads_to_a_page(self, whole: Book) -> None:
        source = markdown.book(whole)
        targets = re.findall(r'^<a id="([^"]+)"></a>$', source, re.MULTILINE)
        links = [
            str(child.attrs["href"])
            for each in tokens(source)
            for child in each.children or []
            if child.type == "link_open"
        ]
        assert sorted(targets) == sorted(map(anchor, topics.topics()))
        assert {link.removeprefix("#") for link in links} <= set(targets)
        assert len(links) > 2 * len(targets)  # the contents, and texts that name others


class Reader(HTMLParser):
    """What a browser would see: texts, ids, addresses; fails at an element that is not closed in its order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.addresses += [found[name] or "" for name in ("href", "src") if name in found]
        assert not any(name.startswith("on") or name == "style" for name in found)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class TestHtml:
    @pytest.mark.parametrize("words", HOSTILE)
    def test_a_page_shows_as_it_is(self, words: str) -> None:
        plain_tags = Reader(html.page(every_kind("x"))).tags
        found = Reader(html.page(every_kind(words)))
        assert found.tags == plain_tags
        assert found.texts.count(escape(words)) >= 9

    def test_every_link_leads_to_a_page(self, whole: Book) -> None:
        found = Reader(html.book(whole))
        assert sorted(found.ids) == sorted(map(anchor, topics.topics()))
        assert {each[:1] for each in found.addresses} == {"#"}
        assert {each[1:] for each in found.addresses} <= set(found.ids)
        assert len(found.addresses) > 2 * len(found.ids)

    def test_it_needs_nothing_else_and_runs_nothing(self, whole: Book) -> None:
        source = html.book(whole)
        assert Reader(source).tags.keys() & {"script", "link", "img", "iframe", "object", "form"} == set()
        assert "url(" not in source
        assert "@import" not in source
        assert "default-src 'none'" in source

    def test_it_is_dark_where_the_reader_wants_that(self, whole: Book) -> None:
        assert "prefers-color-scheme: dark" in html.book(whole)

    def test_a_page_does_not_link_to_itself_but_to_another(self) -> None:
        one, other = (found for name in ("CLOSE_WAIT", "LAST_ACK") if (found := topics.find(name)))
        said = Page("P", (Section("", (paragraph("CLOSE_WAIT, then LAST_ACK, then TIME_WAIT"),)),))
        source = html.book(Book("B", (), {"States": (Chapter(one, said), Chapter(other, Page("Q", ())))}))
        assert '<p>CLOSE_WAIT, then <a href="#state-last_ack">LAST_ACK</a>, then TIME_WAIT</p>' in source


def render(source: str, path: Path, device: str = "utf8", columns: int = 400) -> str:
    """What groff makes of a man page; fails on a warning."""
    path.write_text(source, "ascii")
    arguments_ = ["groff", "-man", "-ww", f"-T{device}", f"-rLL={columns}n", "-P-c", "-P-b", "-P-o", "-P-u", str(path)]
    done = subprocess.run(arguments_, capture_output=True, check=True)
    assert done.stderr.decode() == ""
    return done.stdout.decode("utf-8" if device == "utf8" else "ascii")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
class TestManPage:
    @pytest.mark.parametrize("words", HOSTILE)
    def test_a_page_shows_as_it_is(self, words: str, tmp_path: Path) -> None:
        page = Page("T", (Section("S", (paragraph("begin"), *every_kind(words).sections[0].blocks, paragraph("end"))),))
        rendered = squeezed(render(man.page(page), tmp_path / "page.7"))
        wanted = squeezed(escape(words))
        label = f"{wanted}:" if len(words) > 60 else wanted
        assert f" begin {wanted} {label} {wanted} • {wanted} {wanted} • {wanted} end " in rendered

    @pytest.mark.parametrize("words", HOSTILE)
    def test_commands_and_tables_keep_their_line(self, words: str, tmp_path: Path) -> None:
        lines = [line.strip() for line in render(man.page(every_kind(words)), tmp_path / "page.7").splitlines()]
        assert lines.count(escape(words).strip()) >= 3

    @given(words=st.text("\\.'-\"`^~ ab(&*[]\n", min_size=1, max_size=30))
    def test_whatever_it_is(self, words: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        shown = render(man.page(of(Block("table", f"<{words}>"))), tmp_path_factory.mktemp("man") / "page.7")
        assert f"<{escape(words)}>" in shown

    def test_words_are_not_broken(self, whole: Book, tmp_path: Path) -> None:
        assert "\u2010" not in render(man.book(whole), tmp_path / "sockui.7", columns=78)

    @pytest.mark.parametrize("device", ["utf8", "ascii"])
    def test_the_pages_render_without_a_warning(self, device: str, whole: Book, tmp_path: Path) -> None:
        assert "CLOSE_WAIT" in render(man.book(whole), tmp_path / "sockui.7", device)
        assert "EXIT STATUS" in render(manual(), tmp_path / "sockui.1", device)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_both_pages_without_a_warning(whole: Book, tmp_path: Path) -> None:
    for number, source in ((1, manual()), (7, man.book(whole))):
        path = tmp_path / f"sockui.{number}"
        path.write_text(source, "ascii")
        environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
        done = subprocess.run(
            ["man", "--warnings", "-l", str(path)], env=environ, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert done.stdout.startswith(f"SOCKUI({number})")
        assert re.search(r"^ +sockui - \w", done.stdout, re.MULTILINE)
        if number == 1:  # of the others commands may be wider
            assert max(map(len, done.stdout.splitlines())) <= 80


class TestCommandPage:
    """sockui(1) says what the program knows of itself."""

    def test_it_has_every_option_with_its_help(self) -> None:
        source = manual()
        options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", arguments.parser().format_help(), re.MULTILINE)
        assert len(options) > 20
        for option in options:
            assert re.search(rf"^(\\fB|.*, ){re.escape(option.replace('-', chr(92) + '-'))}\b", source, re.MULTILINE)

    def test_it_has_every_key_of_the_ui_in_its_words(self) -> None:
        every = [
            each for each in (*MainScreen.BINDINGS, *SockuiApp.BINDINGS) if isinstance(each, Binding) and each.show
        ]
        bound = {(key_name(each.key), each.description) for each in every}
        assert bound - set(KEYS) == set()
        assert {key for key, _ in set(KEYS) - bound} == {
            "arrows, h j k l",
            "PgUp PgDn",
            "g G",
            "Tab",
            "Tab n N Enter",
            ":",
        }

    def test_it_has_every_variable_that_sets_something(self) -> None:
        variables = re.findall(r"In the environment: (SOCKUI_\w+)", template())
        assert len(variables) > 10
        assert [each for each in variables if f"\\fB{each}\\fR" not in manual()] == []

    def test_it_has_every_exit_code(self) -> None:
        ending = manual().split('.SH "EXIT STATUS"')[1].split(".SH")[0]
        assert re.findall(r"\\fB(\d+)\\fR", ending) == [str(code) for code in arguments.EXIT_CODES]


class TestPlace:
    ERROR = Topic("error", "eaddrinuse", "EADDRINUSE")

    @pytest.mark.parametrize(
        ("words", "parted"),
        [
            (["EADDRINUSE"], ("EADDRINUSE", "")),
            (["EADDRINUSE", ":8080"], ("EADDRINUSE", ":8080")),
            (["Address", "already", "in", "use"], ("Address already in use", "")),
            (["address", "already", "in", "use", "udp:53"], ("address already in use", "udp:53")),
            (["EADDRNOTAVAIL", "[::1]:443"], ("EADDRNOTAVAIL", "[::1]:443")),
        ],
    )
    def test_the_last_word_is_the_place_if_it_has_a_colon(self, words: list[str], parted: tuple[str, str]) -> None:
        assert place.cut(words) == parted

    def test_a_place_alone_is_no_question(self) -> None:
        with pytest.raises(UsageError, match="sockui explain EADDRINUSE :8080"):
            place.cut([":8080"])

    def test_the_last_word_of_no_topic_has_a_colon(self) -> None:
        assert [each for each in topics.spellings() if ":" in each.split()[-1]] == []

    def test_the_port_of_a_listener_is_held_by_this_process(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            collector = open_collector("auto")
            update: Update = Tracker().update(collector.collect())
            collector.close()
        answer = place.question(self.ERROR, f"127.0.0.1:{port}")(update)
        assert str(os.getpid()) in plain(Page("", answer))

    def test_what_takes_none_says_what_does(self) -> None:
        with pytest.raises(UsageError, match="CLOSE_WAIT takes no address and port; EADDRINUSE and EADDRNOTAVAIL"):
            place.question(Topic("state", "close_wait", "CLOSE_WAIT"), ":80")

    def test_a_place_that_is_none_is_refused(self) -> None:
        with pytest.raises(UsageError, match="no port"):
            place.question(self.ERROR, ":http:x")
