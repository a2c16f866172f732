"""What can be wrong with a sign-in, a person or a key."""

from __future__ import annotations

from core.errors import ConflictError, DomainError, ForbiddenError, InvalidError, NotSignedInError


class SignInFailedError(NotSignedInError):
    """Address and password do not fit; whether the account exists is not said."""

    code = "sign_in_failed"
    title = "The e-mail address and the password do not fit"


class ProofFailedError(NotSignedInError):
    """A mailed link or code is wrong, was used, or has expired; which of them is not said."""

    code = "proof_failed"
    title = "This link or code is wrong, was used already, or has expired"


class LockedError(DomainError):
    """Too many sign-ins failed at that address, whether or not somebody has it."""

    status = 429
    code = "locked"
    title = "Too many failed sign-ins; wait, or have a link sent to you"


class OneTimePasswordNeededError(NotSignedInError):
    """Address and password fit, and this person also has a second factor."""

    code = "second_factor_needed"
    title = "Send `otp` as well: a code of the authenticator app, or a recovery code"


class WrongCodeError(InvalidError):
    """Not a code of the authenticator app, or one that was used already."""

    code = "wrong_code"
    title = "This code is wrong or was used already"


class WrongPasswordError(InvalidError):
    """What was sent as the present password is not."""

    code = "wrong_password"
    title = "This is not the present password"


class SecondFactorOnError(ConflictError):
    """A second factor is in force."""

    code = "second_factor_on"
    title = "A second factor is set up already; turn it off first"


class SecondFactorOffError(InvalidError):
    """There is no second factor to check against, or to change."""

    code = "second_factor_off"
    title = "No second factor is set up"


class SecondFactorNeededError(ForbiddenError):
    """The city demands a second factor of its staff, and this session was opened without one."""

    code = "second_factor_needed"
    title = "This needs a session that was opened with a second factor"


class FreshProofNeededError(ForbiddenError):
    """The session may be an open device that a stranger found."""

    code = "fresh_proof_needed"
    title = "Send your password, or sign in again by link or code and do it within 15 minutes"


class SessionNeededError(ForbiddenError):
    """A key may act for its person, and may not change how that person signs in."""

    code = "session_needed"
    title = "This needs a session; a key does not do"


class NotASessionError(ConflictError):
    """The caller is known by a key, which has no session to end."""

    code = "not_a_session"
    title = "You are known by a key, not by a session"


class ContactProofFailedError(InvalidError):
    """The code for a new contact is wrong, was used, or has expired; which of them is not said."""

    code = "proof_failed"
    title = "This code is wrong, was used already, or has expired"


class ContactTakenError(ConflictError):
    """The contact was proved, and is another person's."""

    code = "contact_taken"
    title = "This contact belongs to another account"


class OwnContactError(ConflictError):
    """The contact is the caller's already."""

    code = "own_contact"
    title = "This contact is yours already"


class LastContactError(ConflictError):
    """Without it, nobody could reach the person, or they could not sign in."""

    code = "last_contact"
    title = "This contact is needed to reach you; add another one first"


class CountryMissingError(InvalidError):
    """A national number, where several cities are served."""

    code = "country_needed"
    title = "Write the number with its country, like +33 6 12 34 56 78"


class NotTextableError(InvalidError):
    """The number is of a kind that takes no texts."""

    code = "not_textable"
    title = "This number cannot receive texts; give a mobile number"


class TooManyContactsError(DomainError):
    """Somebody asked for proofs of new contacts too often."""

    status = 429
    code = "too_many_contacts"
    title = "You asked for too many codes; wait a little"


class PosingNameError(InvalidError):
    """Everybody would take that name for the city's or a team's."""

    code = "posing_name"
    title = "This name looks like an office's; choose another one, or stay anonymous"


class WeakPasswordError(InvalidError):
    """The password is too short, too simple, or the address itself."""

    code = "weak_password"
    title = "The password is too weak"


class TooManyKeysError(ConflictError):
    """The person has as many keys as one person can keep track of."""

    code = "too_many_keys"
    title = "There are too many keys; revoke those that are not used"


class WiderThanOwnError(ForbiddenError):
    """Nobody gives away more than they hold."""

    code = "wider_than_own"
    title = "You cannot give what you do not hold there"


class AlreadyHeldError(ConflictError):
    """The person has that role there."""

    code = "already_held"
    title = "This person has that role already"


class AlreadyInvitedError(ConflictError):
    """An invitation of that address to that role is open."""

    code = "already_invited"
    title = "This address is invited already; send the invitation again instead"


class LastAdminError(ConflictError):
    """The city would have nobody left who manages its people."""

    code = "last_admin"
    title = "This is the city's last administrator; name another one first"


class WorksElsewhereError(ConflictError):
    """The person also holds roles that the caller does not manage."""

    code = "works_elsewhere"
    title = "This person also holds roles that you do not manage; take theirs here away instead"


class OwnAccountError(ConflictError):
    """Nobody shuts themselves out by mistake."""

    code = "own_account"
    title = "This is your own account"


class HasPasswordError(ConflictError):
    """An invitation proves an address, and does not replace a password."""

    code = "has_password"
    title = "This account has a password already; leave `password` out"


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
