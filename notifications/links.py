"""The links that messages carry, in the reader's language. Their tokens are made here, when a
message is rendered, and kept nowhere. Opening a link shows; only a POST from its page acts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.links import (
    adoption_url,
    care_url,
    clear_url,
    confirm_url,
    handover_url,
    help_url,
    invitation_url,
    leave_campaigns_url,
    leave_url,
    offer_url,
    report_url,
    sign_in_url,
    track_url,
)
from core.tokens import Purpose, token_for


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links under one address (`Settings.base_url`), with one key (`SECRET_KEY`)."""

    base_url: str
    secret: str

    def track(self, report_id: UUID, version: int, lang: str) -> str:
        """The reporter's own page of a report: words, answers, withdrawal."""
        token = token_for(self.secret, Purpose.TRACK, report_id, version)
        return track_url(self.base_url, report_id, token, lang)

    def report(self, jurisdiction_code: str, number: int, lang: str) -> str:
        """The public page of a report."""
        return report_url(self.base_url, jurisdiction_code, number, lang)

    def leave(self, follower_id: UUID, version: int, lang: str) -> str:
        """Ends the messages of one follower; a mail program may POST to it (RFC 8058)."""
        token = token_for(self.secret, Purpose.LEAVE, follower_id, version)
        return leave_url(self.base_url, follower_id, token, lang)

    def confirm(self, follower_id: UUID, version: int, lang: str) -> str:
        """Where a follower says that the address is their own."""
        token = token_for(self.secret, Purpose.CONFIRM, follower_id, version)
        return confirm_url(self.base_url, follower_id, token, lang)

    def sign_in(self, challenge_id: UUID, lang: str) -> str:
        """Opens a session, once: a challenge is answered once, so its version never moves."""
        token = token_for(self.secret, Purpose.SIGN_IN, challenge_id, 1)
        return sign_in_url(self.base_url, challenge_id, token, lang)

    def invitation(self, invitation_id: UUID, version: int, lang: str) -> str:
        """Where somebody accepts a role; one sent again ends the link before."""
        token = token_for(self.secret, Purpose.INVITATION, invitation_id, version)
        return invitation_url(self.base_url, invitation_id, token, lang)

    def adoption(self, adoption_id: UUID, version: int, lang: str) -> str:
        """Where an adopter goes on, or lets go; the end of the adoption ends the link."""
        token = token_for(self.secret, Purpose.ADOPTION, adoption_id, version)
        return adoption_url(self.base_url, adoption_id, token, lang)

    def offer(self, wait_id: UUID, lang: str) -> str:
        """Where a place that became free is taken or declined."""
        token = token_for(self.secret, Purpose.OFFER, wait_id, 1)
        return offer_url(self.base_url, wait_id, token, lang)

    def handover(self, handover_id: UUID, lang: str) -> str:
        """Where an asset is accepted from its adopter."""
        token = token_for(self.secret, Purpose.HANDOVER, handover_id, 1)
        return handover_url(self.base_url, handover_id, token, lang)

    def care(self, call_id: UUID, adoption_id: UUID, version: int, lang: str) -> str:
        """Where one adopter says that a call for care is answered, or was a false alarm."""
        token = token_for(self.secret, Purpose.CARE, f"{call_id}|{adoption_id}", version)
        return care_url(self.base_url, call_id, adoption_id, token, lang)

    def help(self, help_id: UUID, choice: str, version: int, lang: str) -> str:
        """Where one adopter says of a report that they did it, or that it needs the city."""
        token = token_for(self.secret, Purpose.HELP, help_id, version)
        return help_url(self.base_url, help_id, choice, token, lang)

    def clear(self, row_id: UUID, lang: str) -> str:
        """Where one adopter says whether it is clear: one asset, or all those of a letter."""
        token = token_for(self.secret, Purpose.CLEAR, row_id, 1)
        return clear_url(self.base_url, row_id, token, lang)

    def leave_campaigns(self, letter_id: UUID, lang: str) -> str:
        """Ends the campaigns of a city for one adopter; a mail program may POST to it."""
        token = token_for(self.secret, Purpose.LEAVE_CAMPAIGNS, letter_id, 1)
        return leave_campaigns_url(self.base_url, letter_id, token, lang)

    def campaign(self, campaign_id: UUID) -> str:
        """A campaign in the JSON API, for its coordinator."""
        return f"{self.base_url}/api/v1/campaigns/{campaign_id}"

    def own_adoptions(self, lang: str) -> str:
        """What a volunteer did, once they have signed in."""
        return f"{self.base_url}/my-care?lang={lang}"

    def asset(self, asset_id: UUID, lang: str) -> str:
        """The public page of an asset."""
        return f"{self.base_url}/assets/{asset_id}?lang={lang}"

    def queue(self, team_code: str) -> str:
        """The page that tells a team how to read its queue; the queue itself takes a session."""
        return f"{self.base_url}/staff/queues/{team_code}"

    def api_report(self, report_id: UUID) -> str:
        """The report in the JSON API, for other systems."""
        return f"{self.base_url}/api/v1/reports/{report_id}"
