"""The kernel's own arithmetic, against lives that were measured on a running kernel."""

from __future__ import annotations

import pytest

from sockui.knowledge import lifetimes


@pytest.mark.parametrize(
    ("seconds", "life"),
    [(10, 10_000), (60, 60_000), (61, 2_000), (65, 10_000), (70, 20_000), (120, 120_000), (240, 360_000)],
)
def test_fin_timeout_above_sixty_is_twice_what_exceeds_sixty(seconds: int, life: int) -> None:
    assert lifetimes.fin_wait2_orphan(seconds) == life


@pytest.mark.parametrize(("retries", "life"), [(3, 3_000), (5, 12_600), (8, 102_200), (9, 204_600), (15, 924_600)])
def test_unanswered_data(retries: int, life: int) -> None:
    assert lifetimes.unanswered(retries) == life


def test_a_smaller_rto_maximum_ends_unanswered_data_sooner() -> None:
    assert lifetimes.unanswered(15, rto_max=10_000) == 12_600 + 10 * 10_000


@pytest.mark.parametrize(
    ("retries", "linear", "life"), [(6, 4, 131_000), (6, 0, 127_000), (2, 0, 7_000), (0, 0, 1_000)]
)
def test_connect(retries: int, linear: int, life: int) -> None:
    assert lifetimes.connect(retries, linear) == life


def test_syn_ack() -> None:
    assert lifetimes.syn_ack(5) == 63_000


@pytest.mark.parametrize(
    ("rto", "retries", "longest", "back_off", "life"),
    [
        (200, 0, 120_000, 10, 324_600),
        (204, 0, 1_000, 3, 2_428),
        (204, 12, 1_000, 12, 11_428),
        (1_000, 3, 120_000, 7, 247_000),
    ],
)
def test_a_closed_socket_behind_an_answered_zero_window(
    rto: int, retries: int, longest: int, back_off: int, life: int
) -> None:
    """Measured: 341.6 s from the closing of the window, 2.5 s, 11.8 s; timers fire some per cent late."""
    assert lifetimes.last_back_off(rto, retries, longest) == back_off
    assert lifetimes.probed(rto, back_off, longest) == life
