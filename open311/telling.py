"""What staff and citizens read in a report of what happened with other systems. Pure.

Notes to staff quote the other system's words, shortened; they go with the person's words when
somebody is erased.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from core.i18n import pick

#: As much of the other side's text as stands in a note.
QUOTED = 1000


class Note(enum.Enum):
    """What a report's history is told of its forwarding."""

    SENT = "sent"
    SENT_UNFOLLOWED = "sent_unfollowed"
    REFUSED = "refused"
    UNKNOWN_SERVICE = "unknown_service"
    NO_PLACE = "no_place"
    LOST = "lost"
    GIVEN_UP = "given_up"
    TOKEN_EXPIRED = "token_expired"
    LEFT = "left"
    DUPLICATE = "duplicate"
    DISAGREES = "disagrees"
    PHOTO = "photo"
    REJECTED = "rejected"
    NOT_FETCHED = "not_fetched"
    AGAIN = "again"
    BY_HAND = "by_hand"
    KNOWN_AS = "known_as"
    SETTLED = "settled"


_NOTES: Mapping[Note, Mapping[str, str]] = {
    Note.SENT: {
        "fr": "Transmis à {name} sous le numéro {said}.",
        "en": "Forwarded to {name} as number {said}.",
    },
    Note.SENT_UNFOLLOWED: {
        "fr": "Transmis à {name}, qui ne donne pas de numéro : rien n’en reviendra de soi-même.",
        "en": "Forwarded to {name}, which gives no number: nothing will come back by itself.",
    },
    Note.REFUSED: {
        "fr": "{name} a refusé ce signalement : « {said} ». À corriger, puis à renvoyer.",
        "en": "{name} refused this report: “{said}”. Somebody has to correct it and send it again.",
    },
    Note.UNKNOWN_SERVICE: {
        "fr": "{name} ne connaît pas cette catégorie : à transmettre autrement.",
        "en": "{name} has no such service: somebody has to pass this on in another way.",
    },
    Note.NO_PLACE: {
        "fr": "{name} demande un lieu : à localiser d’abord.",
        "en": "{name} asks for a place: somebody has to locate this first.",
    },
    Note.LOST: {
        "fr": "{name} n’a pas répondu et sa liste ne dit pas s’il a reçu ce signalement :"
        " à vérifier auprès de lui avant de renvoyer. {said}",
        "en": "{name} did not answer, and its list does not tell whether it has this report: ask"
        " there before sending it again. {said}",
    },
    Note.GIVEN_UP: {
        "fr": "{name} ne répond pas depuis trop longtemps ({said}) : à transmettre autrement ou à"
        " renvoyer.",
        "en": "{name} has not answered for too long ({said}): pass this on in another way, or send"
        " it again.",
    },
    Note.TOKEN_EXPIRED: {
        "fr": "{name} a accepté ce signalement sans lui donner de numéro (jeton {said}) :"
        " à vérifier auprès de lui.",
        "en": "{name} accepted this report and never gave it a number (token {said}): ask there.",
    },
    Note.LEFT: {
        "fr": "Déjà transmis à {name} sous le numéro {said} : à prévenir, ce signalement est"
        " maintenant à une autre équipe.",
        "en": "Already forwarded to {name} as number {said}: tell them, it is another team’s now.",
    },
    Note.DUPLICATE: {
        "fr": "{name} tient ce signalement pour un doublon. {said}",
        "en": "{name} takes this for a duplicate. {said}",
    },
    Note.DISAGREES: {
        "fr": "Terminé chez {name} ({said}), ouvert ici : à voir avec eux, rien ne le leur dit.",
        "en": "Over at {name} ({said}), open here: talk to them, nothing tells them.",
    },
    Note.PHOTO: {
        "fr": "Photo de {name} : {said}",
        "en": "Photo from {name}: {said}",
    },
    Note.REJECTED: {
        "fr": "Le service compétent n’y donne pas suite.",
        "en": "The service in charge will take no action.",
    },
    Note.NOT_FETCHED: {
        "fr": "La photo à l’adresse {name} n’a pas pu être reprise ({said}).",
        "en": "The photo at the address {name} could not be fetched ({said}).",
    },
    Note.AGAIN: {
        "fr": "À renvoyer à {name}.",
        "en": "To be sent to {name} again.",
    },
    Note.BY_HAND: {
        "fr": "L’envoi à {name} est arrêté : une personne s’en charge.",
        "en": "No longer sent to {name} by itself: somebody takes care of it.",
    },
    Note.KNOWN_AS: {
        "fr": "{name} a ce signalement sous le numéro {said}.",
        "en": "{name} has this report as number {said}.",
    },
    Note.SETTLED: {
        "fr": "L’envoi à {name} est réglé autrement.",
        "en": "Settled with {name} in another way.",
    },
}


def note(kind: Note, locale: str, name: str, said: str | None = None) -> str:
    """A note in a language of the city.

    Args:
        name: of the other system, or the address of a photo.
        said: its words, an id, or a kind of failure.
    """
    quoted = (said or "")[:QUOTED]
    return pick(_NOTES[kind], locale).format(name=name, said=quoted or "?").strip()
