"""What a phone is told of its trip, in words, in both languages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sensing.traces import Mark
from sensing.vocabulary import TripState

Texts = Mapping[str, str]


def _texts(en: str, fr: str) -> Texts:
    return MappingProxyType({"en": en, "fr": fr})


STATES: Mapping[TripState, Texts] = {
    TripState.UPLOADING: _texts(
        "Parts of this trip are still missing.", "Il manque encore des parties de ce trajet."
    ),
    TripState.RECEIVED: _texts(
        "The trip has arrived and waits to be analysed.",
        "Le trajet est arrivé et attend d’être analysé.",
    ),
    TripState.ANALYSED: _texts(
        "The trip was analysed and its samples were deleted. Thank you.",
        "Le trajet a été analysé et ses mesures effacées. Merci.",
    ),
    TripState.MARKED: _texts(
        "The trip could be read, but nothing can be learnt from it. Nothing of it was kept.",
        "Le trajet est lisible, mais il n’apprend rien. Rien n’en a été gardé.",
    ),
    TripState.REFUSED: _texts(
        "The trip could not be read. Nothing of it was kept.",
        "Le trajet n’a pas pu être lu. Rien n’en a été gardé.",
    ),
}

#: Instead of `ANALYSED`, of a trip whose driver gave it to research: not all of it was deleted.
KEPT_FOR_RESEARCH = _texts(
    "The trip was analysed. As you wished, a copy stays for research for a while, without its"
    " ends, its day and your phone’s key. Thank you.",
    "Le trajet a été analysé. Comme vous l’avez souhaité, une copie reste quelque temps pour la"
    " recherche, sans ses deux bouts, sans son jour et sans la clé de votre téléphone. Merci.",
)

MARKS: Mapping[Mark, Texts] = {
    Mark.G_UNITS: _texts(
        "The accelerations were in g; they were converted to m/s².",
        "Les accélérations étaient en g ; elles ont été converties en m/s².",
    ),
    Mark.MILLISECONDS: _texts(
        "The times were in milliseconds; they were converted to seconds.",
        "Les temps étaient en millisecondes ; ils ont été convertis en secondes.",
    ),
    Mark.UNSORTED: _texts(
        "Samples were out of order; they were sorted.",
        "Des mesures étaient dans le désordre ; elles ont été triées.",
    ),
    Mark.DUPLICATES: _texts(
        "Samples came twice; each was counted once.",
        "Des mesures figuraient deux fois ; chacune a été comptée une fois.",
    ),
    Mark.GAPS: _texts(
        "Samples are missing in places; what lies there is unknown.",
        "Il manque des mesures par endroits ; on ignore ce qui s’y trouve.",
    ),
    Mark.BAD_SAMPLES: _texts(
        "Samples that are no numbers, or impossible, were left out.",
        "Des mesures illisibles ou impossibles ont été laissées de côté.",
    ),
    Mark.BAD_LINES: _texts(
        "Lines with more or fewer columns than the header were left out.",
        "Des lignes qui ont plus ou moins de colonnes que l’en-tête ont été laissées de côté.",
    ),
    Mark.LOW_RATE: _texts(
        "Fewer than 20 samples a second: bumps are found less surely.",
        "Moins de 20 mesures par seconde : les secousses sont détectées moins sûrement.",
    ),
    Mark.TELEPORT: _texts(
        "The position jumped; the wrong places were left out.",
        "La position a fait des sauts ; les points erronés ont été laissés de côté.",
    ),
    Mark.NO_POSITIONS: _texts(
        "There are no positions: nobody can tell where the road was bad.",
        "Il n’y a pas de positions : on ne peut pas dire où la chaussée était abîmée.",
    ),
    Mark.NO_SPEED: _texts(
        "The phone told no speed; it was computed from the positions.",
        "Le téléphone n’a pas donné la vitesse ; elle a été calculée d’après les positions.",
    ),
    Mark.STILL: _texts(
        "The accelerometer always says the same: it is off or broken.",
        "L’accéléromètre dit toujours la même chose : il est éteint ou en panne.",
    ),
    Mark.TOO_FAST: _texts(
        "This was faster than a car: a train or a plane?",
        "C’était plus rapide qu’une voiture : un train ou un avion ?",
    ),
    Mark.NOT_A_CAR: _texts(
        "This was slower than a car: a bicycle or a walk?",
        "C’était plus lent qu’une voiture : un vélo ou une promenade ?",
    ),
    Mark.TOO_SHORT: _texts(
        "The trip is too short: the surroundings of its beginning and end are never kept, and"
        " nothing lies between them.",
        "Le trajet est trop court : les environs du départ et de l’arrivée ne sont jamais gardés,"
        " et il n’y a rien entre les deux.",
    ),
}

#: Why a trip was refused, by the code of the error.
REASONS: Mapping[str, Texts] = {
    "trip_unreadable": _texts(
        "The file cannot be read as a trip.", "Le fichier ne peut pas être lu comme un trajet."
    ),
    "trip_not_gzip": _texts(
        "The file is not gzip, or it is broken off.",
        "Le fichier n’est pas du gzip, ou il est incomplet.",
    ),
    "trip_too_large": _texts(
        "The trip is too large: 20 MB and four hours are the most.",
        "Le trajet est trop volumineux : 20 Mo et quatre heures au plus.",
    ),
    "trip_part_too_large": _texts(
        "The part is too large: cut the file into parts of at most 5 MB.",
        "La partie est trop volumineuse : découpez le fichier en parties de 5 Mo au plus.",
    ),
    "trip_empty": _texts(
        "The trip has too few samples.", "Le trajet contient trop peu de mesures."
    ),
    "trip_times": _texts(
        "The times are not seconds since 1970, or span more than four hours.",
        "Les temps ne sont pas des secondes depuis 1970, ou couvrent plus de quatre heures.",
    ),
    "trip_from_future": _texts(
        "The trip lies in the future: is the phone’s clock right?",
        "Le trajet est dans le futur : l’horloge du téléphone est-elle juste ?",
    ),
    "trip_units": _texts(
        "The accelerations are neither in m/s² nor in g, or lack gravity.",
        "Les accélérations ne sont ni en m/s² ni en g, ou il y manque la pesanteur.",
    ),
    "trip_positions": _texts(
        "The positions cannot be read: are latitude and longitude swapped?",
        "Les positions sont illisibles : latitude et longitude sont-elles inversées ?",
    ),
    "trip_broken": _texts(
        "What was stored of the trip could not be read again. Please do not send it anew.",
        "Ce qui était enregistré du trajet n’a pas pu être relu. Merci de ne pas le renvoyer.",
    ),
}


def state(of: TripState, *, is_kept: bool) -> Texts:
    """What became of a trip; `is_kept`: research has a copy once it is analysed."""
    return KEPT_FOR_RESEARCH if is_kept and of is TripState.ANALYSED else STATES[of]


def reason(code: str) -> Texts:
    """Why a trip was refused."""
    return REASONS.get(code, REASONS["trip_unreadable"])
