"""What can be wrong with a sign-in, a person or a key."""

from __future__ import annotations

from core.errors import ConflictError, ForbiddenError, InvalidError, NotSignedInError


class SignInFailedError(NotSignedInError):
    """Address and password do not fit; whether the account exists is not said."""

    code = "sign_in_failed"
    title = "The e-mail address and the password do not fit"


class ProofFailedError(NotSignedInError):
    """A mailed link or code is wrong, was used, or has expired; which of them is not said."""

    code = "proof_failed"
    title = "This link or code is wrong, was used already, or has expired"


class SecondFactorOffError(InvalidError):
    """A one-time password was sent, and there is no second factor to check it against."""

    code = "second_factor_off"
    title = "No second factor is set up; leave `otp` out"


class SecondFactorNeededError(ForbiddenError):
    """The city demands a second factor of its staff, and this session was opened without one."""

    code = "second_factor_needed"
    title = "This needs a session that was opened with a second factor"


class SessionNeededError(ForbiddenError):
    """A key may act for its person, and may not change how that person signs in."""

    code = "session_needed"
    title = "This needs a session; a key does not do"


class NotASessionError(ConflictError):
    """The caller is known by a key, which has no session to end."""

    code = "not_a_session"
    title = "You are known by a key, not by a session"


class WeakPasswordError(InvalidError):
    """The password is too short, too simple, or the address itself."""

    code = "weak_password"
    title = "The password is too weak"


class NoSuchPersonError(InvalidError):
    """Nobody has that address."""

    code = "no_such_person"
    title = "Nobody has this e-mail address"


class InactivePersonError(ConflictError):
    """That person was deactivated."""

    code = "inactive_person"
    title = "This person is deactivated"


class NotAnEmailError(InvalidError):
    """The text cannot be an e-mail address."""

    code = "not_an_email"
    title = "This is not an e-mail address"


class NoSuchTeamError(InvalidError):
    """The jurisdiction has no such team at work."""

    code = "no_such_team"
    title = "There is no team of that code"


class CsrfFailedError(ForbiddenError):
    """A browser's session sent it, and nothing shows that its owner meant to."""

    code = "csrf_failed"
    title = "This was not sent from a page of this site, or the page is out of date"
