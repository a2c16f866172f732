"""assets counted by cell

Revision: 0029
Follows: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# What stands in the street, as in `assets.vocabulary.STATES_THERE`.
_THERE = "state IN ('in_service', 'out_of_order')"

# From cells of resolution 15 to those of resolution 8: three bits for each.
_SHIFT = 21

_ADD = """
    INSERT INTO asset_cells AS c (jurisdiction_id, prefix, kind_id, count, lat, lon)
    SELECT jurisdiction_id, cell >> {shift}, kind_id, sum(sign), sum(sign * lat), sum(sign * lon)
      FROM ({rows}) AS changed
     GROUP BY 1, 2, 3
     ORDER BY 1, 2, 3
        ON CONFLICT (jurisdiction_id, prefix, kind_id) DO UPDATE
       SET count = c.count + excluded.count, lat = c.lat + excluded.lat,
           lon = c.lon + excluded.lon
"""

_ROW = "{alias}.jurisdiction_id, {alias}.cell, {alias}.kind_id, {alias}.lat, {alias}.lon"


def upgrade() -> None:
    op.create_table(
        "asset_cells",
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "prefix",
            sa.BigInteger(),
            nullable=False,
            comment="Of the H3 cells of resolution 15 in one of resolution 8: cell >> 21",
        ),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False, comment="Of those that are there"),
        sa.Column("lat", sa.Float(), nullable=False, comment="Sum of their latitudes"),
        sa.Column("lon", sa.Float(), nullable=False, comment="Sum of their longitudes"),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_asset_cells_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"],
            ["asset_kinds.id"],
            name=op.f("fk_asset_cells_kind_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "jurisdiction_id", "prefix", "kind_id", name=op.f("pk_asset_cells")
        ),
    )
    op.execute(
        _ADD.format(
            shift=_SHIFT,
            rows=f"SELECT {_ROW.format(alias='a')}, 1 AS sign FROM assets AS a WHERE {_THERE}",
        )
    )
    # Counted by the database itself, so that no way of writing an asset can forget it. What an
    # adoption or an import writes beside place and state is told apart before anything is counted.
    new = f"SELECT {_ROW.format(alias='n')}, 1 AS sign FROM new_rows AS n"
    old = f"SELECT {_ROW.format(alias='o')}, -1 AS sign FROM old_rows AS o"
    is_other = (
        f"(o.jurisdiction_id, o.kind_id, o.cell, o.lat, o.lon, o.{_THERE}) IS DISTINCT FROM"
        f" (n.jurisdiction_id, n.kind_id, n.cell, n.lat, n.lon, n.{_THERE})"
    )
    bodies = {
        "INSERT": f"{new} WHERE n.{_THERE}",
        "DELETE": f"{old} WHERE o.{_THERE}",
        "UPDATE": (
            f"{new} JOIN old_rows AS o USING (id) WHERE n.{_THERE} AND {is_other}"
            f" UNION ALL {old} JOIN new_rows AS n USING (id) WHERE o.{_THERE} AND {is_other}"
        ),
    }
    tables = {
        "INSERT": "NEW TABLE AS new_rows",
        "DELETE": "OLD TABLE AS old_rows",
        "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    }
    for verb, rows in bodies.items():
        name = f"count_assets_on_{verb.lower()}"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" {_ADD.format(shift=_SHIFT, rows=rows)}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} AFTER {verb} ON assets REFERENCING {tables[verb]}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )


def downgrade() -> None:
    for verb in ("insert", "delete", "update"):
        op.execute(f"DROP TRIGGER count_assets_on_{verb} ON assets")
        op.execute(f"DROP FUNCTION count_assets_on_{verb}()")
    op.drop_table("asset_cells")
