"""Every rule has its words: found by id and name, short, with a whole ladder, fitting the situations they add to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockui.knowledge import finding_words, topics, words
from sockui.knowledge.files import File
from sockui.model import parse_state

RULES = [*(f"R{number:02}" for number in range(1, 26)), "X1", "X2", "X3", "X5"]  # X4 is the other end of a connection
NAMES = words.names("findings")
FOLK = {
    "R01": "tcp_fin_timeout keepalive tw_recycle LINGER ss",
    "R02": "tcp_fin_timeout keepalive tw_recycle LINGER ss",
    "R03": "abort_on_overflow max_syn_backlog",
    "R04": "tcp_fin_timeout KEEPALIVE retries2",
    "R05": "tcp_fin_timeout tw_recycle LINGER",
    "R06": "61 119 tw_reuse tw_recycle LINGER",
    "R07": "tcp_fin_timeout LINGER orphan_retries=1",
    "R08": "tcp_fin_timeout LINGER retries2",
    "R09": "LINGER tw_recycle",
    "R10": "tcp_fin_timeout tw_recycle LINGER",
    "R11": "tcp_fin_timeout tw_recycle LINGER",
    "R12": "syn_retries tw_recycle tw_reuse",
    "R13": "abort_on_overflow max_syn_backlog",
    "R14": "syncookies synack_retries max_syn_backlog",
    "R15": "abort_on_overflow synack_retries",
    "R16": "abort_on_overflow max_syn_backlog somaxconn",
    "R17": "abort_on_overflow max_syn_backlog",
    "R18": "retries2 KEEPALIVE",
    "R19": "KEEPALIVE wmem",
    "R20": "rmem tcp_fin_timeout LINGER",
    "R21": "keepalive_time ss",
    "R22": "tcp_fin_timeout tw_recycle LINGER max_tw_buckets",
    "R23": "tcp_fin_timeout tw_recycle LINGER max_tw_buckets ss",
    "R24": "max_orphans orphan_retries=1 LINGER",
    "R25": "keepalive ss tw_recycle",
    "X1": "tw_reuse tw_recycle tcp_fin_timeout LINGER",
    "X2": "conntrack tcp_fin_timeout",
    "X3": "udp_mem ss",
    "X5": "tw_recycle 61 119 abort_on_overflow",
}
"""What is tried for this fault and does not help, by the words that name it."""
NEVER_FIXED_IN_CODE = {"X5"}


def cases(known: finding_words.FindingWords) -> list[words.SituationWords]:
    return [words.situation(name) for name in known.situations]


def steps(known: finding_words.FindingWords) -> list[words.StepWords]:
    return [*known.steps, *(step for case in cases(known) for step in case.steps)]


def test_there_is_a_file_for_every_rule_and_no_other() -> None:
    assert list(finding_words.rules()) == RULES
    assert sorted(finding_words.rules().values()) == sorted(NAMES)


@pytest.mark.parametrize(
    "text", ["R02", "r02", " R02 ", "close_wait_read", "close-wait-read", "CLOSE-WAIT-READ", "Close Wait Read"]
)
def test_a_rule_is_found_by_its_id_and_its_name(text: str) -> None:
    assert topics.find(text) == topics.Topic("finding", "close_wait_read", "R02 close-wait-read")


@pytest.mark.parametrize("text", ["", "R2", "R99", "../states/close"])
def test_what_is_no_rule_is_not_found(text: str) -> None:
    assert topics.find(text) is None


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_found_by_its_id_whatever_else_is_called_like_its_file(rule: str) -> None:
    found = topics.find(rule)
    assert found is not None
    assert (found.kind, found.name) == ("finding", finding_words.rules()[rule])


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_not_called_like_a_state(name: str) -> None:
    assert parse_state(name) is None
    assert parse_state(name.replace("_", "-")) is None


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_short(name: str) -> None:
    known = finding_words.finding(name)
    for variant in known.title:
        assert len(variant.text) <= 56, variant.text
        assert not [*words.placeholders(variant.text)], "a title is chosen without looking at a socket"
        assert not variant.text.endswith(".")
    for variant in known.summary:
        assert len(variant.text) <= 230, variant.text
    for variant in known.first:
        assert len(variant.text) <= 130, variant.text
    for step in known.steps:
        assert len(step.text) <= 145, step.text
    for item in known.do_not:
        assert len(item.why) <= 150, item.why


@pytest.mark.parametrize("name", NAMES)
def test_sentences_end_like_sentences(name: str) -> None:
    known = finding_words.finding(name)
    variants = known.summary + known.first + known.turn + known.ends
    texts = [*(variant.text for variant in variants), known.severity, known.fires, *known.false_positives]
    texts += [*(cause.text for cause in known.causes), *(step.text for step in known.steps)]
    for text in [*texts, *(item.why for item in known.do_not)]:
        assert text.endswith((".", "?", ":")), text
        assert "  " not in text
    for variant in known.first:
        assert variant.text[0].islower() or variant.text.startswith("{"), "it stands behind a colon"
    assert known.false_positives


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_ladder_is_there(name: str) -> None:
    known = finding_words.finding(name)
    rungs = {step.rung for step in steps(known)}
    assert {"look", "prevent"} <= rungs
    assert {"mitigate without loss", "mitigate with loss"} & rungs or known.rule in ("R13", "R14", "R15")
    if known.rule not in NEVER_FIXED_IN_CODE:
        assert "fix in code" in rungs or known.rule in ("R09", "R11"), "a kernel, or a path, is what has to be mended"


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_there_and_say_what_they_need(name: str) -> None:
    for step in finding_words.finding(name).steps:
        assert step.command or step.rung in ("fix in code", "prevent"), step.text
        assert "\n" not in step.command
        if step.command.startswith(("ss -tK", "ss -taK", "sysctl -w", "tcpdump", "systemctl", "conntrack")):
            assert step.root, step.command
        if step.command.startswith(("ss -tK", "ss -taK", "systemctl", "kill {pid}")):
            assert step.effect == "drops connections", step.command
        if step.command.startswith(("sysctl -w", "prlimit")):
            assert step.effect == "changes settings", step.command


@pytest.mark.parametrize("name", NAMES)
def test_folk_remedies_are_named_with_the_reason(name: str) -> None:
    known = finding_words.finding(name)
    refused = [*known.do_not, *(item for case in cases(known) for item in case.do_not)]
    text = " ".join(item.what for item in refused)
    for word in FOLK[known.rule].split():
        assert word.lower() in text.lower(), (word, text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_weighed_or_left_out_is_in_one_of_its_situations(name: str) -> None:
    known = finding_words.finding(name)
    causes = {cause.text for case in cases(known) for cause in case.causes}
    for weight in known.weights:
        assert [text for text in causes if text.startswith(weight.cause)], weight.cause
    for item in known.without:
        assert item.command in {step.command for case in cases(known) for step in case.steps}, item.command


def test_what_threads_tell_weighs_causes_that_situations_name() -> None:
    causes = {cause.text for name in words.names("situations") for cause in words.situation(name).causes}
    for weight in finding_words.threads().weights:
        assert [text for text in causes if text.startswith(weight.cause)], weight.cause


@pytest.mark.parametrize("name", NAMES)
def test_no_sentence_of_a_situation_is_said_again(name: str) -> None:
    known = finding_words.finding(name)
    said = {cause.text for case in cases(known) for cause in case.causes}
    said |= {step.text for case in cases(known) for step in case.steps}
    own = {cause.text for cause in known.causes} | {step.text for step in known.steps}
    assert not own & said


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], finding_words.FindingWords]]:
    """Loads a finding from a dict in place of a file."""

    def load(data: dict[str, Any]) -> finding_words.FindingWords:
        finding_words.finding.cache_clear()
        monkeypatch.setattr(File, "open", lambda kind, name: File(f"{kind}/{name}.toml", data))
        return finding_words.finding("made_up")

    yield load
    finding_words.finding.cache_clear()


def good() -> dict[str, Any]:
    text = [{"text": "T."}]
    return {
        "rule": "R99", "title": text, "summary": text, "first": text, "severity": "W.", "fires": "F.",
        "false_positives": ["P."], "turn": [{"who": "nobody", "text": "t."}], "ends": text,
        "costs": "C.", "sources": {"fires": "RFC 1"},
    }  # fmt: skip


def test_the_least_that_a_file_needs(load: Callable[[dict[str, Any]], finding_words.FindingWords]) -> None:
    assert load(good()).rule == "R99"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rule": None}, "rule is missing"),
        ({"titel": "T"}, "unknown key titel"),
        ({"summary": [{"text": "S.", "when": ["x"]}]}, "the last of summary must have no condition"),
        ({"summary": []}, "the last of summary must have no condition"),
        ({"turn": []}, "without situations it needs turn, ends and costs"),
        ({"costs": None}, "without situations it needs turn, ends and costs"),
        ({"filter": [{"text": "state listen", "when": ["x"]}]}, "the last of filter must have no condition"),
        ({"evidence": [{"name": "N"}]}, "text is missing"),
        ({"evidence": [{"name": "N", "text": "T", "wen": []}]}, "unknown key wen"),
        ({"weights": [{"caus": "C"}]}, "cause is missing"),
        ({"without": [{"command": "ss", "why": "y"}]}, "unknown key why"),
        ({"anyone": "yes"}, "anyone must be true or false"),
        ({"sources": {}}, "no source of fires"),
        ({"sources": {"fires": "RFC 1", "rule": "RFC 2"}}, "rule in [sources] is no claim"),
        ({"steps": [{"rung": "prevent", "text": "P."}, {"rung": "look", "text": "L."}]}, "order of the ladder"),
    ],
)
def test_a_slip_is_an_error_that_names_file_and_place(
    load: Callable[[dict[str, Any]], finding_words.FindingWords], change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"^findings/made_up.toml") as raised:
        load({key: value for key, value in (good() | change).items() if value is not None})
    assert complaint in str(raised.value)
