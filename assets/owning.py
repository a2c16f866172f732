"""Which team owns an asset: what routing rules of `asset owner …` ask. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import sqlalchemy as sa

from accounts.models import Team
from assets.models import Asset, AssetKind
from core.db import Executor


class Owners:
    """Answers `reports.routing.deciding.AssetOwners` from the register."""

    def owners(self, session: Executor, asset_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """The code of each asset's own team, else of its kind's; one statement."""
        rows = session.execute(
            sa.select(Asset.id, Team.code)
            .join(AssetKind, AssetKind.id == Asset.kind_id)
            .join(Team, Team.id == sa.func.coalesce(Asset.owner_team_id, AssetKind.owner_team_id))
            .where(Asset.id.in_(asset_ids))
        )
        return {row.id: row.code for row in rows}
