"""The words of telling: channels, states of a delivery, kinds of recipient. Pure."""

from __future__ import annotations

import enum


class Channel(enum.StrEnum):
    """The ways of reaching somebody."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    WEBHOOK = "webhook"


class DeliveryState(enum.StrEnum):
    """Where one message to one recipient stands."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    #: The recipient cannot be reached any more, or asked not to be.
    GONE = "gone"
    #: Tried in vain, or our fault: an operator may send it again.
    DEAD = "dead"


class RecipientKind(enum.StrEnum):
    """Whose `recipient_id` a delivery carries."""

    FOLLOWER = "follower"
    TEAM = "team"
    PERSON = "person"
    WEBHOOK = "webhook"
    CHALLENGE = "challenge"
    #: A push subscription: one follower may have several browsers.
    BROWSER = "browser"
    INVITATION = "invitation"
    #: Somebody whom a routing rule tells of its reports: a digest of the team's code or address.
    COPY = "copy"
    #: An address to which an adopter hands an asset over.
    HANDOVER = "handover"


class Occasion(enum.StrEnum):
    """What a message to a person is about; the templates bear these names."""

    RECEIVED = "received"
    MERGED = "merged"
    SEPARATED = "separated"
    ASSIGNED = "assigned"
    RESOLVED = "resolved"
    REJECTED = "rejected"
    REOPENED = "reopened"
    NOT_REOPENED = "not_reopened"
    NOT_OVER = "not_over"
    QUESTION = "question"
    NOTE = "note"
    PHOTO_DROPPED = "photo_dropped"
    CONFIRM = "confirm"
    SIGN_IN = "sign_in"
    CONTACT_PROOF = "contact_proof"
    CONTACT_CHANGE = "contact_change"
    ACCOUNT_CHANGED = "account_changed"
    INVITATION = "invitation"
    COPIED = "copied"
    DIGEST = "digest"
    ADOPTED = "adopted"
    ADOPTION_DUE = "adoption_due"
    ADOPTION_ENDED = "adoption_ended"
    ADOPTION_NAMED = "adoption_named"
    ADOPTION_OFFERED = "adoption_offered"
    HANDOVER = "handover"
    HANDOVER_ANSWERED = "handover_answered"
    ASSET_NEWS = "asset_news"
    CORRECTION_DECIDED = "correction_decided"
    CARE_NEEDED = "care_needed"
    VOLUNTEER_MESSAGE = "volunteer_message"
    CAMPAIGN = "campaign"
    CAMPAIGN_FOLLOW_UP = "campaign_follow_up"
    CAMPAIGN_HELD = "campaign_held"
    HELP_ASKED = "help_asked"


class Role(enum.StrEnum):
    """What a recipient is to the report a message is about."""

    REPORTER = "reporter"
    FOLLOWER = "follower"


class Fault(enum.StrEnum):
    """Whose fault it is that a message did not go out, and so what to do about it."""

    TRY_AGAIN = "try_again"
    GIVE_UP_ON_RECIPIENT = "give_up_on_recipient"
    OUR_BUG = "our_bug"
