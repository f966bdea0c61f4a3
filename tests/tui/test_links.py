"""Where text names a topic, and which of these places is chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic
from sockui.tui.links import Line, Links

A, B = Topic("state", "a", "AA"), Topic("option", "b", "BB")


@pytest.fixture(autouse=True)
def two_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    def links(text: str) -> Iterator[tuple[int, int, Topic]]:
        for match in re.finditer("AA|BB", text):
            yield match.start(), match.end(), A if match.group() == "AA" else B

    monkeypatch.setattr(topics, "links", links)


def line(*texts: str) -> Line:
    return tuple((text, "dim" if number else "") for number, text in enumerate(texts)), 7


LINES = [line("x AA y"), line("none"), line("• B", "B AA"), line("日本 BB")]


def chosen(links: Links) -> tuple[int, int, str] | None:
    link = links.chosen
    return (link.line, link.start, link.topic.title) if link is not None else None


def test_they_are_stepped_through_in_the_order_of_the_text_and_end_at_both_ends() -> None:
    links = Links()
    links.take(LINES, None)
    seen = []
    while links.step(1, 0, 9):
        seen.append(chosen(links))
    assert seen == [(0, 2, "AA"), (2, 2, "BB"), (2, 5, "AA"), (3, 3, "BB")]
    assert chosen(links) == (3, 3, "BB"), "beyond the last nothing changes"
    links.step(-1, 0, 9)
    assert chosen(links) == (2, 5, "AA")


def test_where_none_is_chosen_it_begins_with_what_is_in_view() -> None:
    forwards, back = Links(), Links()
    for links in (forwards, back):
        links.take(LINES, None)
    forwards.step(1, 1, 2)
    back.step(-1, 0, 1)
    assert (chosen(forwards), chosen(back)) == ((2, 2, "BB"), (0, 2, "AA"))


def test_what_the_text_is_about_is_no_link() -> None:
    links = Links()
    links.take(LINES, A)
    links.step(1, 0, 9)
    assert chosen(links) == (2, 2, "BB")


def test_the_chosen_one_is_found_again_in_other_lines() -> None:
    links = Links()
    links.take(LINES, None)
    links.step(-1, 0, 9)
    links.take([line("new first line"), *LINES], None)
    assert chosen(links) == (4, 3, "BB")
    links.take(LINES[:1], None)
    assert chosen(links) is None


def test_marks_go_across_spans_and_leave_the_text_as_it_is() -> None:
    links = Links()
    links.take(LINES, None)
    links.step(1, 2, 9)
    marked = links.marked()
    assert [["".join(text for text, _ in spans), anchor] for spans, anchor in marked] == [
        ["".join(text for text, _ in spans), anchor] for spans, anchor in LINES
    ]
    assert marked[2][0] == (("• ", ""), ("B", "here"), ("B", "here"), (" ", "dim"), ("AA", "link"))
    assert marked[1] == LINES[1]


def test_a_press_counts_cells_not_characters() -> None:
    links = Links()
    links.take(LINES, None)
    assert [links.at(3, cell) is not None for cell in (4, 5, 6, 7)] == [False, True, True, False]
    assert links.at(9, 0) is None
