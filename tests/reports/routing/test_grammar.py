"""The language of routing rules: what it understands, and what it says of what it does not."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.routing.fault_wording import reason
from reports.routing.grammar import RuleSyntaxError, parse
from reports.routing.names import Vocabulary, check
from reports.routing.rules import Clock, Comparison, Condition, DueIn, Rule, Subject, from_data

NAMES = Vocabulary(
    services={
        "pothole": {"danger": ("singlevaluelist", ["yes", "no"]), "depth": ("number", [])},
        "lamp": {"number": ("string", [])},
    },
    groups={"roads", "lights"},
    areas={"wards": {"w1", "w2"}},
    teams={"desk", "roads"},
    sources={"app", "phone"},
)


def only(text: str) -> Rule:
    """The rule of a file that has one before `otherwise`."""
    first, last = parse(f"{text}\notherwise team desk\n")
    assert last.code == "otherwise"
    return first


def faults(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text)
    return [(fault.line, fault.word, reason(fault, "en")) for fault in caught.value.faults]


def unknown(text: str) -> list[tuple[int, str]]:
    rules = parse(f"{text}\notherwise team desk\n")
    return [(fault.line, fault.word) for fault in check(rules, NAMES)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("service pothole, lamp", Condition(Subject.SERVICE, ("pothole", "lamp"))),
        ("group roads", Condition(Subject.GROUP, ("roads",))),
        ("in wards: w1, w2", Condition(Subject.AREA, ("w1", "w2"), "wards")),
        ("not in wards: w1", Condition(Subject.AREA, ("w1",), "wards", negated=True)),
        ("attribute danger is yes", Condition(Subject.ATTRIBUTE, ("yes",), "danger")),
        ('attribute type is "WALL LIGHT"', Condition(Subject.ATTRIBUTE, ("WALL LIGHT",), "type")),
        (
            "attribute depth at least 10",
            Condition(Subject.ATTRIBUTE, ("10",), "depth", Comparison.AT_LEAST),
        ),
        (
            "attribute depth at most 2.5",
            Condition(Subject.ATTRIBUTE, ("2.5",), "depth", Comparison.AT_MOST),
        ),
        ('words "gas leak", "fuite # 1"', Condition(Subject.WORDS, ("gas leak", "fuite # 1"))),
        ("source phone", Condition(Subject.SOURCE, ("phone",))),
        ("service in, and, rule, then", Condition(Subject.SERVICE, ("in", "and", "rule", "then"))),
    ],
)
def test_conditions(condition: str, expected: Condition) -> None:
    rule = only(f"rule a\n when {condition}\n then team roads")
    assert rule.conditions == (expected,)


@pytest.mark.parametrize(
    ("words", "due", "level"),
    [
        ("4 hours", DueIn(4, "hours", Clock.CALENDAR), {"hours": 4, "clock": "calendar"}),
        ("8 working hours", DueIn(8, "hours", Clock.WORKING), {"hours": 8, "clock": "working"}),
        ("1 day", DueIn(1, "days", Clock.CALENDAR), {"hours": 24, "clock": "calendar"}),
        ("2 working days", DueIn(2, "days", Clock.WORKING), {"working_days": 2}),
    ],
)
def test_due_dates(words: str, due: DueIn, level: dict[str, object]) -> None:
    rule = only(f"rule a when group roads then team roads and due in {words}")
    assert rule.due == due
    assert due.as_service_level() == level


def test_actions_come_in_any_order_and_keep_their_words() -> None:
    rule = only("rule a when group roads then tag night, storm and priority urgent and team roads")
    assert (rule.team, rule.priority, rule.tags) == ("roads", 2, ("night", "storm"))


def test_a_rule_knows_its_line_and_text_without_the_comments_around_it() -> None:
    first, second, _ = parse(
        "# roads\n\nrule a\n  when group roads # all of them\n  then team roads\n\n"
        "# lights\nrule b when group lights then team desk\notherwise team desk"
    )
    assert (first.line, second.line) == (3, 8)
    assert first.text == "rule a\n  when group roads # all of them\n  then team roads"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, "", "the last line must be “otherwise team …”")),
        ("hello", (1, "hello", "a rule begins with")),
        ("rule a wen group x then team y", (1, "wen", "expected when")),
        ("rule a\n  whenn group x then team y", (2, "whenn", "expected when")),
        ("rule a when group x, y z then team y", (1, "z", "expected a comma or and or then")),
        ("rule a when service x\n then tem y", (2, "tem", "expected copy or due or person")),
        ("rule a when group x then tag y", (1, "a", "the rule names no team")),
        ("rule a when group x then team y and team z", (1, "z", "a second “team”")),
        ("rule a when group x then team y and priority big", (1, "big", "a priority is one of")),
        ("rule a when group x then team y and due in 0 days", (1, "0", "more than 0")),
        ("rule a when group x then team y and due in 3 weeks", (1, "weeks", "expected")),
        ("rule a when group x then team", (1, "", "expected a name; it ends here")),
        ("rule a when group x then team y !", (1, "!", "this character means nothing")),
        ('rule a when words "open then team y', (1, '"', "this character means nothing")),
    ],
)
def test_a_syntax_fault_names_line_word_and_what_was_expected(
    text: str, expected: tuple[int, str, str]
) -> None:
    ending = "\notherwise team desk" if text.startswith("rule") else ""
    line, word, reason = faults(text + ending)[0]
    assert (line, word) == expected[:2]
    assert expected[2] in reason


def test_a_fault_of_a_rule_points_at_its_name() -> None:
    text = (
        "rule  a when group x then team y\nrule a\n when group x then tag y\n  \notherwise team y"
    )
    for broken, expected in (
        (text.replace("tag", "team"), (2, 6, "a")),
        (text.replace("rule  a", "rule  b"), (2, 6, "a")),
        ("# first\n\n  hello\notherwise team y", (3, 3, "hello")),
    ):
        with pytest.raises(RuleSyntaxError) as caught:
            parse(broken)
        [fault] = caught.value.faults
        assert (fault.line, fault.column, fault.word) == expected


def test_a_very_long_word_is_cut() -> None:
    [(_, word, reason)] = faults(f"rule a {'x' * 5000} group x then team y\notherwise team y")
    assert (word, len(word)) == ("x" * 59 + "…", 60)
    assert "x" * 10 not in reason.replace(word, "")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("rule a when groups x then team y", "groups"),
        ("rule a when services then team y", "services"),
        ("rule a when service.x y then team z", "service.x"),
        ("rule a when not-group x then team y", "not-group"),
        ("rule a when group x andteam y then team z", "andteam"),
        ("rule a when group x thenteam y", "thenteam"),
        ("rule a when group x then teams y", "teams"),
        ("rule a when group x then team y and tagged z", "tagged"),
        ("rule a when attribute d is5 then team y", "is5"),
        ("rule a when attribute d at leastx 5 then team y", "leastx"),
        ("rule a when asset ownership x then team y", "ownership"),
        ("rule a when during-x working hours then team y", "during-x"),
        ("rule a when group x then team y and due in 4 hoursx", "hoursx"),
        ("rule a when group x then team y and copy tools z", "tools"),
    ],
)
def test_a_word_that_begins_like_a_keyword_is_not_that_keyword(text: str, word: str) -> None:
    [(line, found, reason)] = faults(f"# first\n{text}\notherwise team desk")
    assert (line, found) == (2, word)
    assert reason.startswith("expected ")


def test_names_and_addresses_may_begin_like_keywords() -> None:
    rule = only(
        "rule rules when group groups, in.x, then-y and in in: and1\n"
        " then team team and copy to and@x.fr, or-not"
    )
    assert [item.values for item in rule.conditions] == [("groups", "in.x", "then-y"), ("and1",)]
    assert (rule.team, rule.copies) == ("team", ("and@x.fr", "or-not"))


def test_every_broken_rule_is_listed_not_only_the_first() -> None:
    text = (
        "rule a whn group x then team y\n"
        "rule b when group x then team y\n"
        "rule c when grup x then team y\n"
        "rule b when group z then team y\n"
        "otherwise tem y\n"
        "rule d when group x then team y\n"
    )
    assert [(line, word) for line, word, _ in faults(text)] == [
        (1, "whn"),
        (3, "grup"),
        (4, "b"),
        (5, "tem"),
    ]


def test_nothing_may_follow_otherwise() -> None:
    found = faults("otherwise team y\nrule d when group x then team y\n")
    assert found == [(2, "d", "nothing comes after otherwise")]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("rule a when service pothole then team roads", []),
        ("rule a\n when service pothole, hole\n then team road", [(2, "hole"), (3, "road")]),
        ("rule a when group street then team roads", [(1, "street")]),
        ("rule a when in quarters: w1 then team roads", [(1, "quarters")]),
        ("rule a when in wards: w1, w9 then team roads", [(1, "w9")]),
        ("rule a when source fax then team roads", [(1, "fax")]),
        ('rule a when words " " then team roads', [(1, '""')]),
        # It would fit every report without a description.
        ('rule a when words "leak", "…!", "🚧" then team roads', [(1, '""'), (1, '""')]),
        ("rule a when attribute danger is yes then team roads", []),
        ("rule a when attribute danger is maybe then team roads", [(1, "maybe")]),
        ("rule a when attribute colour is red then team roads", [(1, "colour")]),
        ("rule a when attribute number is 7 then team roads", []),
        ("rule a when attribute number at least 7 then team roads", [(1, "number")]),
        ("rule a when attribute depth at least 7 then team roads", []),
        (
            "rule a when service lamp and attribute danger is yes then team roads",
            [(1, "danger")],
        ),
        (
            "rule a when service lamp, pothole and attribute danger is yes then team roads",
            [(1, "danger")],
        ),
    ],
)
def test_unknown_names_are_faults_at_their_word(rule: str, expected: list[tuple[int, str]]) -> None:
    assert unknown(rule) == expected


codes = st.from_regex(r"\A[a-z][a-z0-9_-]{0,8}\Z")
condition_texts = st.one_of(
    st.lists(codes, min_size=1, max_size=3).map(lambda c: f"service {', '.join(c)}"),
    st.tuples(codes, codes).map(lambda c: f"not in {c[0]}: {c[1]}"),
    st.tuples(codes, st.integers(0, 99)).map(lambda c: f"attribute {c[0]} at least {c[1]}"),
    st.from_regex(r'\A[^"\n\r\v\f\x1c-\x1e\x85\u2028\u2029]{1,9}\Z').map(lambda w: f'words "{w}"'),
)


@given(st.lists(condition_texts, min_size=1, max_size=4), codes, codes)
def test_what_is_stored_reads_back_as_the_same_rule(
    conditions: list[str], code: str, team: str
) -> None:
    joined = "\n and ".join(conditions)
    rule = only(f"rule {code}\n when {joined}\n then team {team} and due in 2 working days")
    assert from_data(rule.as_data(), text=rule.text, line=rule.line) == rule


@given(st.text(max_size=80))
def test_any_text_is_rules_or_faults_never_a_crash(text: str) -> None:
    with contextlib.suppress(RuleSyntaxError):
        assert parse(text)[-1].code == "otherwise"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("asset owner roads, desk", Condition(Subject.OWNER, ("roads", "desk"))),
        ("during working hours", Condition(Subject.HOURS, ("during",))),
        ("outside working hours", Condition(Subject.HOURS, ("outside",))),
        ("from 1 Nov to 31 March", Condition(Subject.SEASON, ("11-01", "03-31"))),
        ("on sunday, holidays", Condition(Subject.DAY, ("sunday", "holidays"))),
        ("not on holidays", Condition(Subject.DAY, ("holidays",), negated=True)),
    ],
)
def test_conditions_on_owner_and_time(condition: str, expected: Condition) -> None:
    rule = only(f"rule a\n when {condition} and group roads\n then team roads")
    assert rule.conditions[0] == expected


def test_a_rule_names_a_person_and_who_gets_a_copy() -> None:
    rule = only(
        "rule a when group roads then team roads and person Ann@x.fr and copy to desk, b@y.fr"
    )
    assert (rule.person, rule.copies) == ("ann@x.fr", ("desk", "b@y.fr"))
    assert from_data(rule.as_data(), text=rule.text, line=rule.line) == rule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 31 Nov to 3 Mar then team y", (1, "31", "nov has the days 1 to 30")),
        ("from 1 Brumaire to 3 Mar then team y", (1, "Brumaire", "a month is one of jan")),
        ("on dimanche then team y", (1, "dimanche", "a day is one of monday")),
        ("group x then team y and person bob", (1, "bob", "expected an e-mail address")),
        ("during lunch then team y", (1, "lunch", "expected working")),
    ],
)
def test_faults_of_time_and_person_name_the_word(text: str, expected: tuple[int, str, str]) -> None:
    line, word, reason = faults(f"rule a when {text}\notherwise team desk")[0]
    assert (line, word) == expected[:2]
    assert expected[2] in reason


def test_a_person_is_looked_up_where_people_are_known() -> None:
    rules = parse("rule a when group roads then team roads and person c@x.fr\notherwise team desk")
    assert check(rules, NAMES) == []
    [fault] = check(rules, replace(NAMES, people={"ann@x.fr"}))
    assert (fault.line, fault.word) == (1, "c@x.fr")
    copied = parse(
        "rule a when group roads then team roads and copy to desk, street\notherwise team desk"
    )
    assert [fault.word for fault in check(copied, NAMES)] == ["street"]
