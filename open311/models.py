"""What the server side keeps of its own: tokens it gave out, what it was sent and has to do."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class RequestToken(Base):
    """A token that a batch service answered with; leads to the request that it stands for."""

    __tablename__ = "open311_tokens"

    token: Mapped[str] = mapped_column(primary_key=True)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"), unique=True)
    created_at: Mapped[datetime]


class ReceivedUpdate(Base):
    """An update that another system sent, so that the same one is stored once."""

    __tablename__ = "open311_received_updates"
    __table_args__ = (sa.UniqueConstraint("person_id", "report_id", "update_id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(comment="Whose key it was sent with")
    update_id: Mapped[str] = mapped_column(comment="The sender's own id of it")
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"), index=True)
    history_id: Mapped[int | None] = mapped_column(
        sa.BigInteger, comment="What it became; null: nothing in it was news"
    )
    created_at: Mapped[datetime]


class FiledContent(Base):
    """What was filed a moment ago, so that a client that did not hear the answer files it once."""

    __tablename__ = "open311_filed_contents"

    digest: Mapped[bytes] = mapped_column(primary_key=True, comment="HMAC of key and parameters")
    report_id: Mapped[UUID] = mapped_column(index=True, comment="Written before the request is")
    filed_at: Mapped[datetime] = mapped_column(index=True)


class LinkedPhoto(Base):
    """The address of a photo that came with a request; gone once it was fetched or given up."""

    __tablename__ = "open311_linked_photos"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"), index=True)
    url: Mapped[str]
    added_by: Mapped[str] = mapped_column(
        server_default=sa.text("'reporter'"), comment="reporter, staff or machine: an ActorKind"
    )
    next_attempt_at: Mapped[datetime] = mapped_column(
        index=True, comment="While a worker fetches it, the end of its lease"
    )
    claims: Mapped[int] = mapped_column(server_default=sa.text("0"))
    failures: Mapped[int] = mapped_column(server_default=sa.text("0"))
    created_at: Mapped[datetime]
