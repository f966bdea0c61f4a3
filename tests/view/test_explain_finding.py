"""``sockui explain R02``: a rule in words, with its thresholds."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError
from sockui.knowledge import finding_words, words
from sockui.model import Host
from sockui.view.explain import explain_finding, explain_state

RULES = finding_words.rules()


SYSCTLS = {"net.core.somaxconn": "4096", "net.ipv4.tcp_retries2": "15", "net.ipv4.tcp_orphan_retries": "0"}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_explained_by_id_and_by_name(rule: str) -> None:
    host = Host("web1", "Linux", SYSCTLS)
    text = explain_finding(rule, host)
    assert text == explain_finding(RULES[rule].replace("_", "-"), host) == explain_finding(RULES[rule].upper(), host)
    assert text.startswith(f"{rule} {RULES[rule].replace('_', '-')}\n")
    for label in ("Fires: ", "Severity: ", "False positives:", "Whose turn:", "What ends it:", "Evidence: ", "Causes:",
                  "What to do:", "  Look:", "Do not:"):  # fmt: skip
        assert f"\n{label}" in text, label
    assert not re.search(r"\{[a-z_.]+\}", text)
    for line in text.splitlines():
        assert len(line) <= 78, line


def test_a_rule_is_explained_with_its_threshold_as_it_is_configured() -> None:
    host = Host("web1", "Linux", SYSCTLS)
    assert "CLOSE_WAIT for at least 30 s" in explain_finding("R02", host)
    limits = dataclasses.replace(Thresholds(), close_wait_seconds=1200, ports_warning=0.5)
    assert "CLOSE_WAIT for at least 1,200 s" in explain_finding("R02", host, limits)
    assert "At least 50 % of the ephemeral ports" in explain_finding("R22", host, limits)


@pytest.mark.parametrize("text", ["R99", "close-wait", "established", ""])
def test_what_is_no_rule_is_not_explained_as_one(text: str) -> None:
    assert explain_finding(text, Host("web1", "Linux")) == ""
    if text in ("R99", ""):
        with pytest.raises(UsageError):
            explain_state(text, Host("web1", "Linux"))


def test_every_threshold_that_a_text_names_exists() -> None:
    names = {field.name for field in dataclasses.fields(Thresholds)}
    for file in RULES.values():
        known = finding_words.finding(file)
        for text in (known.fires, known.severity, *known.false_positives):
            assert set(words.placeholders(text)) <= names
