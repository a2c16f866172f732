"""The table that ties defects to the service requests about them."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from core.ids import new_id
from sensing.acting.vocabulary import CaseState

#: Of these a place has at most one; a test holds them to `sensing.acting.rules.LIVE`.
_LIVE = f"state IN ('{CaseState.OPEN}', '{CaseState.REPAIRED}')"


class DefectCase(Base):
    """A defect that the city was told of: the request about it, and what became of that."""

    __tablename__ = "defect_cases"
    __table_args__ = (
        one_of("state", CaseState, "state"),
        # However many workers hear of a defect at once, one of them opens a request.
        sa.Index("uq_defect_cases_live", "defect_id", unique=True, postgresql_where=sa.text(_LIVE)),
        sa.Index("ix_defect_cases_place", "jurisdiction_id", "place_cell"),
        sa.Index("ix_defect_cases_report_id", "report_id"),
        sa.Index(
            "ix_defect_cases_repaired",
            "checked_at",
            postgresql_where=sa.text(f"state = '{CaseState.REPAIRED}'"),
        ),
        sa.Index(
            "ix_defect_cases_confirmed",
            "confirmed_at",
            postgresql_where=sa.text("confirmed_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    defect_id: Mapped[UUID] = mapped_column(
        comment="The defect as it is called now: it may pass to a neighbouring cell"
    )
    packet: Mapped[int] = mapped_column(sa.BigInteger)
    cell: Mapped[int] = mapped_column(
        sa.BigInteger, comment="H3 cell of resolution 12 in which a repair is verified"
    )
    octant: Mapped[int] = mapped_column(sa.SmallInteger)
    place_cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    lat: Mapped[float]
    lon: Mapped[float]
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    is_opened: Mapped[bool] = mapped_column(
        comment="The request came from it; false: a citizen's, which it strengthens"
    )
    state: Mapped[str]
    hits: Mapped[int] = mapped_column(comment="Trips that felt it, as of the last change")
    said_hits: Mapped[int] = mapped_column(comment="Of those, how many the team was told of")
    witnesses: Mapped[int] = mapped_column(comment="How many people the trips count for")
    opened_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(comment="When it was dismissed")
    repaired_day: Mapped[int | None] = mapped_column(comment="Since 1970-01-01 UTC")
    checked_at: Mapped[datetime | None] = mapped_column(comment="When later trips were last asked")
    confirmed_at: Mapped[datetime | None]


class DefectRound(Base):
    """The last day on which a city's defects were acted on: once a day, all at once.

    The hour at which a request appears then tells nobody when a car came by.
    """

    __tablename__ = "defect_rounds"

    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger,
        sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    day: Mapped[date] = mapped_column(comment="The last on which its defects were acted on")
