"""Events of the register. `adopters` in the data says how many people look after the asset."""

from __future__ import annotations

from core.outbox import declare

ADDED = declare("asset.added", "An asset was entered by staff or by an accepted correction.")
CHANGED = declare("asset.changed", "The state, attributes or position of an asset changed.")
RELOCATED = declare("asset.moved", "An asset stands elsewhere than before.")
REMOVED = declare("asset.removed", "An asset is not there any more.")
RETURNED = declare("asset.returned", "An asset that was gone is there again.")
IMPORTED = declare("register.imported", "A file of assets was brought into the register.")
PHOTO_OF_ASSET_STAGED = declare(
    "asset_photo.staged", "A photo of an asset waits to be cleaned. Data: photo_id."
)
