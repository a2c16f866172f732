"""Proof of work: what is asked, what is taken for it, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core import proof_of_work
from core.proof_of_work import Fault, Solved, check, difficulty_after, issue, solve

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
EASY = 8


def test_work_that_was_done_is_taken() -> None:
    challenge = issue("key", now=NOW, difficulty=EASY)
    nonce = solve(challenge.text, EASY)
    solved = check("key", challenge.text, nonce, now=NOW + timedelta(minutes=9))
    assert isinstance(solved, Solved)
    assert solved.id in challenge.text
    assert challenge.expires_at == NOW + proof_of_work.LIFETIME


def test_no_two_challenges_are_the_same() -> None:
    assert len({issue("key", now=NOW).text for _ in range(100)}) == 100


def test_a_wrong_nonce_is_no_work() -> None:
    challenge = issue("key", now=NOW, difficulty=200)
    for nonce in ("0", "", "x" * 65, "\ud800", "é"):
        assert check("key", challenge.text, nonce, now=NOW) is Fault.WRONG


def test_after_its_time_it_is_void() -> None:
    challenge = issue("key", now=NOW, difficulty=EASY)
    nonce = solve(challenge.text, EASY)
    late = NOW + proof_of_work.LIFETIME
    assert check("key", challenge.text, nonce, now=late) is Fault.EXPIRED


@pytest.mark.parametrize("change", ["", "A", "é", "\0", "=" * 3, "A" * 46, "A" * 47, "A" * 5000])
def test_what_we_did_not_make_is_forged(change: str) -> None:
    assert check("key", change, "0", now=NOW) is Fault.FORGED


def test_neither_time_nor_difficulty_can_be_changed() -> None:
    challenge = issue("key", now=NOW, difficulty=EASY).text
    for index in range(len(challenge)):
        other = "A" if challenge[index] != "A" else "B"
        forged = challenge[:index] + other + challenge[index + 1 :]
        assert check("key", forged, "0", now=NOW) is Fault.FORGED


def test_another_installation_knows_nothing_of_it() -> None:
    challenge = issue("key", now=NOW, difficulty=EASY)
    nonce = solve(challenge.text, EASY)
    assert check("another", challenge.text, nonce, now=NOW) is Fault.FORGED


@pytest.mark.parametrize(
    ("recent", "difficulty"),
    [
        (0, 16),
        (1, 16),
        (4, 16),
        (5, 17),
        (8, 17),
        (9, 18),
        (17, 19),
        (33, 20),
        (65, 21),
        (9999, 21),
    ],
)
def test_it_is_harder_for_those_who_come_often(recent: int, difficulty: int) -> None:
    assert difficulty_after(recent) == difficulty
