"""Comparing a report again that was triaged before its photos could be seen.

Photos are cleaned in a queue of their own and triage does not wait for them. What they add can only
end in a suggestion: the report has its team by now, and people were told of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from reports.catalogue import catalogue_of
from reports.duplicates import finding
from reports.duplicates.rules import DuplicateJudge, Outcome, Verdicts
from reports.triage_rows import COMPARED, features_of
from reports.vocabulary import OPEN_STATUSES

_NOTHING_SAID = Verdicts()


def compare_again(
    session: Session,
    report_ids: Sequence[UUID],
    *,
    now: datetime,
    judge: DuplicateJudge | None = None,
) -> int:
    """Suggest to staff what these reports may repeat; how many have a suggestion now.

    In the caller's transaction, a constant number of statements. What repeats another report
    already, is over or is not triaged yet is left alone; what is suggested stays suggested.
    """
    asked = []
    rows = session.execute(_TO_COMPARE, {"ids": list(report_ids)}).all()
    for row in rows:
        catalogue = catalogue_of(session, row.jurisdiction_id)
        decider = judge or finding.judge_of(session, catalogue)
        report = features_of(row, catalogue.by_id[row.service_id], catalogue, decider)
        question = finding.question_of(row.jurisdiction_id, report, decider.search(report))
        if question is not None and report.photo_hashes:
            asked.append((row, report, question, decider))
    if not asked:
        return 0
    found = finding.candidates(session, [question for _, _, question, _ in asked])
    shown = finding.with_photos(session, [leader for some in found for leader in some])
    said = finding.verdicts_on(session, [row.id for row, _, _, _ in asked])
    ids, suggested, records = [], [], []
    for (row, report, _, decider), some in zip(asked, found, strict=True):
        verdicts = said.get(row.id, _NOTHING_SAID)
        refused = {*verdicts.not_same, *(row.not_same_as or ())}
        decision = decider.decide(
            report,
            [shown[leader.id] for leader in some if leader.id != row.id],
            replace(verdicts, not_same=refused),
        )
        if decision.outcome is Outcome.APART or decision.parent_id is None:
            continue
        decision = replace(decision, outcome=Outcome.SUGGESTED)
        ids.append(row.id)
        suggested.append(decision.parent_id)
        records.append(decision.as_data(decider.name))
    if ids:
        session.execute(
            _STORE, {"ids": ids, "suggested": suggested, "records": records, "now": now}
        )
    return len(ids)


_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

_TO_COMPARE = sa.text(
    f"""
    SELECT {COMPARED}
      FROM service_requests AS r
     WHERE r.id = ANY (:ids ::uuid[]) AND r.parent_id IS NULL AND r.triaged_at IS NOT NULL
       AND r.status IN ({_OPEN})
     ORDER BY r.id
       FOR UPDATE OF r
    """
)

_STORE = sa.text(
    """
    UPDATE service_requests AS r
       SET suggested_id = f.suggested_id, duplicate = f.record, updated_at = :now,
           version = r.version + 1
      FROM unnest(:ids ::uuid[], :suggested ::uuid[], :records ::jsonb[])
           AS f(id, suggested_id, record)
     WHERE r.id = f.id
    """
).bindparams(sa.bindparam("records", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))))
