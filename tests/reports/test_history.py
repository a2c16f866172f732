"""Appending to the history: order, instants, and that nothing edits it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import history
from reports.history import SYSTEM, Entry
from reports.models import HistoryEntry
from reports.vocabulary import HistoryKind, Status
from tests import factories
from tests.factories import WEDNESDAY


def test_entries_keep_their_order_and_a_replayed_past_its_instants(session: Session) -> None:
    report = factories.new_report(session, history=False)
    long_ago = WEDNESDAY - timedelta(days=4000)
    ids = history.append(
        session,
        [
            Entry(report.id, HistoryKind.LOCATED, SYSTEM, data={"areas": [1]}, at=long_ago),
            Entry(report.id, HistoryKind.STATUS, SYSTEM, Status.RECEIVED, Status.TRIAGED),
        ],
        now=WEDNESDAY,
    )
    stored = session.scalars(
        sa.select(HistoryEntry).where(HistoryEntry.report_id == report.id).order_by(HistoryEntry.id)
    ).all()
    assert [entry.id for entry in stored] == ids
    assert [entry.at for entry in stored] == [long_ago, WEDNESDAY]
    assert [entry.kind for entry in stored] == ["located", "status"]
    assert stored[0].data == {"areas": [1]}
    assert (stored[1].from_status, stored[1].to_status) == ("received", "triaged")


@pytest.mark.parametrize("change", ["UPDATE history SET kind = 'added'", "DELETE FROM history"])
def test_nothing_edits_it(session: Session, change: str) -> None:
    factories.new_report(session)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), session.begin_nested():
        session.execute(sa.text(change))
