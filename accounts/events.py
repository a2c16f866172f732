"""What can happen around people, as the outbox calls it."""

from __future__ import annotations

from core.outbox import declare

INVITATION_SENT = declare(
    "invitation.sent", "Somebody was offered a role by e-mail. Subject: the invitation."
)
SIGN_IN_ASKED = declare(
    "sign_in.asked", "Somebody asked for a sign-in link or code. Subject: the challenge."
)
ACCOUNT_CHANGED = declare(
    "account.changed",
    "How somebody signs in or is reached was changed. Subject: the person. Data: change.",
)
CONTACT_ASKED = declare(
    "contact.asked", "Somebody wants a new contact for their account. Data: challenge_id."
)
ACCOUNT_CLOSED = declare(
    "account.closed",
    "Somebody ended their account; what is held on them is to be erased. Subject: the person.",
)
