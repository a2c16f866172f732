"""Does a text name somebody? Phone numbers, e-mail addresses, plates, names of people. Pure.

A simple rule, not a judgement: it decides that a person looks before the public does, never that a
report is refused. It is made for what people write in French and English to a city hall, where
streets carry the names of people ("avenue du Docteur Pezet", "Dr King Boulevard") and most numbers
are of houses, cases and days. It finds what stands beside a sign of a person (a title, "my
neighbour", a signature); a bare first and last name it does not find, because streets, parks and
schools are called just so. Tests hold it against a table of cases, and against real texts.

Positions count characters (Unicode code points) of the text as it was given.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

import phonenumbers


@enum.unique
class Kind(enum.StrEnum):
    """What was found."""

    PHONE = "phone"
    EMAIL = "email"
    PLATE = "plate"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Finding:
    """A part of the text: from the character at `start` up to the one before `end`."""

    kind: Kind
    start: int
    end: int


#: National numbers are read as of the city's country and of these.
_COUNTRIES = ("FR", "US")


def findings(text: str, country: str) -> list[Finding]:
    """What in the text points to a person, in the order of the text, none inside another.

    Args:
        country: ISO 3166-1 alpha-2, whose national phone numbers are meant.
    """
    # Each search that costs is behind a look that hardly does: most texts have no digit but the
    # number of a house, and no title.
    found: list[Finding] = []
    if "@" in text:
        found += (Finding(Kind.EMAIL, *match.span()) for match in _EMAIL.finditer(text))
    if _TWO_DIGITS.search(text) is not None:
        if _MANY_DIGITS.search(text) is not None:
            found += _phones(text, country)
        if _DIGITS_THEN_LETTERS.search(text) is not None:
            found += _plates(text, country)
    folded = text.casefold()
    if any(hint in folded for hint in _PLATE_HINTS):
        found += _plates_by_word(text)
    if _TITLE_HINT.search(folded) is not None or any(hint in folded for hint in _PERSON_HINTS):
        found += _names(text)
    return _apart(found) if len(found) > 1 else found


_TWO_DIGITS = re.compile(r"\d\d")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _apart(found: list[Finding]) -> list[Finding]:
    """In the order of the text; of two that overlap the one that begins first, else the longer."""
    kept: list[Finding] = []
    for each in sorted(found, key=lambda finding: (finding.start, -finding.end)):
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept


# -- e-mail addresses -----------------------------------------------------------------------------

_EMAIL = re.compile(r"[\w.+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")


# -- phone numbers --------------------------------------------------------------------------------

#: The shortest whole numbers have eight digits: Norway, Denmark.
_MANY_DIGITS = re.compile(r"(?:\d[\s.()/+\-\u2010-\u2015]{0,3}){8}")

#: What a number is when one of these stands before it: no phone number.
_OTHER_NUMBER = re.compile(
    r"(?:case|ticket|complaint|reference|service request|request|report|sr|ref|confirmation|dossier"
    r"|demande|signalement|r[ée]f[ée]rence|r[ée]f|num[ée]ro de dossier|invoice|facture|siret|siren"
    r"|permit|permis|meter|compteur|pole|lampadaire)"
    r"(?:\s+(?:number|num[ée]ro|no|nr|id|is|est))?\s*(?:#|n°|nº|:|\.)*\s*\Z",
    re.IGNORECASE,
)

#: A pair of coordinates, which has as many digits as two phone numbers.
_COORDINATES = re.compile(r"(?<![\d.])[+-]?\d{1,3}[.,]\d{4,}")


def _phones(text: str, country: str) -> Iterator[Finding]:
    taken: list[tuple[int, int]] = [match.span() for match in _COORDINATES.finditer(text)]
    for region in dict.fromkeys((country, *_COUNTRIES)):
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            span = (match.start, match.end)
            # A range of house numbers ("1310-1340") is a North American number without area code.
            number = match.number
            if number.country_code == 1 and (number.national_number or 0) < 10**9:
                continue
            if any(_overlap(span, other) for other in taken):
                continue
            taken.append(span)
            if _OTHER_NUMBER.search(text, max(0, match.start - 40), match.start) is None:
                yield Finding(Kind.PHONE, *span)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


# -- licence plates -------------------------------------------------------------------------------

#: The end of the one and the begin of the other of the two patterns below: the cheap look.
_DIGITS_THEN_LETTERS = re.compile(r"\d{2}(?:[ -]?[A-Z]{2}|-[a-z]{2})")

#: French plates since 2009: AA-123-AA, without I, O and U, nor the pair SS
#: (arrêté du 9 février 2009, article 1). In lower case only with its hyphens.
_SIV_LETTERS = "[A-HJ-NP-TV-Z]{2}"
_SIV = re.compile(
    rf"(?<![\w-])(?:{_SIV_LETTERS}([ -]?)\d{{3}}\1{_SIV_LETTERS}"
    rf"|(?i:{_SIV_LETTERS}-\d{{3}}-{_SIV_LETTERS}))(?![\w-])"
)

#: Before: 1234 AB 34, the number of the département last. "12 RUE 34" is none.
_FNI = re.compile(
    r"(?<![\w-])\d{2,4}[ -]?([A-HJ-NP-TV-Z]{2,3})[ -]?(?:0[1-9]|[1-8]\d|9[0-5]|2[AB]|97[1-6])"
    r"(?![\w-])"
)
_NO_SERIES = _words(
    """
    RUE AVE AV BD BLD BVD BIS TER ST RD TH ND LN DR PL SQ CT FT KM CM MM KG LBS HRS HR MN
    MIN AM PM AND THE MAY JAN FEB MAR APR JUN JUL AUG SEP DEC DES LES SUR PAR NE NW SE SW
    PCS
    """
)

#: With one of these words near, most forms of Europe and North America are taken. The words have
#: other meanings too (a steel plate, une plaque d'égout): what they stand near must still look
#: like a plate.
_PLATE_WORD = re.compile(
    r"\b(?:(?:licen[sc]e|vehicle|car|truck) tags?|(?:license|registration) no\b"
    r"|plates?|immatricul\w+|immat|plaques?|minéralogiques?)",
    re.IGNORECASE,
)
#: Every one of those words has one of these in it.
_PLATE_HINTS = ("plat", "tag", "immat", "plaque", "ralogique", "license no", "registration no")
_NEAR = 40
_PLATE = re.compile(r"(?<![\w-])[A-Z0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4}){1,2}(?![\w-])")
#: Right behind the word digits alone will do: "plate 4481920".
_PLATE_OF_DIGITS = re.compile(r"(?:\s*(?:#|n°|nº|no\.?|number|is|:|est)){0,2}\s*(\d{5,7})(?![\w-])")
_ORDINAL_OR_MEASURE = re.compile(
    r"\d+\s?(?:ST|ND|RD|TH|E|ER|EME|BIS|TER|FT|KM|CM|MM|M|H|AM|PM|KG|LBS?)", re.IGNORECASE
)
_PARTS = re.compile(r"[ -]")


def _plates(text: str, country: str) -> Iterator[Finding]:
    for match in _SIV.finditer(text):
        yield Finding(Kind.PLATE, *match.span())
    if country == "FR":
        for match in _FNI.finditer(text):
            if match[1] not in _NO_SERIES:
                yield Finding(Kind.PLATE, *match.span())


def _plates_by_word(text: str) -> Iterator[Finding]:
    for word in _PLATE_WORD.finditer(text):
        digits = _PLATE_OF_DIGITS.match(text, word.end())
        if digits is not None:
            yield Finding(Kind.PLATE, *digits.span(1))
        before = max(0, word.start() - _NEAR)
        for match in _PLATE.finditer(text, before, min(len(text), word.end() + _NEAR)):
            if _looks_like_plate(match[0]):
                yield Finding(Kind.PLATE, *match.span())


def _looks_like_plate(token: str) -> bool:
    parts = _PARTS.split(token)
    if any(part in _NO_SERIES or _ORDINAL_OR_MEASURE.fullmatch(part) for part in parts):
        return False
    letters = sum(map(str.isalpha, token))
    digits = sum(map(str.isdigit, token))
    return letters >= 1 and digits >= 2 and 5 <= letters + digits <= 8


# -- names of people ------------------------------------------------------------------------------

#: Titles, in lower case; the letter before comes second, so that the search runs from D to D.
_TITLE_HINT = re.compile(r"[dm](?<![^\W\d_][dm])(?:r|rs|s|m|me|lle|\.)(?![^\W\d_])")
#: Every pattern below that needs no such title has one of these in it, in lower case.
_PERSON_HINTS = (
    *("monsieur", "madame", "mademoiselle", "messieurs", "mister", "miss", "docteur", "doctor"),
    *("name is", "appelle", "nomm", "named", "voisin", "neighbo", "landl", "tenant", "locataire"),
    *("taire", "gardien", "concierge", "super", "cordialement", "salutations", "merci", "thank"),
    *("avance", "regards", "sincerely", "yours", " m "),
)

_UPPER = "A-ZÀ-ÖØ-ÞŒ"
#: A capitalised word: "Dupont", "O'Neil", "Jean-Luc", "DUPONT", or an initial.
_WORD = rf"(?:[{_UPPER}][^\W\d_]*(?:['’-][^\W\d_]+)*|[{_UPPER}]\.)"
_PARTICLE = r"(?:(?:de la|de|du|des|le|la|van der|van|von|el|ben|bin|al|di|da|dos)\s+|d['’])"
_NAME = rf"{_WORD}(?:[ \t]+{_PARTICLE}?{_WORD}){{0,3}}"

_TITLE = (
    r"(?:(?i:mr|mrs|ms|mme|mlle|mm|miss|mister|monsieur|madame|mademoiselle|messieurs|docteur"
    r"|doctor|dr)(?:\.\s{0,2}|\s{1,2})|M\.\s{0,2})"
)
_TITLED = re.compile(rf"(?<![\w'’])({_TITLE})(?:(?:et|and|&)\s+{_TITLE})?({_PARTICLE}?{_NAME})")
#: "par M Dupont": without its stop an M is a title only behind such a word ("the M Train" is not).
_BARE_M = re.compile(rf"\b(?:par|chez|avec|contre|à|et|que|voisin|monsieur)\s+M\s+({_NAME})")

_NEIGHBOUR = re.compile(
    r"\b(?i:(?:mon|ma|notre|le|la|my|our|the|his|her|their)\s+"
    r"(?:(?:next[- ]door|upstairs|downstairs|ex)\s+)?"
    r"(?:voisine?|propri[ée]taire|gardienne?|concierge|locataire|neighbou?r|landlord|landlady|tenant"
    r"|superintendent|super))"
    rf",?\s+({_NAME})"
)
_CALLED = re.compile(
    r"(?:(?i:\bmy name is|\b(?:his|her|whose|owner'?s|driver'?s) name is"
    r"|\b(?:je m|il s|elle s|qui s)['’]appelle|\b(?:man|woman|guy|person|neighbou?r|tenant|homme"
    r"|femme|voisine?|monsieur|dame)\s+(?:is\s+)?(?:named|nommée?))"
    rf")\s+({_NAME})"
)
#: First and last name alone at the end, behind a closing formula.
_SIGNED = re.compile(
    r"(?i:\b(?:cordialement|salutations(?: distinguées)?|d['’]avance|merci(?: beaucoup)?|thank you"
    r"(?: very much)?|thanks(?: so much)?|regards|sincerely|yours truly))"
    rf"\s*[,.!:\n–-]\s*({_WORD}(?:[ \t]+{_PARTICLE}?{_WORD}){{1,2}})[\s.]*\Z"
)

#: What comes after a title or a formula and is no name: offices, the city, the rest of a sentence.
_NO_NAMES = _words(
    """
    maire mairie mayor president président préfet prefet directeur director commissioner
    governor councilman councilwoman councilor conseiller conseillère adjoint adjointe
    ministre minister ville city hall agent officer police chief service services department
    responsable madame monsieur mademoiselle mesdames messieurs mr mrs ms mme le la les l de
    du des and et or ou in on at i je il elle on nous vous we you he she they it this that
    the a an un une is was has are bonjour hello dear cher chère sir please merci thanks
    thank again is not who que qui is there nyc new york boston team équipe everyone all
    tous ave street st avenue road rd présidente directrice préfète gouverneur doctor
    docteur
    """
)

#: Before a name it is a street, a square, a school: "rue du Docteur Roux", "allée de Mme de Staël".
_PLACE_BEFORE = re.compile(
    r"\b(?i:rue|r\.|avenue|av\.?|ave\.?|boulevard|bd\.?|bld|place|pl\.?|all[ée]es?|impasse|imp\.?"
    r"|chemin|che?m?\.|quai|cours|square|sq\.?|passage|route|rte\.?|rond[- ]point|esplanade|villa"
    r"|r[ée]sidence|parc|jardin|[ée]cole|coll[èe]ge|lyc[ée]e|groupe scolaire|cr[èe]che|h[ôo]pital"
    r"|clinique|gymnase|stade|salle|pont|tunnel|parking|arr[êe]t|station|quartier|mus[ée]e"
    r"|m[ée]diath[èe]que|statue|monument|fontaine|maison|centre|faubourg|mont[ée]e|promenade|traverse"
    r"|venelle|ruelle|lotissement|domaine|corner of|park|school|at|on|of)"
    r"\s+(?i:de\s+la\s+|de\s+l['’]\s*|du\s+|des\s+|de\s+|d['’]\s*|the\s+)?"
    rf"(?:(?:[{_UPPER}][\w'’-]*|g[ée]n[ée]ral|professeur|docteur)\s+){{0,2}}\Z"
)
#: Behind a name it is one too: "Dr King Boulevard", "Mr. Ed's Plaza". An English "Dr" behind a
#: word or number with a capital is a drive: "12 Maple Dr Boston".
_PLACE_BEHIND = _words(
    """
    street st avenue ave boulevard blvd bd road rd drive dr lane ln way highway hwy parkway
    pkwy expressway expy plaza square sq park playground school bridge place pl court ct
    terrace ter circle garden gardens houses towers apartments triangle center centre
    hospital station jr church memorial library island field pool beach tunnel mall store
    shop deli bar
    """
)
_NEXT_WORD = re.compile(r"[\s,]{0,2}([A-Za-z]+)")
_DRIVE_BEFORE = re.compile(
    rf"(?:\d|(?:(?<![.!?\n])\s|^)(?!(?:Le|La|Mon|Notre|The|My|Our)\b)[{_UPPER}][\w'’-]*)[ \t,]+\Z"
)
_TOKEN = re.compile(r"[^\s]+")


def _names(text: str) -> Iterator[Finding]:
    for match in _TITLED.finditer(text):
        is_drive = match[1][:2] in ("Dr", "DR", "dr")
        finding = _named(text, match.start(), *match.span(2), is_drive_possible=is_drive)
        if finding is not None:
            yield finding
    for pattern in (_BARE_M, _NEIGHBOUR, _CALLED, _SIGNED):
        for match in pattern.finditer(text):
            finding = _named(text, match.start(1), *match.span(1), is_place_possible=False)
            if finding is not None:
                yield finding


def _named(
    text: str,
    begins: int,
    start: int,
    end: int,
    *,
    is_drive_possible: bool = False,
    is_place_possible: bool = True,
) -> Finding | None:
    """The finding from `begins`, when what stands from `start` to `end` is a name."""
    words = list(_TOKEN.finditer(text, start, end))
    kept = end
    for index, word in enumerate(words):
        bare = word[0].rstrip(".").casefold()
        if bare in _NO_NAMES and not _is_particle_before_name(words, index):
            if index == 0:
                return None
            kept = words[index - 1].end()
            break
    last = text[start:kept].rstrip(".")
    # One letter is an initial of nobody: "Mr. X" protects whom it speaks of.
    if sum(letter.isalpha() for letter in last) < 2:
        return None
    if is_place_possible and _is_place(
        text, begins, start, kept, is_drive_possible=is_drive_possible
    ):
        return None
    return Finding(Kind.NAME, begins, start + len(last))


_PARTICLES = _words(
    """
    de du des le la van der von el ben bin al di da dos d
    """
)


def _is_particle_before_name(words: list[re.Match[str]], index: int) -> bool:
    if words[index][0].casefold() not in _PARTICLES or index + 1 == len(words):
        return False
    following = words[index + 1][0].rstrip(".").casefold()
    return following in _PARTICLES or following not in _NO_NAMES


def _is_place(text: str, begins: int, start: int, end: int, is_drive_possible: bool) -> bool:
    words = _TOKEN.finditer(text, start, end)
    if any(word[0].casefold().rstrip(".") in _PLACE_BEHIND for word in words):
        return True
    behind = _NEXT_WORD.match(text, end)
    if behind is not None and behind[1].casefold() in _PLACE_BEHIND:
        return True
    before = max(0, begins - 48)
    if _PLACE_BEFORE.search(text, before, begins) is not None:
        return True
    return is_drive_possible and _DRIVE_BEFORE.search(text, before, begins) is not None
