"""Warnings about rules: what never applies, and what meets by accident."""

from __future__ import annotations

import pytest

from reports.routing.fault_wording import reason
from reports.routing.grammar import parse
from reports.routing.overlapping import warnings

GROUPS = {"pothole": "roads", "manhole": "roads", "lamp": "lights"}


def told(text: str) -> list[tuple[int, str, str]]:
    rules = parse(f"{text}\notherwise team desk\n")
    return [(found.line, found.word, reason(found, "en")) for found in warnings(rules, GROUPS)]


@pytest.mark.parametrize(
    "text",
    [
        "rule a when service pothole then team x\nrule b when service pothole then team y",
        "rule a when group roads then team x\nrule b when service pothole then team y",
        (
            "rule a when service pothole, lamp then team x\n"
            "rule b when service lamp and in wards: w1 then team y"
        ),
        (
            "rule a when in wards: w1, w2 then team x\n"
            "rule b when in wards: w2 and source app then team y"
        ),
        (
            "rule a when attribute depth at least 5 then team x\n"
            "rule b when attribute depth at least 9 then team y"
        ),
        "rule a when not source app then team x\nrule b when source phone then team y",
        "rule a when not in wards: w1 then team x\nrule b when not in wards: w1, w2 then team y",
        'rule a when words "Fuite d’eau" then team x\nrule b when words "fuite d\'eau" then team y',
        'rule a when words "leak" then team x\nrule b when words "gas leak", "LEAK" then team y',
        (
            'rule a when not words "leak" then team x\n'
            'rule b when not words "leak", "gas" then team y'
        ),
        ('rule a when not words "gas leak" then team x\nrule b when not words "leak" then team y'),
        (
            "rule a when from 1 dec to 31 jan then team x\n"
            "rule b when from 20 dec to 5 jan then team y"
        ),
        (
            "rule a when from 1 dec to 31 jan then team x\n"
            "rule b when from 2 jan to 5 jan and source app then team y"
        ),
        (
            "rule a when not from 2 jan to 5 jan then team x\n"
            "rule b when not from 1 jan to 31 mar then team y"
        ),
    ],
)
def test_a_rule_that_an_earlier_one_leaves_nothing_never_applies(text: str) -> None:
    [(line, word, reason)] = told(text)
    assert (line, word) == (2, "b")
    assert "rule a (line 1) before it caught every report" in reason


@pytest.mark.parametrize(
    "first",
    ["from 1 dec to 31 jan", "from 1 jan to 30 jun", "from 5 jan to 20 dec"],
)
def test_a_season_that_reaches_beyond_another_still_applies(first: str) -> None:
    assert (
        told(f"rule a when {first} then team x\nrule b when from 20 dec to 5 feb then team y") == []
    )


@pytest.mark.parametrize(
    "conditions",
    [
        "service pothole and service lamp",
        "service pothole and group lights",
        "service pothole and not service pothole, lamp",
        "during working hours and outside working hours",
        "in wards: w1 and not in wards: w1, w2",
        "attribute depth at least 9 and attribute depth at most 5",
        'words "gas leak" and not words "leak"',
        "from 2 jan to 5 jan and not from 1 dec to 31 jan",
    ],
)
def test_a_rule_that_contradicts_itself_fits_nothing(conditions: str) -> None:
    assert told(f"rule a when {conditions} then team x") == [
        (1, "a", "this rule never applies: no report fits all of its conditions")
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        "in wards: w1 and in wards: w2",
        "attribute kind is a and attribute kind is b",
        "attribute depth at least 5 and attribute depth at least 9",
        "service pothole and group roads",
        "from 1 jan to 30 jun and not from 30 jun to 1 jan",
    ],
)
def test_what_may_hold_together_is_no_contradiction(conditions: str) -> None:
    assert told(f"rule a when {conditions} then team x") == []


def test_several_earlier_rules_together_leave_nothing() -> None:
    [(_, word, reason)] = told(
        "rule a when service pothole then team x\n"
        "rule b when service lamp then team y\n"
        "rule c when service lamp, pothole and in wards: w1 then team z"
    )
    assert word == "c"
    assert "rules b (line 2), a (line 1)" in reason


def test_several_earlier_rules_together_look_for_all_the_words() -> None:
    [(_, word, reason)] = told(
        'rule a when words "leak" then team x\n'
        'rule b when words "geyser" then team y\n'
        'rule c when words "geyser", "gas leak" then team z'
    )
    assert word == "c"
    assert "rules b (line 2), a (line 1)" in reason


@pytest.mark.parametrize(
    ("first", "second"),
    [("gas leak", "leak"), ("leak", "leaks"), ("leak", 'leak of gas", "geyser')],
)
def test_words_that_leave_something_are_no_reason_to_warn(first: str, second: str) -> None:
    assert not told(
        f'rule a when words "{first}" then team x\nrule b when words "{second}" then team y'
    )


def test_an_accidental_meeting_says_which_rules_and_where() -> None:
    [(line, word, reason)] = told(
        "rule a when service pothole and in wards: w1 then team x\n"
        "rule b when service pothole, lamp and source app then team y"
    )
    assert (line, word) == (2, "b")
    assert "rule a in line 1 (service pothole); a comes first" in reason


@pytest.mark.parametrize(
    "text",
    [
        # A special case before the general rule is what an order is for.
        (
            "rule a when service pothole and source app then team x\n"
            "rule b when group roads then team y"
        ),
        (
            "rule a when service pothole, lamp and in wards: w1 then team x\n"
            "rule b when service pothole, manhole then team y"
        ),
        # They cannot meet.
        (
            "rule a when service pothole and source app then team x\n"
            "rule b when service pothole and not source app then team y"
        ),
        (
            "rule a when service pothole and in wards: w1 then team x\n"
            "rule b when service pothole and in wards: w2 and source app then team y"
        ),
        (
            "rule a when service pothole and attribute depth at least 9 then team x\n"
            "rule b when service pothole and attribute depth at most 5 then team y"
        ),
        (
            "rule a when group lights and source app then team x\n"
            "rule b when service pothole and in wards: w1 then team y"
        ),
        # They do the same, so it does not matter which.
        (
            "rule a when service pothole and in wards: w1 then team x\n"
            "rule b when service pothole and source app then team x"
        ),
        # Nobody knows what people will write.
        'rule a when words "gas" then team x\nrule b when service lamp then team y',
    ],
)
def test_nothing_is_said_of_rules_that_are_as_they_should_be(text: str) -> None:
    assert told(text) == []
