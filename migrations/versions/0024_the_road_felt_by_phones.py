"""device keys, trips on their way, and what the road tells

Revision: 0024
Follows: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_keys",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="HMAC of the key"),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_device_keys")),
    )
    op.create_index(op.f("ix_device_keys_expires_on"), "device_keys", ["expires_on"])
    op.create_table(
        "trips",
        sa.Column("id", sa.Uuid(), nullable=False, comment="From HMAC of the phone's id"),
        sa.Column(
            "holder",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC of key and id: who may ask for this trip",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_research", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "content",
            sa.LargeBinary(),
            nullable=True,
            comment="HMAC of what was sent, to know it again; null: still coming in parts",
        ),
        sa.Column(
            "storage_name", sa.Text(), nullable=True, comment="Of the samples; null once analysed"
        ),
        sa.Column(
            "day_id", sa.LargeBinary(), nullable=True, comment="Of the device's row in device_days"
        ),
        sa.Column(
            "day_key",
            sa.LargeBinary(),
            nullable=True,
            comment="What its cells there are digested with",
        ),
        sa.Column(
            "day", sa.Date(), nullable=True, comment="When it was driven; null once analysed"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Code of why it was refused"),
        sa.Column(
            "marks",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
        ),
        sa.Column("bumps", sa.Integer(), nullable=True, comment="null: not analysed"),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "state = 'received' OR (day_id IS NULL AND day_key IS NULL AND storage_name IS NULL)",
            name=op.f("ck_trips_forgotten"),
        ),
        sa.CheckConstraint(
            "state IN ('uploading', 'received', 'analysed', 'marked', 'refused')",
            name=op.f("ck_trips_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trips")),
    )
    op.create_index(op.f("ix_trips_received_on"), "trips", ["received_on"])
    op.create_table(
        "trip_parts",
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column(
            "content",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC of what was sent, to know it again",
        ),
        sa.Column("size", sa.Integer(), nullable=False, comment="Bytes, as sent"),
        sa.Column("storage_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trip_id"], ["trips.id"], name=op.f("fk_trip_parts_trip_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trip_id", "number", name=op.f("pk_trip_parts")),
    )
    op.create_table(
        "device_days",
        sa.Column("id", sa.LargeBinary(), nullable=False, comment="HMAC of the key and the day"),
        sa.Column("cells", sa.LargeBinary(), nullable=False, comment="Digests of 8 bytes, sorted"),
        sa.Column("forget_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_days")),
    )
    op.create_index(op.f("ix_device_days_forget_on"), "device_days", ["forget_on"])
    op.create_table(
        "research_traces",
        sa.Column("storage_name", sa.Text(), nullable=False, comment="Random"),
        sa.Column("driven_on", sa.Date(), nullable=False, comment="The first of the month"),
        sa.Column("forget_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("storage_name", name=op.f("pk_research_traces")),
    )
    op.create_index(op.f("ix_research_traces_forget_on"), "research_traces", ["forget_on"])
    op.create_table(
        "road_sightings",
        sa.Column("packet", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "cell",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="H3 cell of resolution 12",
        ),
        sa.Column("octant", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "day", sa.Integer(), autoincrement=False, nullable=False, comment="Since 1970-01-01 UTC"
        ),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.Column("weak", sa.Integer(), nullable=False),
        sa.Column("strong", sa.Integer(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("north", sa.BigInteger(), nullable=False),
        sa.Column("east", sa.BigInteger(), nullable=False),
        sa.Column("square", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.BigInteger(), nullable=False),
        sa.Column("shaped", sa.Integer(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("symmetry", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("packet", "cell", "octant", "day", name=op.f("pk_road_sightings")),
    )
    op.create_table(
        "road_totals",
        sa.Column("packet", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "cell",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="H3 cell of resolution 12",
        ),
        sa.Column("octant", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.Column("weak", sa.Integer(), nullable=False),
        sa.Column("strong", sa.Integer(), nullable=False),
        sa.Column("aged_passes", sa.BigInteger(), nullable=False),
        sa.Column("aged_weak", sa.BigInteger(), nullable=False),
        sa.Column("aged_strong", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("north", sa.BigInteger(), nullable=False),
        sa.Column("east", sa.BigInteger(), nullable=False),
        sa.Column("square", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.BigInteger(), nullable=False),
        sa.Column("shaped", sa.Integer(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("symmetry", sa.BigInteger(), nullable=False),
        sa.Column(
            "first_day", sa.Integer(), nullable=False, comment="Of a hit, since 1970-01-01 UTC"
        ),
        sa.Column("last_day", sa.Integer(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False, comment="Middle of the cell"),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("packet", "cell", "octant", name=op.f("pk_road_totals")),
    )
    op.create_table(
        "road_repairs",
        sa.Column("packet", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cell", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("octant", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, comment="The latest, since 1970-01-01 UTC"),
        sa.PrimaryKeyConstraint("packet", "cell", "octant", name=op.f("pk_road_repairs")),
    )
    op.create_table(
        "road_defects",
        sa.Column(
            "id", sa.Uuid(), nullable=False, comment="Made from cell and octant: it tells no time"
        ),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("packet", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False, comment="H3 cell of resolution 12"),
        sa.Column("octant", sa.SmallInteger(), nullable=False),
        sa.Column(
            "place_cell", sa.BigInteger(), nullable=False, comment="H3 cell of resolution 15"
        ),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("error_m", sa.Double(), nullable=False),
        sa.Column("heading_deg", sa.Double(), nullable=False),
        sa.Column("belief", sa.Double(), nullable=False),
        sa.Column("severity", sa.Double(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.Column(
            "first_day", sa.Integer(), nullable=False, comment="Of a hit, since 1970-01-01 UTC"
        ),
        sa.Column("last_day", sa.Integer(), nullable=False),
        sa.Column("width_m", sa.Double(), nullable=True),
        sa.Column("symmetry", sa.Double(), nullable=True),
        sa.Column(
            "is_present",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="false: not believed in any more",
        ),
        sa.Column(
            "succeeded_by",
            sa.Uuid(),
            nullable=True,
            comment="Gone because evidence now points to that one, within 20 m",
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("updated_on", sa.Date(), nullable=False),
        sa.CheckConstraint("belief BETWEEN 0 AND 1", name=op.f("ck_road_defects_belief")),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_road_defects_lat")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_road_defects_lon")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_road_defects_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_road_defects")),
        sa.UniqueConstraint("cell", "octant", name=op.f("uq_road_defects_cell_octant")),
    )
    op.create_index("ix_road_defects_packet", "road_defects", ["packet"])
    op.create_index(
        "ix_road_defects_present",
        "road_defects",
        ["jurisdiction_id", "place_cell", "id"],
        postgresql_where=sa.text("is_present"),
    )


def downgrade() -> None:
    op.drop_table("road_defects")
    op.drop_table("road_repairs")
    op.drop_table("road_totals")
    op.drop_table("road_sightings")
    op.drop_table("research_traces")
    op.drop_table("device_days")
    op.drop_table("trip_parts")
    op.drop_table("trips")
    op.drop_table("device_keys")
