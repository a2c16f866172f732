"""campaigns, their rounds and answers, and the weather that sets them off

Revision: 0026
Follows: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A coordinator can now name an area of the city.
    op.add_column(
        "volunteer_messages",
        sa.Column("area_layer", sa.Text(), nullable=True, comment="null: no area was named"),
    )
    op.add_column("volunteer_messages", sa.Column("area_code", sa.Text(), nullable=True))
    # The model has had it from the start; 0022 left it out.
    op.create_index(
        "ix_volunteer_messages_jurisdiction_id", "volunteer_messages", ["jurisdiction_id"]
    )
    op.create_table(
        "weather_looks",
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "next_look_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Not before; moved when it is claimed",
        ),
        sa.Column(
            "answered_at", sa.DateTime(timezone=True), nullable=True, comment="The last good answer"
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Since the last good answer",
        ),
        sa.Column(
            "fault",
            sa.Text(),
            nullable=True,
            comment="Code of the last failure; never an address",
        ),
        sa.CheckConstraint(
            "source IN ('forecast', 'alerts')", name=op.f("ck_weather_looks_source")
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_weather_looks_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("jurisdiction_id", "source", name=op.f("pk_weather_looks")),
    )
    op.create_table(
        "weather_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("sort", sa.Text(), nullable=False, comment="What was measured, or: alert"),
        sa.Column(
            "starts_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="As it was first foreseen",
        ),
        sa.Column(
            "ends_at", sa.DateTime(timezone=True), nullable=False, comment="As it was last foreseen"
        ),
        sa.Column(
            "identifiers",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Of CAP: the chain of messages",
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "cancelled_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Taken back by who had alerted",
        ),
        sa.CheckConstraint("starts_at <= ends_at", name=op.f("ck_weather_events_span")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_weather_events_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_weather_events")),
    )
    op.create_index(
        "ix_weather_events_known", "weather_events", ["jurisdiction_id", "sort", "ends_at"]
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("area_layer", sa.Text(), nullable=True, comment="null: the whole city"),
        sa.Column("area_code", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False, comment="For staff"),
        sa.Column(
            "starts_on",
            sa.Date(),
            nullable=False,
            comment="By the city's calendar; both days included",
        ),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column(
            "season",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment='{"from": "11-15", "to": "03-31"}; null: all of the window',
        ),
        sa.Column(
            "words",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="locale → {subject, text}",
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="Care that “it is clear” logs"),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column(
            "awaited",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="calendar: at, repeat; weather: thresholds and within_h, or events and severity",
        ),
        sa.Column(
            "cool_down_h",
            sa.SmallInteger(),
            nullable=False,
            comment="Two rounds are at least so far apart",
        ),
        sa.Column(
            "follow_up_h",
            sa.SmallInteger(),
            nullable=True,
            comment="“Is it clear?” so long after; null: nobody is asked",
        ),
        sa.Column(
            "confirmed", sa.Integer(), nullable=True, comment="To so many, a coordinator agreed"
        ),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column(
            "held_because",
            sa.Text(),
            nullable=True,
            comment="It paused by itself and waits for its coordinator",
        ),
        sa.Column(
            "next_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Of the calendar: when it is due",
        ),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "version",
            sa.Integer(),
            server_default=sa.text("1"),
            nullable=False,
            comment="The ETag",
        ),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("starts_on <= ends_on", name=op.f("ck_campaigns_window")),
        sa.CheckConstraint(
            "(area_layer IS NULL) = (area_code IS NULL)", name=op.f("ck_campaigns_area")
        ),
        sa.CheckConstraint(
            "trigger IN ('hand', 'calendar', 'weather')", name=op.f("ck_campaigns_trigger")
        ),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'ended')", name=op.f("ck_campaigns_state")
        ),
        sa.CheckConstraint(
            "held_because IN ('too_many', 'area_gone', 'kind_gone')",
            name=op.f("ck_campaigns_held_because"),
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_campaigns_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"], ["asset_kinds.id"], name=op.f("fk_campaigns_kind_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index("ix_campaigns_jurisdiction_id", "campaigns", ["jurisdiction_id", "id"])
    op.create_index(
        "ix_campaigns_due",
        "campaigns",
        ["next_at"],
        postgresql_where=sa.text("state = 'active' AND next_at IS NOT NULL"),
    )
    op.create_index(
        "ix_campaigns_on",
        "campaigns",
        ["trigger"],
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "campaign_rounds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column(
            "event_key",
            sa.Text(),
            nullable=False,
            comment="weather:<event>, calendar:<campaign>:<instant>, hand:<round>",
        ),
        sa.Column("set_off_by", sa.Text(), nullable=False),
        sa.Column("weather_event_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "foreseen",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="What the letter says of the weather",
        ),
        sa.Column("person_id", sa.Uuid(), nullable=True, comment="Who sent it by hand"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("assets", sa.Integer(), nullable=False),
        sa.Column("follow_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("followed_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "set_off_by IN ('hand', 'calendar', 'weather')",
            name=op.f("ck_campaign_rounds_set_off_by"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_rounds_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["weather_event_id"],
            ["weather_events.id"],
            name=op.f("fk_campaign_rounds_weather_event_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_rounds")),
        # A campaign goes out once for one event, whoever notices it how often.
        sa.UniqueConstraint(
            "campaign_id", "event_key", name=op.f("uq_campaign_rounds_campaign_id_event_key")
        ),
    )
    op.create_index(
        "ix_campaign_rounds_follow_up",
        "campaign_rounds",
        ["follow_up_at"],
        postgresql_where=sa.text("followed_up_at IS NULL AND follow_up_at IS NOT NULL"),
    )
    op.create_index(
        "ix_campaign_rounds_weather_event_id",
        "campaign_rounds",
        ["weather_event_id"],
        postgresql_where=sa.text("weather_event_id IS NOT NULL"),
    )
    op.create_table(
        "campaign_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["round_id"],
            ["campaign_rounds.id"],
            name=op.f("fk_campaign_letters_round_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_letters")),
        sa.UniqueConstraint(
            "round_id", "person_id", name=op.f("uq_campaign_letters_round_id_person_id")
        ),
    )
    op.create_index("ix_campaign_letters_person_id", "campaign_letters", ["person_id"])
    op.create_table(
        "campaign_asks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False, comment="As of the round"),
        sa.Column("adoption_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("care_id", sa.Uuid(), nullable=True, comment="What “clear” logged"),
        sa.CheckConstraint(
            "answer IN ('clear', 'not_yet', 'help')", name=op.f("ck_campaign_asks_answer")
        ),
        sa.CheckConstraint(
            "(answer IS NULL) = (answered_at IS NULL)", name=op.f("ck_campaign_asks_answered")
        ),
        sa.ForeignKeyConstraint(
            ["letter_id"],
            ["campaign_letters.id"],
            name=op.f("fk_campaign_asks_letter_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["adoption_id"],
            ["adoptions.id"],
            name=op.f("fk_campaign_asks_adoption_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_campaign_asks_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["care_id"],
            ["care_entries.id"],
            name=op.f("fk_campaign_asks_care_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_asks")),
        # Two campaigns for one event do not write about one asset to one adopter.
        sa.UniqueConstraint(
            "event_key", "adoption_id", name=op.f("uq_campaign_asks_event_key_adoption_id")
        ),
    )
    op.create_index("ix_campaign_asks_letter_id", "campaign_asks", ["letter_id"])
    op.create_index("ix_campaign_asks_asset_id", "campaign_asks", ["asset_id"])
    op.create_index("ix_campaign_asks_adoption_id", "campaign_asks", ["adoption_id"])
    op.create_table(
        "campaign_refusals",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_campaign_refusals_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("person_id", "jurisdiction_id", name=op.f("pk_campaign_refusals")),
    )


def downgrade() -> None:
    op.drop_table("campaign_refusals")
    op.drop_table("campaign_asks")
    op.drop_table("campaign_letters")
    op.drop_table("campaign_rounds")
    op.drop_table("campaigns")
    op.drop_table("weather_events")
    op.drop_table("weather_looks")
    op.drop_index("ix_volunteer_messages_jurisdiction_id", "volunteer_messages")
    op.drop_column("volunteer_messages", "area_code")
    op.drop_column("volunteer_messages", "area_layer")
