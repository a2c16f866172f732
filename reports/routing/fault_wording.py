"""What is wrong with routing rules, in a sentence that a manager reads. Pure.

Faults are codes with values (`reports.routing.faults`). The words of the rules themselves are the
same in every language, so what they may be is quoted and never translated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.i18n import language_of
from reports.routing.faults import Earlier, Expected, FaultCode, RuleFault, Shared, Value
from reports.routing.rules import Subject

#: So many rules or values are named in a sentence; the rest are counted.
_NAMED = 3

_SAID: Mapping[str, Mapping[FaultCode, str]] = {
    "en": {
        FaultCode.STRANGE_BEGINNING: "a rule begins with “rule” or “otherwise”",
        FaultCode.STRANGE_CHARACTER: "this character means nothing here",
        FaultCode.UNEXPECTED_WORD: "expected {expected}",
        FaultCode.UNEXPECTED_END: "expected {expected}; it ends here",
        FaultCode.NO_OTHERWISE: (
            "the last line must be “otherwise team …”, so that every report reaches someone"
        ),
        FaultCode.AFTER_OTHERWISE: "nothing comes after otherwise",
        FaultCode.REPEATED_NAME: "a rule of this name stands in line {line} already",
        FaultCode.REPEATED_ACTION: "a second “{action}”",
        FaultCode.NO_TEAM: "the rule names no team",
        FaultCode.STRANGE_PRIORITY: "a priority is one of {known}",
        FaultCode.STRANGE_TIME: "the time must be more than 0 and at most {most}",
        FaultCode.STRANGE_MONTH: "a month is one of {known}",
        FaultCode.STRANGE_DATE: "{month} has the days 1 to {last}",
        FaultCode.STRANGE_DAY: "a day is one of {known}",
        FaultCode.UNKNOWN_TEAM: "there is no team of this code",
        FaultCode.UNKNOWN_PERSON: "nobody of that address works on reports here",
        FaultCode.UNKNOWN_COPY: "there is no team of this code, and it is no e-mail address",
        FaultCode.UNKNOWN_SERVICE: "there is no service of this code",
        FaultCode.UNKNOWN_GROUP: "there is no group of services of this code",
        FaultCode.UNKNOWN_SOURCE: "there is no such source; use {known}",
        FaultCode.UNKNOWN_LAYER: "there is no layer of areas of this code; there are: {known}",
        FaultCode.UNKNOWN_AREA: "the layer {layer} has no area of this code",
        FaultCode.UNKNOWN_ATTRIBUTE: "no service of this rule has this attribute",
        FaultCode.UNSHARED_ATTRIBUTE: (
            "the service {service} has no such attribute: give it a rule of its own"
        ),
        FaultCode.UNKNOWN_VALUE: "the attribute has no such value; it has {known}",
        FaultCode.NOT_A_NUMBER: "only a number can be at least or at most",
        FaultCode.NO_WORD: "there is no word between the quotes",
        FaultCode.CONTRADICTS: "this rule never applies: no report fits all of its conditions",
        FaultCode.NEVER_APPLIES: "this rule never applies: {rules} before it caught every report",
        FaultCode.OVERLAPS: (
            "some reports fit this rule and rule {rule} in line {line}{shared};"
            " {rule} comes first and gets them"
        ),
    },
    "fr": {
        FaultCode.STRANGE_BEGINNING: "une règle commence par « rule » ou « otherwise »",
        FaultCode.STRANGE_CHARACTER: "ce caractère ne veut rien dire ici",
        FaultCode.UNEXPECTED_WORD: "ici doit venir {expected}",
        FaultCode.UNEXPECTED_END: "la règle s’arrête ici ; il manque {expected}",
        FaultCode.NO_OTHERWISE: (
            "la dernière ligne doit être « otherwise team … », pour que chaque signalement"
            " arrive à quelqu’un"
        ),
        FaultCode.AFTER_OTHERWISE: "rien ne vient après « otherwise »",
        FaultCode.REPEATED_NAME: "une règle de ce nom se trouve déjà à la ligne {line}",
        FaultCode.REPEATED_ACTION: "un second « {action} »",
        FaultCode.NO_TEAM: "la règle ne nomme aucune équipe",
        FaultCode.STRANGE_PRIORITY: "une priorité s’écrit par l’un de ces mots : {known}",
        FaultCode.STRANGE_TIME: "la durée doit dépasser 0, sans dépasser {most}",
        FaultCode.STRANGE_MONTH: "un mois s’écrit par l’un de ces mots : {known}",
        FaultCode.STRANGE_DATE: "« {month} » a les jours 1 à {last}",
        FaultCode.STRANGE_DAY: "un jour s’écrit par l’un de ces mots : {known}",
        FaultCode.UNKNOWN_TEAM: "aucune équipe n’a ce code",
        FaultCode.UNKNOWN_PERSON: "personne à cette adresse ne s’occupe de signalements ici",
        FaultCode.UNKNOWN_COPY: (
            "aucune équipe n’a ce code, et ce n’est pas une adresse électronique"
        ),
        FaultCode.UNKNOWN_SERVICE: "aucun service n’a ce code",
        FaultCode.UNKNOWN_GROUP: "aucun groupe de services n’a ce code",
        FaultCode.UNKNOWN_SOURCE: "il n’y a pas de telle provenance ; il y a {known}",
        FaultCode.UNKNOWN_LAYER: "aucune couche de secteurs n’a ce code ; il y a : {known}",
        FaultCode.UNKNOWN_AREA: "la couche {layer} n’a aucun secteur de ce code",
        FaultCode.UNKNOWN_ATTRIBUTE: "aucun service de cette règle n’a cet attribut",
        FaultCode.UNSHARED_ATTRIBUTE: (
            "le service {service} n’a pas cet attribut : donnez-lui une règle à part"
        ),
        FaultCode.UNKNOWN_VALUE: "l’attribut n’a pas cette valeur ; il a {known}",
        FaultCode.NOT_A_NUMBER: "seul un nombre peut être « at least » ou « at most »",
        FaultCode.NO_WORD: "il n’y a aucun mot entre les guillemets",
        FaultCode.CONTRADICTS: (
            "cette règle ne s’applique jamais : aucun signalement ne remplit toutes ses conditions"
        ),
        FaultCode.NEVER_APPLIES: (
            "cette règle ne s’applique jamais : avant elle, chaque signalement est déjà pris"
            " par {rules}"
        ),
        FaultCode.OVERLAPS: (
            "certains signalements conviennent à cette règle et à la règle {rule}, ligne"
            " {line}{shared} ; {rule} vient avant et les prend"
        ),
    },
}

#: How to speak of what the grammar expected; any other is a word of the language of rules.
_EXPECTED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "CODE": "a name",
        "TEXT": 'words in "quotes"',
        "NUMBER": "a number",
        "UNIT": "hours or days",
        "EMAIL": "an e-mail address",
        "COMMA": "a comma",
        "COLON": "a colon",
        "$END": "the end of the rule",
    },
    "fr": {
        "CODE": "un nom",
        "TEXT": 'des mots entre "guillemets"',
        "NUMBER": "un nombre",
        "UNIT": "« hours » ou « days »",
        "EMAIL": "une adresse électronique",
        "COMMA": "une virgule",
        "COLON": "un deux-points",
        "$END": "la fin de la règle",
    },
}

#: What two rules both ask for. Layers and attributes have codes of the city's own instead.
_SUBJECTS: Mapping[str, Mapping[Subject, str]] = {
    "en": {
        Subject.SERVICE: "service",
        Subject.GROUP: "group",
        Subject.WORDS: "words",
        Subject.SOURCE: "source",
        Subject.OWNER: "owner",
        Subject.HOURS: "hours",
        Subject.SEASON: "season",
        Subject.DAY: "day",
    },
    "fr": {
        Subject.SERVICE: "service",
        Subject.GROUP: "groupe",
        Subject.WORDS: "mots",
        Subject.SOURCE: "provenance",
        Subject.OWNER: "propriétaire",
        Subject.HOURS: "heures",
        Subject.SEASON: "saison",
        Subject.DAY: "jour",
    },
}

_PARTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "sentence": "line {line}: {reason}",
        "sentence_at": "line {line} at “{word}”: {reason}",
        "title": "These rules cannot be put in force",
        "one": "1 fault: {first}",
        "many": "{count} faults; the first: {first}",
        "keyword": "{word}",
        "or": " or ",
        "none": "none",
        "rule": "rule {listed}",
        "rules": "rules {listed}",
        "named": "{code} (line {line})",
        "one_more": " and 1 more",
        "more": " and {count} more",
        "shared": "{what} {values}",
        "between": "; ",
    },
    "fr": {
        "sentence": "ligne {line} : {reason}",
        "sentence_at": "ligne {line}, à « {word} » : {reason}",
        "title": "Ces règles ne peuvent pas être mises en vigueur",
        "one": "1 faute : {first}",
        "many": "{count} fautes ; la première : {first}",
        "keyword": "« {word} »",
        "or": " ou ",
        "none": "aucune",
        "rule": "la règle {listed}",
        "rules": "les règles {listed}",
        "named": "{code} (ligne {line})",
        "one_more": " et 1 autre",
        "more": " et {count} autres",
        "shared": "{what} : {values}",
        "between": " ; ",
    },
}


def sentence(fault: RuleFault, locale: str | None) -> str:
    """A fault as one clear sentence with its line and word."""
    form = "sentence_at" if fault.word else "sentence"
    said = _PARTS[language_of(locale)][form]
    return said.format(line=fault.line, word=fault.word, reason=reason(fault, locale))


def reason(fault: RuleFault, locale: str | None) -> str:
    """What is wrong, without its place."""
    language = language_of(locale)
    values = {name: _value(value, language) for name, value in fault.values.items()}
    return _SAID[language][fault.code].format_map(values)


def title(locale: str | None) -> str:
    """That the rules are refused."""
    return _PARTS[language_of(locale)]["title"]


def summary(faults: Sequence[RuleFault], locale: str | None) -> str:
    """How many faults there are, and the first of them."""
    say = _PARTS[language_of(locale)]
    form = say["one" if len(faults) == 1 else "many"]
    return form.format(count=len(faults), first=sentence(faults[0], locale))


def _value(value: Value, language: str) -> str:
    match value:
        case Expected(names):
            return _expected(names, language)
        case Earlier(rules):
            return _earlier(rules, language)
        case Shared(parts):
            return _shared(parts, language)
        case tuple():
            return ", ".join(value) or _PARTS[language]["none"]
        case _:
            return str(value)


def _expected(names: Sequence[str], language: str) -> str:
    known, say = _EXPECTED[language], _PARTS[language]
    told = {known.get(name) or say["keyword"].format(word=name) for name in names}
    return say["or"].join(sorted(told))


def _earlier(rules: Sequence[tuple[str, int]], language: str) -> str:
    say = _PARTS[language]
    named = [say["named"].format(code=code, line=line) for code, line in rules]
    return say["rule" if len(rules) == 1 else "rules"].format(listed=_listed(named, language))


def _shared(parts: Sequence[tuple[Subject, str, Sequence[str]]], language: str) -> str:
    say, subjects = _PARTS[language], _SUBJECTS[language]
    told = [
        say["shared"].format(what=key or subjects[subject], values=_listed(values, language))
        for subject, key, values in parts
    ]
    return f" ({say['between'].join(told)})" if told else ""


def _listed(names: Sequence[str], language: str) -> str:
    """The first few by name, the rest by their number."""
    say, rest = _PARTS[language], len(names) - _NAMED
    more = say["one_more" if rest == 1 else "more"].format(count=rest) if rest > 0 else ""
    return f"{', '.join(names[:_NAMED])}{more}"
