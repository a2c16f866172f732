"""What is wrong with rules, as a manager reads it: every fault, in French and in English."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter

import pytest

from core.i18n import LANGUAGES
from reports.routing import fault_wording
from reports.routing.fault_wording import reason, sentence, summary
from reports.routing.faults import FaultCode, RuleFault, fault_at
from reports.routing.grammar import RuleSyntaxError, _parser, _spelled, parse
from reports.routing.names import Vocabulary, check
from reports.routing.overlapping import warnings
from reports.routing.rules import Place, Subject

NAMES = Vocabulary(
    services={
        "pothole": {"danger": ("singlevaluelist", ["yes", "no"]), "depth": ("number", [])},
        "lamp": {"number": ("string", [])},
    },
    groups={"roads"},
    areas={"wards": {"w1", "w2"}},
    teams={"desk", "roads"},
    sources={"app", "phone"},
    people={"ann@x.fr"},
)

END = "\notherwise team desk"

#: Rules with one fault each, and what is said of it. No-break spaces are written as `~`.
EXAMPLES: Mapping[FaultCode, tuple[str, str, str]] = {
    FaultCode.STRANGE_BEGINNING: (
        f"hello{END}",
        "a rule begins with “rule” or “otherwise”",
        "une règle commence par «~rule~» ou «~otherwise~»",
    ),
    FaultCode.STRANGE_CHARACTER: (
        f"rule a when group roads then team roads !{END}",
        "this character means nothing here",
        "ce caractère ne veut rien dire ici",
    ),
    FaultCode.UNEXPECTED_WORD: (
        f"rule a when group roads, roads z then team roads{END}",
        "expected a comma or and or then",
        "ici doit venir une virgule ou «~and~» ou «~then~»",
    ),
    FaultCode.UNEXPECTED_END: (
        f"rule a when group roads then team{END}",
        "expected a name; it ends here",
        "la règle s’arrête ici~; il manque un nom",
    ),
    FaultCode.NO_OTHERWISE: (
        "rule a when group roads then team roads",
        "the last line must be “otherwise team …”, so that every report reaches someone",
        (
            "la dernière ligne doit être «~otherwise team …~», pour que chaque signalement arrive"
            " à quelqu’un"
        ),
    ),
    FaultCode.AFTER_OTHERWISE: (
        "otherwise team desk\nrule a when group roads then team roads",
        "nothing comes after otherwise",
        "rien ne vient après «~otherwise~»",
    ),
    FaultCode.REPEATED_NAME: (
        "rule a when group roads then team roads\nrule a when service lamp then team roads" + END,
        "a rule of this name stands in line 1 already",
        "une règle de ce nom se trouve déjà à la ligne 1",
    ),
    FaultCode.REPEATED_ACTION: (
        f"rule a when group roads then team roads and team desk{END}",
        "a second “team”",
        "un second «~team~»",
    ),
    FaultCode.NO_TEAM: (
        f"rule a when group roads then tag x{END}",
        "the rule names no team",
        "la règle ne nomme aucune équipe",
    ),
    FaultCode.STRANGE_PRIORITY: (
        f"rule a when group roads then team roads and priority big{END}",
        "a priority is one of low, normal, high, urgent",
        "une priorité s’écrit par l’un de ces mots~: low, normal, high, urgent",
    ),
    FaultCode.STRANGE_TIME: (
        f"rule a when group roads then team roads and due in 0 days{END}",
        "the time must be more than 0 and at most 10000",
        "la durée doit dépasser 0, sans dépasser 10000",
    ),
    FaultCode.STRANGE_MONTH: (
        f"rule a when from 1 Brumaire to 3 Mar then team roads{END}",
        "a month is one of jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec",
        (
            "un mois s’écrit par l’un de ces mots~: jan, feb, mar, apr, may, jun, jul, aug, sep,"
            " oct, nov, dec"
        ),
    ),
    FaultCode.STRANGE_DATE: (
        f"rule a when from 31 Nov to 3 Mar then team roads{END}",
        "nov has the days 1 to 30",
        "«~nov~» a les jours 1 à 30",
    ),
    FaultCode.STRANGE_DAY: (
        f"rule a when on dimanche then team roads{END}",
        "a day is one of monday, tuesday, wednesday, thursday, friday, saturday, sunday, holidays",
        (
            "un jour s’écrit par l’un de ces mots~: monday, tuesday, wednesday, thursday, friday,"
            " saturday, sunday, holidays"
        ),
    ),
    FaultCode.UNKNOWN_TEAM: (
        f"rule a when group roads then team road{END}",
        "there is no team of this code",
        "aucune équipe n’a ce code",
    ),
    FaultCode.UNKNOWN_PERSON: (
        f"rule a when group roads then team roads and person bob@x.fr{END}",
        "nobody of that address works on reports here",
        "personne à cette adresse ne s’occupe de signalements ici",
    ),
    FaultCode.UNKNOWN_COPY: (
        f"rule a when group roads then team roads and copy to street{END}",
        "there is no team of this code, and it is no e-mail address",
        "aucune équipe n’a ce code, et ce n’est pas une adresse électronique",
    ),
    FaultCode.UNKNOWN_SERVICE: (
        f"rule a when service hole then team roads{END}",
        "there is no service of this code",
        "aucun service n’a ce code",
    ),
    FaultCode.UNKNOWN_GROUP: (
        f"rule a when group street then team roads{END}",
        "there is no group of services of this code",
        "aucun groupe de services n’a ce code",
    ),
    FaultCode.UNKNOWN_SOURCE: (
        f"rule a when source fax then team roads{END}",
        "there is no such source; use app, phone",
        "il n’y a pas de telle provenance~; il y a app, phone",
    ),
    FaultCode.UNKNOWN_LAYER: (
        f"rule a when in quarters: w1 then team roads{END}",
        "there is no layer of areas of this code; there are: wards",
        "aucune couche de secteurs n’a ce code~; il y a~: wards",
    ),
    FaultCode.UNKNOWN_AREA: (
        f"rule a when in wards: w9 then team roads{END}",
        "the layer wards has no area of this code",
        "la couche wards n’a aucun secteur de ce code",
    ),
    FaultCode.UNKNOWN_ATTRIBUTE: (
        f"rule a when attribute colour is red then team roads{END}",
        "no service of this rule has this attribute",
        "aucun service de cette règle n’a cet attribut",
    ),
    FaultCode.UNSHARED_ATTRIBUTE: (
        f"rule a when service lamp, pothole and attribute danger is yes then team roads{END}",
        "the service lamp has no such attribute: give it a rule of its own",
        "le service lamp n’a pas cet attribut~: donnez-lui une règle à part",
    ),
    FaultCode.UNKNOWN_VALUE: (
        f"rule a when attribute danger is maybe then team roads{END}",
        "the attribute has no such value; it has no, yes",
        "l’attribut n’a pas cette valeur~; il a no, yes",
    ),
    FaultCode.NOT_A_NUMBER: (
        f"rule a when attribute number at least 7 then team roads{END}",
        "only a number can be at least or at most",
        "seul un nombre peut être «~at least~» ou «~at most~»",
    ),
    FaultCode.NO_WORD: (
        f'rule a when words "…" then team roads{END}',
        "there is no word between the quotes",
        "il n’y a aucun mot entre les guillemets",
    ),
    FaultCode.CONTRADICTS: (
        "rule a when group roads and not group roads then team desk" + END,
        "this rule never applies: no report fits all of its conditions",
        "cette règle ne s’applique jamais~: aucun signalement ne remplit toutes ses conditions",
    ),
    FaultCode.NEVER_APPLIES: (
        "rule a when group roads then team desk\nrule b when service pothole then team roads" + END,
        "this rule never applies: rule a (line 1) before it caught every report",
        (
            "cette règle ne s’applique jamais~: avant elle, chaque signalement est déjà pris par la"
            " règle a (ligne 1)"
        ),
    ),
    FaultCode.OVERLAPS: (
        'rule a when service pothole and in wards: w1 and words "x" then team desk\n'
        "rule b when service pothole, lamp and source app and in wards: w1 then team roads" + END,
        (
            "some reports fit this rule and rule a in line 1 (service pothole; wards w1); a comes"
            " first and gets them"
        ),
        (
            "certains signalements conviennent à cette règle et à la règle a, ligne 1"
            " (service~: pothole~; wards~: w1)~; a vient avant et les prend"
        ),
    ),
}

TABLES = (
    fault_wording._SAID,
    fault_wording._EXPECTED,
    fault_wording._SUBJECTS,
    fault_wording._PARTS,
)


def found(text: str) -> list[RuleFault]:
    """What a manager is told of a text: its faults, else its warnings."""
    try:
        rules = parse(text)
    except RuleSyntaxError as error:
        return list(error.faults)
    groups = {"pothole": "roads"}
    return check(rules, NAMES) or warnings(rules, groups)


def named(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def french(text: str) -> str:
    return text.replace("~", "\u00a0")


def texts() -> Iterator[tuple[str, str, str]]:
    """Every text of every table: its key, the English one, the French one."""
    for table in TABLES:
        for key, text in table["en"].items():
            yield str(key), text, table["fr"][key]


@pytest.mark.parametrize("code", list(FaultCode))
def test_every_fault_is_told_in_both_languages(code: FaultCode) -> None:
    text, in_english, in_french = EXAMPLES[code]
    [fault] = found(text)
    assert fault.code is code
    assert (reason(fault, "en"), reason(fault, "fr-FR")) == (in_english, french(in_french))
    for language in LANGUAGES:
        assert named(fault_wording._SAID[language][code]) == fault.values.keys()


def test_both_languages_say_the_same_things_of_the_same_values() -> None:
    for table in TABLES:
        assert table["en"].keys() == table["fr"].keys()
    assert set(fault_wording._SAID["en"]) == set(FaultCode)
    # Layers and attributes are called by their codes.
    assert set(Subject) - set(fault_wording._SUBJECTS["en"]) == {Subject.AREA, Subject.ATTRIBUTE}
    for key, in_english, in_french in texts():
        assert named(in_english) == named(in_french), key


def test_french_never_breaks_a_line_before_its_punctuation() -> None:
    for key, _, text in texts():
        assert not re.search(r" [:;!?»]|« |'", text), key


@pytest.mark.parametrize("kind", ["rule", "otherwise"])
def test_whatever_the_grammar_expects_has_words_or_is_a_word_of_its_own(kind: str) -> None:
    terminals = {terminal.name for terminal in _parser(kind).terminals} - {"WS", "COMMENT"}
    spelled = {_spelled(name) for name in (*terminals, "$END")}
    named_by_grammar = {name for name in spelled if not name.islower()}
    assert named_by_grammar <= fault_wording._EXPECTED["en"].keys()
    assert "when" in spelled or kind == "otherwise"


@pytest.mark.parametrize(
    ("locale", "told"),
    [
        ("en", "line 2 at “road”: there is no team of this code"),
        ("fr", "ligne 2, à «~road~»~: aucune équipe n’a ce code"),
    ],
)
def test_a_sentence_names_line_and_word(locale: str, told: str) -> None:
    [fault] = found(f"rule a when group roads\n then team road{END}")
    assert sentence(fault, locale) == french(told)


@pytest.mark.parametrize(
    ("locale", "told"),
    [
        ("en", "line 1: the last line must be “otherwise team …”, so that every report"),
        ("fr", "ligne 1~: la dernière ligne doit être «~otherwise team …~», pour que"),
    ],
)
def test_a_fault_of_no_word_names_its_line_alone(locale: str, told: str) -> None:
    [fault] = found("")
    assert sentence(fault, locale).startswith(french(told))


@pytest.mark.parametrize(
    ("text", "in_english", "in_french"),
    [
        (
            "otherwise team dusk",
            "1 fault: line 1 at “dusk”: ",
            "1~faute~: ligne 1, à «~dusk~»~: ",
        ),
        (
            "rule a when group street then team roads\notherwise team dusk",
            "2 faults; the first: line 1 at “street”: ",
            "2~fautes~; la première~: ligne 1, à «~street~»~: ",
        ),
    ],
)
def test_a_refusal_says_how_many_faults_and_the_first(
    text: str, in_english: str, in_french: str
) -> None:
    assert summary(found(text), "en").startswith(in_english)
    assert summary(found(text), "fr").startswith(french(in_french))


@pytest.mark.parametrize(
    ("count", "in_english", "in_french"),
    [
        (2, "rules a0 (line 1), a1 (line 2) before", "par les règles a0 (ligne 1), a1 (ligne 2)"),
        (4, "a2 (line 3) and 1 more before", "a2 (ligne 3) et 1~autre"),
        (5, "a2 (line 3) and 2 more before", "a2 (ligne 3) et 2~autres"),
    ],
)
def test_of_many_rules_three_are_named(count: int, in_english: str, in_french: str) -> None:
    earlier = "\n".join(f'rule a{n} when words "w{n}" then team desk' for n in range(count))
    words = ", ".join(f'"w{n}"' for n in range(count))
    [fault] = found(f"{earlier}\nrule late when words {words} then team roads{END}")
    assert in_english in reason(fault, "en")
    assert reason(fault, "fr").endswith(french(in_french))


def test_a_city_without_areas_has_none_to_name() -> None:
    rules = parse(f"rule a when in wards: w1 then team roads{END}")
    bare = Vocabulary(NAMES.services, NAMES.groups, {}, NAMES.teams, NAMES.sources)
    [fault] = check(rules, bare)
    assert reason(fault, "en").endswith("there are: none")
    assert reason(fault, "fr").endswith(french("il y a~: aucune"))


def test_what_a_manager_wrote_is_repeated_as_it_is() -> None:
    fault = fault_at(Place(2, 1), "{0}{word}", FaultCode.UNKNOWN_AREA, layer="{rule}")
    assert sentence(fault, "en") == (
        "line 2 at “{0}{word}”: the layer {rule} has no area of this code"
    )
