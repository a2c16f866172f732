"""Who may do what, what a password must be, how long a sign-in lasts. Pure."""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta


class Role(enum.StrEnum):
    """What somebody is to a jurisdiction; `PERMISSIONS` says what each may do."""

    VIEWER = "viewer"
    AGENT = "agent"
    MANAGER = "manager"
    ADMIN = "admin"
    COORDINATOR = "coordinator"
    AUDITOR = "auditor"
    CITIZEN = "citizen"


class Display(enum.StrEnum):
    """How much of somebody's name the public sees."""

    FULL = "full"
    FIRST = "first"
    ANONYMOUS = "anonymous"


class BlockKind(enum.StrEnum):
    """What is kept from filing reports."""

    NETWORK = "network"
    EMAIL = "email"
    PHONE = "phone"
    PERSON = "person"


class Permission(enum.StrEnum):
    """One thing that somebody may or may not do."""

    READ_REPORTS = "reports.read"  # staff view: everything but contact data
    READ_CONTACTS = "reports.read_contacts"
    TAKE_CALLS = "reports.take_calls"  # file a report on behalf of a citizen
    WORK_REPORTS = "reports.work"  # status, comment, question, photo
    TRIAGE_REPORTS = "reports.triage"  # assign, join, re-route, change service
    MANAGE_CITY = "city.manage"  # webhooks, rules, teams
    MANAGE_PEOPLE = "people.manage"
    READ_AUDIT = "audit.read"
    MANAGE_ASSETS = "assets.manage"  # the register: enter, change, decide on corrections
    COORDINATE_VOLUNTEERS = "volunteers.coordinate"


_VIEWER = frozenset({Permission.READ_REPORTS})
_AGENT = _VIEWER | {
    Permission.READ_CONTACTS,
    Permission.TAKE_CALLS,
    Permission.WORK_REPORTS,
    Permission.TRIAGE_REPORTS,
}
_MANAGER = _AGENT | {Permission.MANAGE_CITY, Permission.MANAGE_ASSETS}
_ADMIN = _MANAGER | {Permission.MANAGE_PEOPLE, Permission.COORDINATE_VOLUNTEERS}

#: What each role may do, in the scope it was granted for.
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.CITIZEN: frozenset(),
    Role.VIEWER: _VIEWER,
    Role.AGENT: _AGENT,
    Role.MANAGER: _MANAGER,
    Role.ADMIN: _ADMIN,
    Role.COORDINATOR: frozenset(
        {
            Permission.READ_REPORTS,
            Permission.MANAGE_ASSETS,
            Permission.COORDINATE_VOLUNTEERS,
        }
    ),
    Role.AUDITOR: frozenset(
        {Permission.READ_REPORTS, Permission.READ_CONTACTS, Permission.READ_AUDIT}
    ),
}

#: Staff see personal data: they sign in once a working day. (OWASP ASVS 4.0, 3.3.2, level 2.)
STAFF_SESSION = timedelta(hours=12)

#: And again in a browser that was left alone for so long: it may stand on a counter. (NIST SP
#: 800-63B, 4.2.3.) A telephone locks itself, so an app's session has no such end.
STAFF_IDLE = timedelta(minutes=30)

#: Citizens see their own reports only, and look at them rarely.
CITIZEN_SESSION = timedelta(days=14)

#: A mailed link or code works for so long, and this many wrong answers end it.
CHALLENGE_LIFETIME = timedelta(minutes=15)
CHALLENGE_TRIES = 5

#: An address gets no more than so many links in an hour: whoever asks for more is not told so,
#: and nobody's mailbox is filled by a stranger.
LINKS_PER_HOUR = 5

#: Codes have a million values. After so many wrong ones in a day an address can only be proved by
#: the link, which cannot be guessed: even a patient stranger stays below 1 in 100 in a year.
WRONG_CODES_PER_DAY = 25

#: So many failed sign-ins at an address cost nothing: people mistype. Each further one locks it,
#: for a minute and then twice as long each time, up to an hour: a stranger has some 30 guesses in
#: the first day and 24 in each one after it (OWASP ASVS 4.0, 2.2.1 allows 100 in an hour).
FREE_FAILURES = 5
FIRST_LOCK = timedelta(minutes=1)
LONGEST_LOCK = timedelta(hours=1)

#: After a day without a failure the count begins anew.
FAILURES_KEPT = timedelta(days=1)

#: For so long after signing in by a mailed link, a code or the city's provider nobody is asked once
#: more who they are, before something is changed that a stranger at an open device would change.
FRESH_PROOF = timedelta(minutes=15)

#: So long a second factor may be under way between its secret and its first code.
SECOND_FACTOR_SETUP = timedelta(minutes=15)

#: More keys than this nobody tells apart.
KEYS_PER_PERSON = 20

#: A key ends after so long unless its maker says otherwise, and after a year whoever says what.
KEY_DAYS = 90
KEY_DAYS_MAX = 366

#: An invitation is answered within a week, or asked for again.
INVITATION_LIFETIME = timedelta(days=7)

#: That a session is used is noted once in so long; a write per request would cost more than it
#: tells.
SEEN_RECORDED_EVERY = timedelta(minutes=5)

#: OWASP ASVS 4.0, 2.1.1 and 2.1.2; the upper bound keeps hashing cheap.
PASSWORD_MIN = 12
PASSWORD_MAX = 128

#: Fewer different characters than this is a pattern, not a password.
PASSWORD_MIN_DISTINCT = 5

#: Shorter words are in everything.
WORD_MIN = 4

#: With fewer characters than this beside the words of `is_about`, they are the password.
LEFT_MIN = 6

#: Where people put what they were told to add.
_TRIMMINGS = "0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

#: Digits and signs that stand for letters.
_LOOKALIKES = str.maketrans("013457@$!8", "oieastasib")

_ROWS = tuple(
    row * 2
    for row in (
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789",
        "1234567890",
        "qwertyuiopasdfghjklzxcvbnm",
        "azertyuiopqsdfghjklmwxcvbn",
    )
)

#: RFC 5321, section 4.5.3.1.3: a path has 256 octets, two of them angle brackets.
EMAIL_MAX = 254

# One @, a name without spaces or controls, a domain of at least two labels. Whether mail arrives
# is what the mailed link finds out; this only keeps out what can never be an address.
_EMAIL = re.compile(
    r"""[^\s@<>()\[\],;:\\"\x00-\x1f\x7f]{1,64}@
        (?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])?""",
    re.VERBOSE,
)


class PasswordFault(enum.StrEnum):
    """Why a password is refused."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_SIMPLE = "too_simple"
    LIKE_THE_ADDRESS = "like_the_address"
    COMMON = "common"
    ABOUT_THE_PERSON = "about_the_person"


def session_lifetime(roles: Iterable[Role]) -> timedelta:
    """How long a session of somebody with these roles lasts, from sign-in, used or not."""
    return STAFF_SESSION if any(PERMISSIONS[role] for role in roles) else CITIZEN_SESSION


def is_idle(last_seen_at: datetime, now: datetime) -> bool:
    """Whether a browser's session was left alone too long for one of staff.

    Never before `STAFF_IDLE`, and at most `SEEN_RECORDED_EVERY` after it.
    """
    return now - last_seen_at > STAFF_IDLE + SEEN_RECORDED_EVERY


def lock_after(failures: int) -> timedelta | None:
    """How long an address is locked after so many failures in a row; None: not at all."""
    if failures < FREE_FAILURES:
        return None
    # Six doublings pass the hour; more would only make the number large.
    doublings = min(failures - FREE_FAILURES, 6)
    return min(LONGEST_LOCK, FIRST_LOCK * (1 << doublings))


def normal_email(text: str) -> str:
    """The address as it is compared and stored: trimmed, composed (NFC), in lower case."""
    # Composed once more: "İ" in lower case is two characters.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).lower())


def is_email(text: str) -> bool:
    """Whether a normal form (`normal_email`) can be an e-mail address."""
    if len(text) > EMAIL_MAX or _EMAIL.fullmatch(text) is None:
        return False
    # Invisible characters would let two addresses look like one.
    return not any(unicodedata.category(letter)[0] == "C" for letter in text)


def normal_password(text: str) -> str:
    """The password as it is hashed: keyboards write "é" in two ways (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", text)


def folded_password(text: str) -> str:
    """The password without its capitals, as lists of common ones are compared."""
    return normal_password(text).casefold()


def password_forms(password: str) -> Iterator[str]:
    """What a list of common passwords is asked for: the password, and what it was made of.

    "P4ssw0rd2024!" is "password" with a year behind it, and "dragondragon" is "dragon" twice.
    """
    folded = folded_password(password)
    for form in (folded, folded.strip(_TRIMMINGS)):
        if len(form) < WORD_MIN:
            continue
        yield form
        yield form.translate(_LOOKALIKES)
        half = form[: len(form) // 2]
        if len(half) >= WORD_MIN and form == half * 2:
            yield half
            yield half.translate(_LOOKALIKES)


def is_about(password: str, words: Iterable[str]) -> bool:
    """Whether little more than these words is in the password: a name, a city, a year."""
    left = folded_password(password).translate(_LOOKALIKES)
    known = {
        part.translate(_LOOKALIKES)
        for word in words
        for part in re.split(r"[\W_]+", folded_password(word))
        if len(part) >= WORD_MIN
    }
    for part in sorted(known, key=len, reverse=True):
        left = left.replace(part, "")
    return bool(known) and len(left) < LEFT_MIN


def is_row(password: str) -> bool:
    """Whether the password walks along the alphabet, the digits or a row of keys."""
    folded = folded_password(password)
    return any(folded in row or folded in row[::-1] for row in _ROWS)


def password_fault(password: str, email: str, *, about: Iterable[str] = ()) -> PasswordFault | None:
    """Why `password` will not do for the person of that address; None when it does.

    Args:
        about: what a stranger knows of the person: the name, the city.
    """
    password = normal_password(password)
    if len(password) < PASSWORD_MIN:
        return PasswordFault.TOO_SHORT
    if len(password) > PASSWORD_MAX:
        return PasswordFault.TOO_LONG
    if len(set(password)) < PASSWORD_MIN_DISTINCT:
        return PasswordFault.TOO_SIMPLE
    if password.lower() in (email, email.partition("@")[0]):
        return PasswordFault.LIKE_THE_ADDRESS
    if is_row(password):
        return PasswordFault.TOO_SIMPLE
    if is_about(password, (email, "riverain", *about)):
        return PasswordFault.ABOUT_THE_PERSON
    return None
