"""Whom routing rules name is told so, and is taken out of what is history."""

from __future__ import annotations

from sqlalchemy.orm import Session

from accounts.people_data import Who
from core.clock import utc_now
from reports import people_data
from reports.models import RoutingRuleVersion
from tests.factories import new_jurisdiction, stored

NOW = utc_now()
ANN = Who(email="ann@ville.example")

PAST = (
    "# Ann's desk: Ann@Ville.example\n"
    "rule roads when group roads then team roads and person ann@ville.example\n"
    "otherwise team desk and copy to joann@ville.example"
)
NOW_IN_FORCE = "otherwise team desk and copy to ann@ville.example"
FREE = "otherwise team desk and copy to bureau@ville.example"


def keep(session: Session, *texts: str) -> str:
    """A city whose rules had these texts, the last one being in force; its code."""
    city = new_jurisdiction(session)
    for number, text in enumerate(texts, start=1):
        session.add(
            RoutingRuleVersion(
                jurisdiction_id=city.id, version=number, text=text, origin="manager", created_at=NOW
            )
        )
    session.flush()
    return city.code


def texts(session: Session) -> list[str]:
    session.expire_all()
    return [row.text for row in stored(session, RoutingRuleVersion)]


def test_whoever_asks_hears_in_which_lines_they_are_named(session: Session) -> None:
    code = keep(session, PAST, FREE, NOW_IN_FORCE)
    found = people_data.held(session, ANN).documents["routing_rules"]
    assert [(row["version"], row["line"], row["is_in_force"]) for row in found] == [
        (1, 1, False),
        (1, 2, False),
        (3, 1, True),
    ]
    assert {row["jurisdiction"] for row in found} == {code}
    assert (
        people_data.held(session, Who(email="ben@ville.example")).documents["routing_rules"] == []
    )


def test_erasing_clears_the_past_and_names_the_rules_in_force(session: Session) -> None:
    code = keep(session, PAST, FREE, NOW_IN_FORCE)
    erased = people_data.erase(session, ANN, NOW)
    assert erased.counts["earlier routing rules that named them"] == 1
    [kept] = erased.kept
    assert f"rules of {code} in force" in kept
    past, free, in_force = texts(session)
    assert past.splitlines() == [
        "# Ann's desk: […]",
        "rule roads when group roads then team roads and person […]",
        "otherwise team desk and copy to joann@ville.example",
    ]
    assert (free, in_force) == (FREE, NOW_IN_FORCE)


def test_once_the_rules_are_changed_nothing_stays(session: Session) -> None:
    keep(session, NOW_IN_FORCE, FREE)
    erased = people_data.erase(session, ANN, NOW)
    assert (erased.counts["earlier routing rules that named them"], erased.kept) == (1, [])
    again = people_data.erase(session, ANN, NOW)
    assert again.counts["earlier routing rules that named them"] == 0
