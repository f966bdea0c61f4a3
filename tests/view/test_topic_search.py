"""What is found in the knowledge, and what of it comes first."""

from __future__ import annotations

import pytest

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic
from sockui.view.page import Page, fact, point, section, text
from sockui.view.topic_search import Hit, Index, named


def topic(name: str) -> Topic:
    found = topics.find(name)
    assert found is not None
    return found


CLOSE_WAIT, TIME_WAIT, LISTEN, R02 = map(topic, ("CLOSE_WAIT", "TIME_WAIT", "LISTEN", "R02"))
PAGES = [
    (LISTEN, Page("LISTEN", section("In short", fact("Ends", "close() by every holder. Keepalive is not for it.")))),
    (TIME_WAIT, Page("TIME_WAIT", section("", text("Ends after 60 s."), point("keepalive: none", "KEEPALIVE again")))),
    (CLOSE_WAIT, Page("CLOSE_WAIT", section("", text("Waits for close()."), text("No keep-alive cures a leak.")))),
    (R02, Page("R02 close-wait-read", section("", text("A leak.")))),
]


def found(hits: list[Hit]) -> list[str]:
    return [hit.topic.title for hit in hits]


@pytest.mark.parametrize("typed", ["close_wait", "CLOSE-WAIT", "close wait", "closewait"])
def test_names_are_found_in_any_spelling_the_exact_one_first(typed: str) -> None:
    assert found(named(typed))[0] == "CLOSE_WAIT"
    assert "R02 close-wait-read" in found(named(typed))


def test_titles_that_begin_so_come_before_those_that_have_it_inside() -> None:
    names = found(named("close"))
    inside = [title for title in names if not title.lower().startswith("close")]
    assert inside
    assert names.index("CLOSE_WAIT") < min(map(names.index, inside))
    assert found(named("r02"))[0] == "R02 close-wait-read"


@pytest.mark.parametrize("typed", ["", " ", "-_", "no such thing"])
def test_nothing_is_named_by_nothing(typed: str) -> None:
    assert named(typed) == []
    assert Index(PAGES).search(typed) == []


def test_a_page_must_have_every_word_and_those_with_most_come_first() -> None:
    index = Index(PAGES)
    assert found(index.search("keepalive")) == ["TIME_WAIT", "LISTEN", "CLOSE_WAIT"]
    assert found(index.search("cures leak")) == ["CLOSE_WAIT"]
    assert found(index.search("cures nothing")) == []


def test_what_is_called_so_comes_before_what_says_it() -> None:
    index = Index([*PAGES, (topic("SYN_SENT"), Page("SYN_SENT", section("", text("listen listen listen"))))])
    assert found(index.search("listen")) == ["LISTEN", "SYN_SENT"]


def test_the_line_that_has_the_words_and_where() -> None:
    (hit,) = Index(PAGES).search("leak keep-alive")
    assert hit.line == "No keep-alive cures a leak."
    assert hit.line[hit.at :].startswith("keep-alive")
    assert Index(PAGES).search("every holder")[0].line == "Ends: close() by every holder. Keepalive is not for it."
    assert Index(PAGES).search("R02")[0].line == "A leak."


def test_every_real_page_can_be_searched_by_its_title() -> None:
    for each in topics.topics():
        assert each.title in found(named(each.title))[:3]
