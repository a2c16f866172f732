"""Who is told what and when it may be sent again: the rules of telling, without any input or
output.

1. `occasion_of` turns an event into what people are told, if anything; `ways` says over which
   channels.
2. `next_allowed` moves a message out of a recipient's quiet hours.
3. `fault_of_smtp`, `fault_of_http` say whose fault a failure is; `after_failure` what follows from
   it.
4. `digest_window` says which stretch of time a team's digest should cover now, if one is due.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from types import MappingProxyType

from notifications.vocabulary import Channel, DeliveryState, Fault, Occasion, Role

_ALL = frozenset({Channel.EMAIL, Channel.SMS, Channel.PUSH})
_WRITTEN = frozenset({Channel.EMAIL, Channel.SMS})
_CHEAP = frozenset({Channel.EMAIL, Channel.PUSH})

#: Which message goes to whom, over what. A reporter hears every step of the own report; somebody
#: who said "me too" hears what became of it. A text message costs money and disturbs, so remarks
#: of the team go by text to the reporter only.
TOLD: Mapping[Occasion, Mapping[Role, frozenset[Channel]]] = MappingProxyType(
    {
        Occasion.RECEIVED: {Role.REPORTER: _WRITTEN},
        Occasion.MERGED: {Role.REPORTER: _ALL},
        Occasion.SEPARATED: {Role.REPORTER: _ALL},
        Occasion.ASSIGNED: {Role.REPORTER: _ALL},
        Occasion.QUESTION: {Role.REPORTER: _ALL},
        Occasion.PHOTO_DROPPED: {Role.REPORTER: _ALL},
        Occasion.RESOLVED: {Role.REPORTER: _ALL, Role.FOLLOWER: _ALL},
        Occasion.REJECTED: {Role.REPORTER: _ALL, Role.FOLLOWER: _ALL},
        Occasion.REOPENED: {Role.REPORTER: _ALL, Role.FOLLOWER: _ALL},
        Occasion.NOT_REOPENED: {Role.REPORTER: _ALL, Role.FOLLOWER: _ALL},
        Occasion.NOT_OVER: {Role.REPORTER: _ALL, Role.FOLLOWER: _ALL},
        Occasion.NOTE: {Role.REPORTER: _ALL, Role.FOLLOWER: _CHEAP},
        # A reporter who had left and asks for news again.
        Occasion.CONFIRM: {Role.FOLLOWER: _WRITTEN, Role.REPORTER: _WRITTEN},
    }
)

#: Told to adopters when it matters, and to whoever looks after the telling: see
#: `notifications.campaigning`.
OF_CAMPAIGNS = frozenset({Occasion.CAMPAIGN, Occasion.CAMPAIGN_FOLLOW_UP, Occasion.CAMPAIGN_HELD})

#: Told to volunteers, of assets: see `notifications.volunteers`.
OF_VOLUNTEERS = frozenset(
    {
        Occasion.ADOPTED,
        Occasion.ADOPTION_DUE,
        Occasion.ADOPTION_ENDED,
        Occasion.ADOPTION_NAMED,
        Occasion.ADOPTION_OFFERED,
        Occasion.HANDOVER,
        Occasion.HANDOVER_ANSWERED,
        Occasion.ASSET_NEWS,
        Occasion.CORRECTION_DECIDED,
        Occasion.CARE_NEEDED,
        Occasion.VOLUNTEER_MESSAGE,
        *OF_CAMPAIGNS,
        Occasion.HELP_ASKED,
    }
)

#: About somebody's account: a code they wait for, or a warning that must not wait. No hour is quiet
#: for these.
OF_ACCOUNTS = frozenset(
    {
        Occasion.SIGN_IN,
        Occasion.CONTACT_PROOF,
        Occasion.CONTACT_CHANGE,
        Occasion.INVITATION,
        Occasion.ACCOUNT_CHANGED,
    }
)

#: Reasons for which an adoption ends that are news to its adopter.
_NEWS_OF_ENDINGS = frozenset({"lapsed", "by_staff"})

#: Occasions that concern one report alone: those who follow a duplicate do not hear them of the
#: report it was joined to.
OWN_REPORT_ONLY = frozenset(
    {
        Occasion.RECEIVED,
        Occasion.MERGED,
        Occasion.SEPARATED,
        Occasion.QUESTION,
        Occasion.PHOTO_DROPPED,
        Occasion.CONFIRM,
    }
)

#: What tells people that nothing more will be done.
OVER = frozenset({Occasion.RESOLVED, Occasion.REJECTED, Occasion.NOT_REOPENED})

#: Told once in the life of a report: a second person of the team taking it is no news.
ONCE_PER_REPORT = frozenset({Occasion.ASSIGNED})

#: Answers to what the recipient did a moment ago; they may come at night.
AWAITED = frozenset({Occasion.RECEIVED, Occasion.CONFIRM, Occasion.SIGN_IN, Occasion.ADOPTED})

#: How long a person still looks at the phone for such an answer.
AWAITED_FOR = timedelta(minutes=15)

_OF_EVENT: Mapping[str, Occasion] = MappingProxyType(
    {
        "report.submitted": Occasion.RECEIVED,
        "report.joined": Occasion.MERGED,
        "report.unjoined": Occasion.SEPARATED,
        "report.assigned": Occasion.ASSIGNED,
        "report.question_asked": Occasion.QUESTION,
        "report.commented": Occasion.NOTE,
        "report.followed": Occasion.CONFIRM,
        "photo.dropped": Occasion.PHOTO_DROPPED,
        "sign_in.asked": Occasion.SIGN_IN,
        "contact.asked": Occasion.CONTACT_PROOF,
        "invitation.sent": Occasion.INVITATION,
        "account.changed": Occasion.ACCOUNT_CHANGED,
        "adoption.begun": Occasion.ADOPTED,
        "adoption.reminded": Occasion.ADOPTION_DUE,
        "adoption.named": Occasion.ADOPTION_NAMED,
        "adoption.offered": Occasion.ADOPTION_OFFERED,
        "handover.offered": Occasion.HANDOVER,
        "handover.answered": Occasion.HANDOVER_ANSWERED,
        "care.called": Occasion.CARE_NEEDED,
        "volunteers.addressed": Occasion.VOLUNTEER_MESSAGE,
        "campaign.sent": Occasion.CAMPAIGN,
        "campaign.followed_up": Occasion.CAMPAIGN_FOLLOW_UP,
        "campaign.held": Occasion.CAMPAIGN_HELD,
        "help.asked": Occasion.HELP_ASKED,
        "asset.removed": Occasion.ASSET_NEWS,
        "asset.returned": Occasion.ASSET_NEWS,
        "asset.moved": Occasion.ASSET_NEWS,
    }
)

_OF_STATUS: Mapping[str, Occasion] = MappingProxyType(
    {
        "resolved": Occasion.RESOLVED,
        "rejected": Occasion.REJECTED,
        "reopened": Occasion.REOPENED,
        # These are news only with words of the team; without a public note nobody is told.
        "in_progress": Occasion.NOTE,
        "on_hold": Occasion.NOTE,
        "closed": Occasion.NOTE,
    }
)


def occasion_of(event: str, data: Mapping[str, object]) -> Occasion | None:
    """What people are told when this happens; None: nothing.

    Of a `NOTE` the caller must still see whether there are public words; of `NOT_REOPENED`, who had
    heard that it was reopened.
    """
    if event == "report.status_changed":
        # It is over again as it was. That it was repaired is old news.
        if "takes_back" in data:
            return Occasion.NOT_REOPENED
        return _OF_STATUS.get(str(data.get("to")))
    if event == "correction.decided":
        is_news = data.get("decision") in ("accepted", "rejected", "overtaken")
        return Occasion.CORRECTION_DECIDED if is_news else None
    if event == "adoption.ended":
        is_news = data.get("reason") in _NEWS_OF_ENDINGS
        return Occasion.ADOPTION_ENDED if is_news else None
    return _OF_EVENT.get(event)


def occasions_of(event: str, data: Mapping[str, object]) -> tuple[Occasion, ...]:
    """As `occasion_of`, with what others than the report's own people are told of the same event.

    Of a `NOT_OVER` the caller must still see who had heard that it was over.
    """
    first = occasion_of(event, data)
    if first is None:
        return ()
    return (first, Occasion.NOT_OVER) if first is Occasion.SEPARATED else (first,)


def ways(
    occasion: Occasion, role: Role, *, has_email: bool, has_phone: bool
) -> tuple[Channel, ...]:
    """The written channels for somebody who left these: e-mail if there is one, else text.

    Push is apart: it goes to every browser that asked, besides.
    """
    return _ways(
        TOLD.get(occasion, {}).get(role, frozenset()), has_email=has_email, has_phone=has_phone
    )


def ways_to_volunteer(*, has_email: bool, has_phone: bool) -> tuple[Channel, ...]:
    """The same for a volunteer, who hears of everything about their asset."""
    return _ways(_WRITTEN, has_email=has_email, has_phone=has_phone)


def _ways(offered: frozenset[Channel], *, has_email: bool, has_phone: bool) -> tuple[Channel, ...]:
    if has_email and Channel.EMAIL in offered:
        return (Channel.EMAIL,)
    if has_phone and not has_email and Channel.SMS in offered:
        return (Channel.SMS,)
    return ()


def is_pushed(occasion: Occasion, role: Role) -> bool:
    """Whether browsers of somebody in that role hear of it."""
    return Channel.PUSH in TOLD.get(occasion, {}).get(role, frozenset())


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours by the recipient's clock in which nothing rings: from `start` until before `end`."""

    start: time
    end: time

    def covers(self, clock: time) -> bool:
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


NIGHT = Quiet(time(21), time(8))

#: Channels that ring. An e-mail waits quietly by itself, a server does not sleep.
QUIET_BY_DEFAULT: Mapping[Channel, Quiet] = MappingProxyType(
    {Channel.SMS: NIGHT, Channel.PUSH: NIGHT}
)

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def quiet_of(channel: Channel, policy: Mapping[str, object]) -> Quiet | None:
    """The quiet hours of a channel under a jurisdiction's policy.

    The policy's `quiet_hours` is `{from: "21:00", to: "08:00"}`, or null for none.

    Raises:
        ValueError: the policy names hours that are no clock times.
    """
    usual = QUIET_BY_DEFAULT.get(channel)
    if usual is None or "quiet_hours" not in policy:
        return usual
    hours = policy["quiet_hours"]
    if hours is None:
        return None
    if not isinstance(hours, Mapping):
        raise ValueError("quiet hours are two clock times, from and to")
    return Quiet(_clock(hours.get("from")), _clock(hours.get("to")))


def next_allowed(at: datetime, zone: tzinfo, quiet: Quiet | None) -> datetime:
    """The first instant from `at` on that is outside quiet hours by the clock of `zone`.

    Where the clock jumps over the end of the quiet hours, the jump's length later.
    """
    if quiet is None or not quiet.covers(at.astimezone(zone).timetz().replace(tzinfo=None)):
        return at
    today = at.astimezone(zone).date()
    ends = (
        # A clock that is set back shows the end twice: both are tried, the first that is later
        # wins.
        datetime.combine(today + timedelta(days=days), quiet.end, zone).replace(fold=fold)
        for days in (0, 1)
        for fold in (0, 1)
    )
    instants = sorted(end.astimezone(at.tzinfo) for end in ends)
    return next(
        instant
        for instant in instants
        if instant > at and not quiet.covers(instant.astimezone(zone).timetz().replace(tzinfo=None))
    )


def send_from(
    occasion: Occasion | None,
    now: datetime,
    happened_at: datetime,
    zone: tzinfo,
    quiet: Quiet | None,
) -> datetime:
    """When a message may go out: at once if it is awaited, else outside quiet hours."""
    if occasion in AWAITED and now - happened_at <= AWAITED_FOR:
        return now
    return next_allowed(now, zone, quiet)


#: SMTP: this mailbox does not exist, has moved, or its name cannot be (RFC 5321 4.2.3; RFC 7504).
_NO_SUCH_MAILBOX = frozenset({521, 550, 551, 553, 556})

_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


def enhanced_code(reply: str) -> str | None:
    """The enhanced status code of an SMTP reply (RFC 3463), as in `5.1.1`."""
    found = _ENHANCED.search(reply[:80])
    return found.group(0) if found else None


#: What a message says can be undone while it waits through the night. Those it then no longer
#: holds for, by the status it takes for granted, are not sent late.
_HOLDS_WHILE: Mapping[Occasion, frozenset[str]] = MappingProxyType(
    {
        Occasion.RESOLVED: frozenset({"resolved", "closed"}),
        Occasion.REJECTED: frozenset({"rejected"}),
        Occasion.REOPENED: frozenset(
            {"received", "triaged", "assigned", "in_progress", "on_hold", "reopened"}
        ),
    }
)

#: A younger message is told even if the next one contradicts it: people were there to see both.
LATE = timedelta(hours=1)


def is_overtaken(occasion: Occasion, status: str, waited: timedelta) -> bool:
    """Whether a message has waited so long that the report's status has left it behind."""
    holds = _HOLDS_WHILE.get(occasion)
    return waited >= LATE and holds is not None and status not in holds


def fault_of_smtp(code: int, enhanced: str | None = None) -> Fault:
    """Whose fault an SMTP reply is; `code` 0 or less: the line broke.

    The enhanced code decides where the plain one is ambiguous: 550 says "no such mailbox" and
    "you may not relay" alike.
    """
    if code < 500:
        return Fault.TRY_AGAIN
    subject, detail = (int(part) for part in enhanced.split(".")[1:]) if enhanced else (None, None)
    if subject == 7:
        return Fault.OUR_BUG  # Policy or security: relaying refused, blocked, not signed in.
    if subject == 2 and detail == 2:
        return Fault.TRY_AGAIN  # The mailbox is full; people do empty them.
    if subject == 1 and detail not in (7, 8) and code in _NO_SUCH_MAILBOX | {501, 554}:
        return Fault.GIVE_UP_ON_RECIPIENT  # Address; 7 and 8 are the sender's, which is ours.
    if subject == 1 and detail in (7, 8):
        return Fault.OUR_BUG
    if subject == 2:
        return Fault.GIVE_UP_ON_RECIPIENT  # The mailbox is disabled or takes nothing.
    if code in _NO_SUCH_MAILBOX:
        return Fault.GIVE_UP_ON_RECIPIENT
    if code == 552 and subject != 3:
        return Fault.TRY_AGAIN  # Storage exceeded, not the size of the message.
    return Fault.OUR_BUG


#: HTTP: the other side is overloaded, starting, or slow.
_HTTP_AGAIN = frozenset({408, 409, 421, 423, 425, 429})


def fault_of_http(status: int, *, channel: Channel) -> Fault | None:
    """Whose fault an HTTP answer is; None: it went well. `status` 0: no answer at all."""
    if 200 <= status < 300:
        return None
    if status == 0 or status in _HTTP_AGAIN or status >= 500:
        return Fault.TRY_AGAIN
    if channel is Channel.PUSH and status in (404, 410):
        return Fault.GIVE_UP_ON_RECIPIENT  # RFC 8030 section 7.3: the subscription is over.
    if channel is Channel.WEBHOOK:
        # The endpoint is somebody else's program under repair: only "gone" is final.
        return Fault.GIVE_UP_ON_RECIPIENT if status == 410 else Fault.TRY_AGAIN
    return Fault.OUR_BUG


#: Waits after the first, second… failure: a minute for a hiccup, half a day for a broken week-end.
_WAITS_S = (60, 180, 600, 1800, 5400, 14400, 36000, 36000, 36000, 36000)

#: After so many failures, about two days, the message becomes a dead letter.
MAX_ATTEMPTS = len(_WAITS_S) + 1

#: No wait is longer, whatever jitter or a provider asks for.
LONGEST_WAIT = timedelta(hours=12)


def retry_after(attempts: int, jitter: float) -> timedelta:
    """How long to wait after that many failures (1 or more): one minute to twelve hours.

    Args:
        jitter: 0 to 1, drawn by the caller, lengthens the wait by up to a fifth, so that what
            failed together is not tried again together.
    """
    base = _WAITS_S[min(max(attempts, 1), len(_WAITS_S)) - 1]
    return min(timedelta(seconds=base * (1 + 0.2 * jitter)), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery."""

    state: DeliveryState
    next_attempt_at: datetime


def after_failure(
    fault: Fault, attempts: int, now: datetime, jitter: float, *, asked_wait_s: int | None = None
) -> Verdict:
    """What becomes of a delivery that has now failed `attempts` times.

    Our own fault is not tried again by itself: the same message would fail the same way. It is a
    dead letter, loud, until somebody has repaired the cause and sends it again.
    """
    if fault is Fault.GIVE_UP_ON_RECIPIENT:
        return Verdict(DeliveryState.GONE, now)
    if fault is Fault.OUR_BUG or attempts >= MAX_ATTEMPTS:
        return Verdict(DeliveryState.DEAD, now)
    wait = retry_after(attempts, jitter)
    if asked_wait_s is not None:
        wait = min(max(wait, timedelta(seconds=asked_wait_s)), LONGEST_WAIT)
    return Verdict(DeliveryState.PENDING, now + wait)


#: A webhook endpoint that has answered nothing well for so long is switched off.
ENDPOINT_PATIENCE = timedelta(days=5)


#: When the working day of a digest begins, by the jurisdiction's clock.
DIGEST_AT = time(8)

#: A digest reaches back no further, a team's first one just so far.
DIGEST_REACH = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time that a digest covers: from `start` up to, not with, `end`."""

    start: datetime
    end: datetime


def digest_window(
    choice: str,
    last_end: datetime | None,
    now: datetime,
    zone: tzinfo,
    is_working_day: Callable[[date], bool],
) -> Window | None:
    """The window of the digest that is due now for a team with that choice; None: not yet.

    Windows follow each other without a gap, so that a digest missed while we were down is made
    up by one longer digest.
    """
    if choice == "immediately":
        end: datetime | None = now.replace(second=0, microsecond=0)
    elif choice == "hourly":
        end = now.replace(minute=0, second=0, microsecond=0)
    elif choice == "daily":
        end = _last_morning(now, zone, is_working_day)
    else:
        return None
    if end is None or (last_end is not None and end <= last_end):
        return None
    start = last_end if last_end is not None else end - DIGEST_REACH
    return Window(max(start, end - DIGEST_REACH), end)


def _last_morning(
    now: datetime, zone: tzinfo, is_working_day: Callable[[date], bool]
) -> datetime | None:
    today = now.astimezone(zone).date()
    for days in range(DIGEST_REACH.days + 1):
        day = today - timedelta(days=days)
        morning = datetime.combine(day, DIGEST_AT, zone).astimezone(now.tzinfo)
        if morning <= now and is_working_day(day):
            return morning
    return None


def _clock(text: object) -> time:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is no clock time like 21:00")
    return time(int(found.group(1)), int(found.group(2)))
