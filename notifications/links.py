"""The links that messages carry. Their tokens are made here, when a message is rendered, and kept
nowhere; `web` serves the pages behind them. Opening one shows; only a POST from its page acts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.links import confirm_url, leave_url, sign_in_url, track_url
from core.tokens import Purpose, token_for


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links under one address, with one key."""

    base_url: str
    secret: str

    def track(self, report_id: UUID, version: int) -> str:
        """The reporter's own page of a report: words, answers, withdrawal."""
        return track_url(self.base_url, report_id, self._token(Purpose.TRACK, report_id, version))

    def report(self, report_id: UUID) -> str:
        """The public page of a report."""
        return f"{self.base_url}/reports/{report_id}"

    def leave(self, follower_id: UUID, version: int) -> str:
        """Ends the messages of one follower; a mail program may POST to it (RFC 8058)."""
        return leave_url(
            self.base_url, follower_id, self._token(Purpose.LEAVE, follower_id, version)
        )

    def confirm(self, follower_id: UUID, version: int) -> str:
        """Where a follower says that the address is their own."""
        token = self._token(Purpose.CONFIRM, follower_id, version)
        return confirm_url(self.base_url, follower_id, token)

    def sign_in(self, challenge_id: UUID) -> str:
        """Opens a session, once."""
        token = self._token(Purpose.SIGN_IN, challenge_id, 1)
        return sign_in_url(self.base_url, challenge_id, token)

    def queue(self, team_code: str) -> str:
        """A team's queue, for staff."""
        return f"{self.base_url}/staff/queues/{team_code}"

    def api_report(self, report_id: UUID) -> str:
        """The report in the JSON API, for other systems."""
        return f"{self.base_url}/api/v1/reports/{report_id}"

    def _token(self, purpose: Purpose, row_id: UUID, version: int) -> str:
        return token_for(self.secret, purpose, row_id, version)
