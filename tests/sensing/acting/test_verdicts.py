"""What a defect is taken for is kept with the version of it that was judged."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sensing.acting import verdicts
from sensing.models import RoadDefect
from tests.sensing.defects import new_defect, new_road_city


def verdict_of(session: Session) -> str | None:
    return session.scalar(sa.select(RoadDefect.verdict))


def test_a_verdict_is_stored_once(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    assert verdicts.give(session, [defect.id]) == 1
    assert verdict_of(session) == "actionable"
    assert verdicts.give(session, [defect.id]) == 0


def test_a_defect_that_changed_meanwhile_is_left_to_its_next_verdict(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    judgements = verdicts.judged(session, [defect])
    one = sa.update(RoadDefect).where(RoadDefect.id == defect.id)
    session.execute(
        one.values(version=RoadDefect.version + 1), execution_options={"synchronize_session": False}
    )
    assert verdicts.keep(session, [defect], judgements) == 0
    assert verdict_of(session) is None
    assert verdicts.give(session, [defect.id]) == 1
