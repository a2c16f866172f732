"""Events of campaigns. Subject: the round; of what is held, the campaign. Data: ids and codes."""

from __future__ import annotations

from core.outbox import declare

CAMPAIGN_SENT = declare(
    "campaign.sent", "A campaign went out to adopters. Data: campaign_id, round_id."
)
CAMPAIGN_FOLLOWED_UP = declare(
    "campaign.followed_up", "Adopters are asked whether it is clear. Data: campaign_id, round_id."
)
CAMPAIGN_HELD = declare(
    "campaign.held", "A campaign stopped and waits for its coordinator. Data: campaign_id, reason."
)
CAMPAIGN_ANSWERED = declare(
    "campaign.answered", "An adopter said how an asset is. Data: campaign_id, asset_id, answer."
)
