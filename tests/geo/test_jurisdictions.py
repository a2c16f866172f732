"""Which jurisdiction is meant, and how soon a change is seen."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.errors import (
    JurisdictionNeededError,
    NoJurisdictionError,
    OutsideJurisdictionError,
    UnknownJurisdictionError,
)
from geo.jurisdictions import CHECK_EVERY_S, Jurisdictions
from geo.loading import AreaSpec, load_areas, load_jurisdiction
from geo.measures import Point
from geo.models import Jurisdiction
from tests.geo.cities import square, town
from tests.statements import count_statements

BOURG, BOSTON, NOWHERE = Point(43.6, 3.87), Point(42.35, -71.06), Point(0, 0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Jurisdictions:
    return Jurisdictions(clock)


def load_boston(session: Session) -> int:
    return load_jurisdiction(
        session,
        town(
            "boston",
            names={"en": "Boston"},
            locales=["en"],
            default_locale="en",
            country="US",
            time_zone="America/New_York",
            boundary=square(-71.2, 42.2, -70.9, 42.4),
        ),
    ).id


def test_without_any_city_the_service_is_not_ready(session: Session, known: Jurisdictions) -> None:
    with pytest.raises(NoJurisdictionError):
        known.resolve(session)


def test_the_only_jurisdiction_needs_no_name(session: Session, known: Jurisdictions) -> None:
    load_jurisdiction(session, town())
    meant = known.resolve(session)
    assert meant.code == "bourg"
    assert known.resolve(session, point=BOURG) is meant
    assert meant.name("en") == "The Borough"
    assert meant.name("de") == "Le Bourg"
    assert meant.time_zone.key == "Europe/Paris"


def test_of_several_the_position_decides_before_the_default(
    session: Session, known: Jurisdictions
) -> None:
    load_jurisdiction(session, town())
    load_boston(session)
    assert known.resolve(session, point=BOSTON, default="bourg").code == "boston"
    assert known.resolve(session, point=BOURG).code == "bourg"
    assert known.resolve(session, default="boston").code == "boston"
    assert known.resolve(session, code="bourg", default="boston").code == "bourg"
    assert [each.code for each in known.all(session)] == ["boston", "bourg"]


def test_without_anything_to_decide_by_the_caller_is_asked(
    session: Session, known: Jurisdictions
) -> None:
    load_jurisdiction(session, town())
    load_boston(session)
    with pytest.raises(JurisdictionNeededError) as asked:
        known.resolve(session)
    problem = asked.value.problem()
    assert problem["status"] == 422
    assert problem["known"] == ["boston", "bourg"]
    assert "jurisdiction" in problem["errors"]


def test_a_place_outside_is_refused_by_the_name_of_its_field(
    session: Session, known: Jurisdictions
) -> None:
    load_jurisdiction(session, town())
    with pytest.raises(OutsideJurisdictionError) as alone:
        known.resolve(session, point=NOWHERE)
    assert alone.value.field == "lat"
    assert alone.value.code == "outside_jurisdiction"
    load_boston(session)
    known.forget()
    with pytest.raises(OutsideJurisdictionError):
        known.resolve(session, point=NOWHERE, default="bourg")
    with pytest.raises(OutsideJurisdictionError):
        known.resolve(session, code="bourg", point=BOSTON)


def test_an_unknown_code_is_refused(session: Session, known: Jurisdictions) -> None:
    load_jurisdiction(session, town())
    with pytest.raises(UnknownJurisdictionError) as refused:
        known.resolve(session, code="atlantis")
    assert refused.value.field == "jurisdiction"


def test_where_two_overlap_the_default_is_meant_else_the_smaller(
    session: Session, known: Jurisdictions
) -> None:
    load_jurisdiction(session, town())
    load_jurisdiction(session, town("metropole", boundary=square(3, 43, 5, 44)))
    assert known.resolve(session, point=BOURG).code == "bourg"
    assert known.resolve(session, point=BOURG, default="metropole").code == "metropole"


def test_for_a_second_nothing_is_asked_then_one_statement(
    session: Session, known: Jurisdictions, clock: Clock
) -> None:
    load_jurisdiction(session, town())
    first = known.resolve(session)
    with count_statements() as statements:
        clock.now += CHECK_EVERY_S / 2
        assert known.resolve(session, point=BOURG) is first
        assert statements == []
        clock.now += CHECK_EVERY_S
        assert known.resolve(session) is first
    assert len(statements) == 1


def test_a_change_is_seen_after_a_second_and_others_are_not_read_again(
    session: Session, known: Jurisdictions, clock: Clock
) -> None:
    id_ = load_jurisdiction(session, town()).id
    load_boston(session)
    before, boston = known.by_id(session, id_), known.by_code(session, "boston")
    load_areas(session, id_, [AreaSpec("wards", "1", {"fr": "Un"}, square(3.8, 43.55, 3.9, 43.6))])
    assert known.by_id(session, id_) is before
    clock.now += CHECK_EVERY_S
    after = known.by_id(session, id_)
    assert after.version > before.version
    assert [ref.code for ref in after.areas.containing([Point(43.57, 3.85)])[0]] == ["1"]
    assert known.by_code(session, "boston") is boston


def test_what_was_rolled_back_is_not_kept(
    session: Session, known: Jurisdictions, clock: Clock
) -> None:
    load_jurisdiction(session, town())
    attempt = session.begin_nested()
    load_jurisdiction(session, town(names={"fr": "Rêve"}))
    assert known.resolve(session).name("fr") == "Rêve"
    attempt.rollback()
    load_jurisdiction(session, town(names={"fr": "Réalité"}))
    clock.now += CHECK_EVERY_S
    assert known.resolve(session).name("fr") == "Réalité"


def test_a_city_loaded_this_second_is_found_by_its_rows(
    session: Session, known: Jurisdictions
) -> None:
    load_jurisdiction(session, town())
    known.resolve(session)
    id_ = load_boston(session)
    assert known.by_id(session, id_).code == "boston"
    session.execute(sa.delete(Jurisdiction).where(Jurisdiction.id == id_))
    with pytest.raises(KeyError):
        known.by_id(session, -1)
