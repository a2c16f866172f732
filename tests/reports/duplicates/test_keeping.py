"""A city's own models: which judges, what it learns from, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from core.clock import utc_now
from geo.measures import Point
from reports.catalogue import catalogue_of, forget
from reports.duplicates import finding, joining, judging, keeping
from reports.duplicates.model import Model
from reports.history import Author
from reports.models import Service
from reports.vocabulary import ActorKind
from tests.factories import new_jurisdiction, new_report, new_service

COMEDIE = Point(43.6085, 3.8795)


def own_model() -> Model:
    return replace(judging.default_model(), version="its own")


def judge_name(session: Session, service: Service) -> str:
    session.flush()
    forget()
    catalogue = catalogue_of(session, service.jurisdiction_id)
    return finding.judge_of(session, catalogue).name


def test_a_city_is_judged_by_the_model_that_ships_until_it_has_its_own(session: Session) -> None:
    service = new_service(session, new_jurisdiction(session))
    shipped = judge_name(session, service)
    assert shipped == f"learned/{judging.default_model().version}"
    catalogue = catalogue_of(session, service.jurisdiction_id)
    assert keeping.keep(session, catalogue, own_model(), activate=False, now=utc_now()) == 1
    assert judge_name(session, service) == shipped
    assert keeping.keep(session, catalogue, own_model(), activate=True, now=utc_now()) == 2
    assert judge_name(session, service) == "learned/its own"
    assert [(row.version, row.is_active) for row in keeping.versions(session, catalogue)] == [
        (2, True),
        (1, False),
    ]
    keeping.put_in_force(session, catalogue, 0)
    assert judge_name(session, service) == shipped
    keeping.put_in_force(session, catalogue, 1)
    assert judge_name(session, service) == "learned/its own"


@pytest.mark.parametrize("version", [7, -1, 10**20])
def test_a_version_that_does_not_exist_changes_nothing(session: Session, version: int) -> None:
    service = new_service(session, new_jurisdiction(session))
    catalogue = catalogue_of(session, service.jurisdiction_id)
    keeping.keep(session, catalogue, own_model(), activate=True, now=utc_now())
    with pytest.raises(keeping.NoSuchVersionError):
        keeping.put_in_force(session, catalogue, version)
    assert judge_name(session, service) == "learned/its own"


def test_a_city_learns_from_what_people_said(session: Session) -> None:
    service = new_service(session, new_jurisdiction(session))
    first, same, other = (new_report(session, service, at=COMEDIE) for _ in range(3))
    joining.join(session, same, first, by=Author(ActorKind.STAFF, None), now=utc_now())
    catalogue = catalogue_of(session, service.jurisdiction_id)
    past = keeping.past_of(session, catalogue, judging.own_kinds(catalogue))
    said = {each.report.id: (each.is_duplicate, each.parent_id) for each in past}
    assert said == {
        first.id: (False, None),
        same.id: (True, first.id),
        other.id: (False, None),
    }
    labelled = {each.report.id for each in past if each.closed_at is not None}
    assert labelled == {same.id}
