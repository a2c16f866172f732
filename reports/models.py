"""Tables of the service request: catalogue, requests, history, words, followers, photos, rules."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from core.ids import new_id
from reports.vocabulary import (
    OPEN_STATUSES,
    ActorKind,
    HistoryKind,
    NoteKind,
    PhotoState,
    PlaceSource,
    RedactedPart,
    RulesOrigin,
    ServiceKind,
    Source,
    Status,
    Visibility,
)

_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

#: Begins the indexes of leaders: the week in which a report was over, counted from 1970, and 0
#: while it is open. So what is open and the last weeks are few stretches of an index, however many
#: years are stored.
WEEK_OVER = (
    "coalesce((extract(epoch FROM coalesce(resolved_at, closed_at) AT TIME ZONE 'UTC')"
    " / 604800)::integer, 0)"
)

#: In the indexes as in the searches: no other index looks as good to the planner then.
_SERVICE = "(service_id + 0)"


class Service(Base):
    """A kind of problem the city takes reports of: an entry of the catalogue."""

    __tablename__ = "services"
    __table_args__ = (
        sa.UniqueConstraint("jurisdiction_id", "code"),
        one_of("kind", ServiceKind, "kind"),
        sa.CheckConstraint("public_precision IN ('exact', 'block')", name="public_precision"),
        sa.CheckConstraint("moderation IN ('none', 'before_publication')", name="moderation"),
        sa.CheckConstraint("recurrence IN ('reopen', 'new')", name="recurrence"),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    code: Mapped[str]
    group: Mapped[str] = mapped_column(comment="Code of the group it is listed under")
    group_names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name of the group")
    names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name")
    descriptions: Mapped[dict[str, Any]] = mapped_column(comment="locale → one sentence")
    keywords: Mapped[dict[str, Any]] = mapped_column(comment="locale → list of words")
    kind: Mapped[str] = mapped_column(server_default=sa.text("'realtime'"))
    position: Mapped[int] = mapped_column(comment="Order in the catalogue")
    attributes: Mapped[list[Any]] = mapped_column(
        server_default=sa.text("'[]'::jsonb"),
        comment="Service definition: code, datatype, required, order, descriptions, values",
    )
    family: Mapped[str] = mapped_column(comment="Services that can be duplicates of one another")
    duplicate_radius_m: Mapped[float]
    duplicate_days: Mapped[float]
    duplicate_join_at: Mapped[float | None] = mapped_column(
        comment="Joined without asking from that likelihood on; null: as the model says"
    )
    duplicate_suggest_at: Mapped[float | None] = mapped_column(
        comment="Shown to staff from that likelihood on; null: as the model says"
    )
    recurrence: Mapped[str] = mapped_column(
        server_default=sa.text("'new'"),
        comment="Told again after repair: reopen the first report, or a new one linked to it",
    )
    recurrence_days: Mapped[int] = mapped_column(
        sa.SmallInteger,
        server_default=sa.text("30"),
        comment="For so long after repair it is the same problem coming back",
    )
    evidence_priority: Mapped[list[Any]] = mapped_column(
        server_default=sa.text("'[[5, 1], [20, 2]]'::jsonb"),
        comment="Pairs: so many people make it at least so urgent",
    )
    service_level: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="See reports.service_levels"
    )
    reopen_days: Mapped[int] = mapped_column(
        sa.SmallInteger, comment="How long the reporter may say that it is not fixed"
    )
    close_after_days: Mapped[int] = mapped_column(
        sa.SmallInteger, comment="Resolved becomes closed by itself after so many days"
    )
    volunteers_resolve: Mapped[bool] = mapped_column(
        server_default=sa.false(),
        comment="Whoever looks after the asset may say that it is done",
    )
    public_precision: Mapped[str] = mapped_column(server_default=sa.text("'exact'"))
    moderation: Mapped[str] = mapped_column(server_default=sa.text("'none'"))
    retention: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"),
        comment="Days after closing: contacts_days (anonymise), photos_days (delete photos)",
    )
    emergency: Mapped[dict[str, Any] | None] = mapped_column(
        comment="A number to call instead: {phone, text: locale → words}; cannot be filed"
    )
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())


class ServiceRequest(Base):
    """A report: one problem, at one place, told by one person."""

    __tablename__ = "service_requests"
    __table_args__ = (
        sa.UniqueConstraint("jurisdiction_id", "number"),
        one_of("status", Status, "status"),
        one_of("source", Source, "source"),
        one_of("place_source", PlaceSource, "place_source"),
        one_of("visibility", Visibility, "visibility"),
        sa.CheckConstraint("(lat IS NULL) = (lon IS NULL)", name="whole_position"),
        sa.CheckConstraint(
            "(status = 'duplicate') = (parent_id IS NOT NULL)", name="duplicate_has_parent"
        ),
        sa.CheckConstraint("priority_by IN ('evidence', 'person')", name="priority_by"),
        # Candidates of the duplicate search: by place, by address, by asset. Without the
        # jurisdiction, because other indexes that begin so look as good while the table is young.
        sa.Index(
            "ix_service_requests_leading_cell",
            sa.text(WEEK_OVER),
            sa.text("(cell + 0)"),
            sa.text(_SERVICE),
            postgresql_where=sa.text("parent_id IS NULL AND cell IS NOT NULL"),
        ),
        sa.Index(
            "ix_service_requests_leading_address",
            sa.text(WEEK_OVER),
            "address_street",
            "address_number",
            sa.text(_SERVICE),
            postgresql_where=sa.text("parent_id IS NULL AND address_number IS NOT NULL"),
        ),
        sa.Index(
            "ix_service_requests_leading_asset",
            sa.text(WEEK_OVER),
            "asset_id",
            sa.text(_SERVICE),
            postgresql_where=sa.text("parent_id IS NULL AND asset_id IS NOT NULL"),
        ),
        # Which suggestions name a report, and what staff are asked, oldest due first.
        sa.Index(
            "ix_service_requests_suggested",
            "suggested_id",
            postgresql_where=sa.text("suggested_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_service_requests_may_repeat",
            "jurisdiction_id",
            "due_at",
            "id",
            postgresql_where=sa.text("suggested_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_service_requests_recurs_id",
            "recurs_id",
            postgresql_where=sa.text("recurs_id IS NOT NULL"),
        ),
        # What is and was reported of an asset.
        sa.Index(
            "ix_service_requests_asset",
            "asset_id",
            "requested_at",
            postgresql_where=sa.text("asset_id IS NOT NULL"),
        ),
        sa.Index("ix_service_requests_cell", "jurisdiction_id", "cell"),
        sa.Index("ix_service_requests_requested_at", "jurisdiction_id", "requested_at", "id"),
        sa.Index("ix_service_requests_updated_at", "jurisdiction_id", "updated_at", "id"),
        sa.Index("ix_service_requests_service", "service_id", "requested_at"),
        # The queue of a team: oldest due first.
        sa.Index(
            "ix_service_requests_queue",
            "team_id",
            "due_at",
            "id",
            postgresql_where=sa.text(f"status IN ({_OPEN})"),
        ),
        sa.Index(
            "ix_service_requests_resolved",
            "resolved_at",
            postgresql_where=sa.text("status = 'resolved'"),
        ),
        sa.Index(
            "ix_service_requests_parent_id",
            "parent_id",
            postgresql_where=sa.text("parent_id IS NOT NULL"),
        ),
        # What a city has to do, oldest due first; a team's and a person's own lists.
        sa.Index(
            "ix_service_requests_due",
            "jurisdiction_id",
            "due_at",
            "id",
            postgresql_where=sa.text(f"status IN ({_OPEN})"),
        ),
        sa.Index(
            "ix_service_requests_team",
            "team_id",
            "requested_at",
            "id",
            postgresql_where=sa.text("team_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_service_requests_assignee",
            "assignee_id",
            "requested_at",
            "id",
            postgresql_where=sa.text("assignee_id IS NOT NULL"),
        ),
        # The queue of those that nobody could place.
        sa.Index(
            "ix_service_requests_unplaced",
            "jurisdiction_id",
            "due_at",
            "id",
            postgresql_where=sa.text(f"status IN ({_OPEN}) AND cell IS NULL"),
        ),
        sa.Index(
            "ix_service_requests_submitted_by",
            "submitted_by",
            postgresql_where=sa.text("submitted_by IS NOT NULL"),
        ),
        # What retention has still to look at.
        sa.Index(
            "ix_service_requests_kept_contacts",
            "closed_at",
            postgresql_where=sa.text("closed_at IS NOT NULL AND anonymised_at IS NULL"),
        ),
        sa.Index(
            "ix_service_requests_kept_photos",
            "closed_at",
            postgresql_where=sa.text("closed_at IS NOT NULL AND photos_deleted_at IS NULL"),
        ),
        sa.Index("ix_service_requests_search", "search", postgresql_using="gin"),
        sa.Index("ix_service_requests_areas", "areas", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(sa.SmallInteger)
    number: Mapped[int] = mapped_column(
        sa.BigInteger, comment="What people call it; from the jurisdiction's own sequence"
    )
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("services.id"))
    source: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=sa.text("'received'"))
    priority: Mapped[int] = mapped_column(
        sa.SmallInteger, server_default=sa.text("0"), comment="Higher is more urgent; 0 is normal"
    )
    priority_base: Mapped[int] = mapped_column(
        sa.SmallInteger,
        server_default=sa.text("0"),
        comment="What the rules gave it, before evidence or a person changed it",
    )
    priority_by: Mapped[str | None] = mapped_column(
        comment="null: the rules; evidence: many told of it; person: final"
    )
    visibility: Mapped[str] = mapped_column(server_default=sa.text("'public'"))
    review: Mapped[dict[str, Any] | None] = mapped_column(
        comment="Why it is or was held for review: kinds of findings, never their words"
    )
    display: Mapped[str] = mapped_column(server_default=sa.text("'anonymous'"))
    description: Mapped[str] = mapped_column(server_default=sa.text("''"))
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=sa.text("'{}'::jsonb"))
    locale: Mapped[str | None] = mapped_column(comment="Language it was written in, if known")

    lat: Mapped[float | None]
    lon: Mapped[float | None]
    cell: Mapped[int | None] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    accuracy_m: Mapped[float | None] = mapped_column(comment="Of the phone's position, 68 %")
    place_source: Mapped[str]
    address_given: Mapped[str | None] = mapped_column(comment="As the reporter wrote it")
    address: Mapped[str | None] = mapped_column(comment="As the gazetteer writes it")
    address_id: Mapped[str | None] = mapped_column(
        comment="The city's own id of that address, as Open311 takes it"
    )
    postcode: Mapped[str | None] = mapped_column(comment="Of that address")
    areas: Mapped[list[int] | None] = mapped_column(
        postgresql.ARRAY(sa.Integer()), comment="Ids of areas that contain the position"
    )
    asset_id: Mapped[UUID | None]
    asset_link: Mapped[dict[str, Any] | None] = mapped_column(
        comment="Why that asset: by nearest (distance_m, radius_m, kind) or person; null: reporter"
    )
    address_street: Mapped[str | None] = mapped_column(
        comment="Key of the address's street, for comparing only"
    )
    address_number: Mapped[str | None] = mapped_column(
        comment="Key of the address's house number, for comparing only"
    )

    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("teams.id"))
    assignee_id: Mapped[UUID | None]
    routed_by: Mapped[str | None] = mapped_column(comment="rule or person; a person is final")
    routing: Mapped[dict[str, Any] | None] = mapped_column(comment="Explanation now in force")

    parent_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("service_requests.id"))
    joined_count: Mapped[int] = mapped_column(
        server_default=sa.text("0"), comment="How many reports are joined to it now"
    )
    sensed_by: Mapped[int] = mapped_column(
        server_default=sa.text("0"), comment="How many people what sensors felt counts for"
    )
    duplicate: Mapped[dict[str, Any] | None] = mapped_column(
        comment="Why it was joined, or what it may repeat: score, reasons, candidates"
    )
    suggested_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("service_requests.id"),
        comment="The likeliest report that it may repeat, as staff are asked",
    )
    recurs_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("service_requests.id"),
        comment="The same problem was repaired before: that report",
    )
    same_as: Mapped[UUID | None] = mapped_column(comment="The citizen said: the same as that one")
    not_same_as: Mapped[list[UUID] | None] = mapped_column(
        postgresql.ARRAY(sa.Uuid()), comment="The citizen said: not the same as those"
    )

    occurred_at: Mapped[datetime | None]
    requested_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    located_at: Mapped[datetime | None]
    triaged_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    held_since: Mapped[datetime | None] = mapped_column(comment="The clock stands still since")
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        comment="Its reporter took it back, whatever became of it"
    )
    anonymised_at: Mapped[datetime | None] = mapped_column(comment="Its people were removed")
    photos_deleted_at: Mapped[datetime | None]

    submitted_by: Mapped[UUID | None] = mapped_column(
        comment="The signed-in person who sent it; staff for a call taken"
    )
    token_version: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("1"))
    content_hash: Mapped[bytes] = mapped_column(comment="SHA-256 of what was sent, for retries")
    caller_hash: Mapped[bytes] = mapped_column(
        comment="HMAC of who sent it, to give the tracking link again only to them"
    )
    version: Mapped[int] = mapped_column(
        server_default=sa.text("1"), comment="Moves with every change; the ETag"
    )
    search: Mapped[Any | None] = mapped_column(
        postgresql.TSVECTOR, comment="Number, words and address, folded; null until located"
    )


class HistoryEntry(Base):
    """One thing that happened to a request. Appended, never edited; holds ids, never words."""

    __tablename__ = "history"
    __table_args__ = (
        one_of("kind", HistoryKind, "kind"),
        one_of("actor_kind", ActorKind, "actor_kind"),
        sa.Index("ix_history_report_id", "report_id", "id"),
        # Changes of a window of time, for those who ask what is new.
        sa.Index("ix_history_at", "at", "id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    at: Mapped[datetime]
    kind: Mapped[str]
    from_status: Mapped[str | None]
    to_status: Mapped[str | None]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"),
        comment="Codes, ids and numbers that explain it, and what to put back on undo",
    )


class Note(Base):
    """Words about a request. Outside the history, so that a person can be erased."""

    __tablename__ = "notes"
    __table_args__ = (
        one_of("kind", NoteKind, "kind"),
        sa.Index("ix_notes_report_id", "report_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    history_id: Mapped[int | None] = mapped_column(sa.ForeignKey("history.id"), index=True)
    kind: Mapped[str]
    author_kind: Mapped[str]
    author_id: Mapped[UUID | None]
    body: Mapped[str]
    created_at: Mapped[datetime]
    redacted_at: Mapped[datetime | None]


class Follower(Base):
    """Somebody who is told about a request: its reporter, and those who said "me too"."""

    __tablename__ = "followers"
    __table_args__ = (
        sa.CheckConstraint(
            "email IS NOT NULL OR phone IS NOT NULL OR person_id IS NOT NULL OR is_reporter"
            " OR erased_at IS NOT NULL",
            name="reachable",
        ),
        sa.CheckConstraint(
            "erased_at IS NULL OR num_nonnulls(name, email, phone, person_id) = 0", name="erased"
        ),
        sa.Index("ix_followers_report_id", "report_id"),
        sa.Index(
            "uq_followers_email",
            "report_id",
            "email",
            unique=True,
            postgresql_where=sa.text("email IS NOT NULL"),
        ),
        sa.Index(
            "uq_followers_phone",
            "report_id",
            "phone",
            unique=True,
            postgresql_where=sa.text("phone IS NOT NULL AND email IS NULL"),
        ),
        sa.Index("ix_followers_email", "email", postgresql_where=sa.text("email IS NOT NULL")),
        sa.Index("ix_followers_phone", "phone", postgresql_where=sa.text("phone IS NOT NULL")),
        sa.Index(
            "ix_followers_person", "person_id", postgresql_where=sa.text("person_id IS NOT NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    is_reporter: Mapped[bool]
    person_id: Mapped[UUID | None] = mapped_column(comment="A signed-in citizen")
    name: Mapped[str | None]
    email: Mapped[str | None] = mapped_column(comment="Lower case")
    phone: Mapped[str | None] = mapped_column(comment="E.164")
    locale: Mapped[str]
    confirmed_at: Mapped[datetime | None] = mapped_column(
        comment="null: a follower is told only after confirming; reporters are told at once"
    )
    left_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    token_version: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("1"))
    erased_at: Mapped[datetime | None] = mapped_column(
        comment="Name and contact were removed; the row stays to be counted"
    )


class Photo(Base):
    """A photo of a request: staged by intake, decoded, cleaned and stored by the pipeline."""

    __tablename__ = "photos"
    __table_args__ = (
        one_of("state", PhotoState, "state"),
        sa.Index("ix_photos_report_id", "report_id"),
        sa.Index("ix_photos_staged", "created_at", postgresql_where=sa.text("state = 'staged'")),
        sa.Index(
            "ix_photos_to_delete",
            "id",
            postgresql_where=sa.text("state = 'dropped' AND storage_name IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    state: Mapped[str] = mapped_column(server_default=sa.text("'staged'"))
    added_by: Mapped[str] = mapped_column(comment="reporter or staff: an ActorKind")
    is_public: Mapped[bool] = mapped_column(server_default=sa.true())
    storage_name: Mapped[str | None] = mapped_column(
        unique=True, comment="Random; names its files in the storage: reports.media"
    )
    media_type: Mapped[str] = mapped_column(comment="By its header as sent, then as stored")
    size_bytes: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    gps_lat: Mapped[float | None] = mapped_column(comment="From EXIF; proposes, never decides")
    gps_lon: Mapped[float | None]
    likeness: Mapped[int | None] = mapped_column(
        sa.BigInteger,
        comment="Difference hash of the cleaned photo: alike photos differ in few bits",
    )
    dropped_because: Mapped[str | None]
    created_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]


class PairVerdict(Base):
    """What a person said of two requests: the same problem, or not. Labels to learn from."""

    __tablename__ = "pair_verdicts"
    __table_args__ = (
        sa.UniqueConstraint("report_id", "other_id"),
        sa.Index("ix_pair_verdicts_other_id", "other_id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    other_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    is_same: Mapped[bool]
    said_by: Mapped[str] = mapped_column(comment="An ActorKind")
    actor_id: Mapped[UUID | None]
    said_at: Mapped[datetime]


class DuplicateModelVersion(Base):
    """A model of duplicates, learnt from a city's past: `reports.duplicates.model`."""

    __tablename__ = "duplicate_models"
    __table_args__ = (
        sa.UniqueConstraint("jurisdiction_id", "version"),
        sa.Index(
            "uq_duplicate_models_active",
            "jurisdiction_id",
            unique=True,
            postgresql_where=sa.text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    version: Mapped[int] = mapped_column(comment="Counts up within the jurisdiction")
    model: Mapped[dict[str, Any]] = mapped_column(comment="reports.duplicates.model, as_data()")
    record: Mapped[dict[str, Any]] = mapped_column(
        comment="What it was trained on, when, and how good it was on the last part of the time"
    )
    trained_at: Mapped[datetime]
    is_active: Mapped[bool]


class WordModelVersion(Base):
    """A model of which service words mean, learnt from a city's past: `reports.words`."""

    __tablename__ = "word_models"
    __table_args__ = (
        sa.UniqueConstraint("jurisdiction_id", "version"),
        sa.Index(
            "uq_word_models_active",
            "jurisdiction_id",
            unique=True,
            postgresql_where=sa.text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    version: Mapped[int] = mapped_column(comment="Counts up within the jurisdiction")
    model: Mapped[dict[str, Any]] = mapped_column(comment="reports.words.model, to_data()")
    record: Mapped[dict[str, Any]] = mapped_column(
        comment="What it was trained on, when, and how good it was on texts left out"
    )
    trained_at: Mapped[datetime]
    is_active: Mapped[bool]


class ClosingForecast(Base):
    """How long reports of a kind usually take, as of last night: `reports.forecast`."""

    __tablename__ = "closing_forecasts"
    __table_args__ = (
        sa.UniqueConstraint(
            "service_id",
            "area_id",
            "season",
            postgresql_nulls_not_distinct=True,
            name="uq_closing_forecasts_cell",
        ),
        sa.Index("ix_closing_forecasts_jurisdiction", "jurisdiction_id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("services.id", ondelete="CASCADE"))
    area_id: Mapped[int | None] = mapped_column(comment="null: the whole city")
    season: Mapped[str | None] = mapped_column(comment="null: the whole year")
    cases: Mapped[int]
    closed: Mapped[int]
    low_h: Mapped[float | None] = mapped_column(comment="One in ten takes less")
    median_h: Mapped[float | None] = mapped_column(comment="null: not half of them were closed")
    four_in_five_h: Mapped[float | None]
    high_h: Mapped[float | None] = mapped_column(comment="One in ten takes more")
    computed_at: Mapped[datetime]


class RoutingRule(Base):
    """One line of a jurisdiction's routing rules: first match wins."""

    __tablename__ = "routing_rules"
    __table_args__ = (sa.UniqueConstraint("jurisdiction_id", "position"),)

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    position: Mapped[int] = mapped_column(comment="Order; the line of the rule file")
    text: Mapped[str] = mapped_column(comment="As a person wrote it")
    rule: Mapped[dict[str, Any]] = mapped_column(comment="Parsed: conditions and actions")


class RoutingRuleVersion(Base):
    """The routing rules of a jurisdiction as they once were: the last version is in force."""

    __tablename__ = "routing_rule_versions"
    __table_args__ = (
        one_of("origin", RulesOrigin, "origin"),
        sa.UniqueConstraint("jurisdiction_id", "version"),
    )

    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    version: Mapped[int] = mapped_column(comment="From 1, without gaps; the ETag of the rules")
    text: Mapped[str] = mapped_column(comment="The whole text, comments and all")
    origin: Mapped[str] = mapped_column(comment="Who had the last word: the folder or a manager")
    by_id: Mapped[UUID | None] = mapped_column(comment="null: the command line")
    restored: Mapped[int | None] = mapped_column(comment="The version whose text came back")
    created_at: Mapped[datetime]


class Redaction(Base):
    """What somebody took out of a report. What stood there before is for auditors only."""

    __tablename__ = "redactions"
    __table_args__ = (
        one_of("subject", RedactedPart, "subject"),
        one_of("by_kind", ActorKind, "by_kind"),
        sa.Index("ix_redactions_report_id", "report_id", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    subject: Mapped[str]
    subject_key: Mapped[str | None] = mapped_column(
        comment="Which note or photo (its id), which answer (its code)"
    )
    before: Mapped[str | None] = mapped_column(comment="null once the person was erased")
    by_kind: Mapped[str]
    by_id: Mapped[UUID | None]
    at: Mapped[datetime]


class RetentionRun(Base):
    """What a run of retention did in a jurisdiction."""

    __tablename__ = "retention_runs"
    __table_args__ = (sa.Index("ix_retention_runs_at", "jurisdiction_id", "at"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    at: Mapped[datetime]
    anonymised: Mapped[int]
    photos_deleted: Mapped[int]
