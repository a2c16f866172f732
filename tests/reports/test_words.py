"""Which service words mean: taken apart, learnt, proposed, explained."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.evaluating.text import text_command
from reports.words import evaluation, prior, training
from reports.words.examples import OTHER, Example, common_labels, of_catalogue, sift, with_other
from reports.words.grams import grams_of, sealed, words_of
from reports.words.model import Guess, WordModel
from reports.words.scoring import Share, score

CATALOGUE = [
    *of_catalogue(
        "lamp",
        {"fr": "Lampadaire en panne", "en": "Street light out"},
        {"fr": "Un lampadaire éteint ou qui clignote.", "en": "A lamp that is dark or flickers."},
        {"fr": ["lampadaire", "éclairage"], "en": ["lamp", "light"]},
    ),
    *of_catalogue(
        "pothole",
        {"fr": "Nid-de-poule", "en": "Pothole"},
        {"fr": "Un trou dans la chaussée.", "en": "A hole in the road."},
        {"fr": ["trou", "chaussée"], "en": ["hole", "road"]},
    ),
    *of_catalogue(
        "tree",
        {"fr": "Arbre tombé", "en": "Fallen tree"},
        {"fr": "Un arbre ou une branche à terre.", "en": "A tree or a branch on the ground."},
        {"fr": ["arbre", "branche"], "en": ["tree", "branch"]},
    ),
]

WORDS = {
    "noise": ["loud", "music", "party", "neighbour", "night", "drums"],
    "litter": ["rubbish", "bags", "dumped", "smell", "bin", "overflowing"],
    "road": ["hole", "asphalt", "deep", "tyre", "lane", "car"],
}


def invented(texts: int = 120, seed: int = 1) -> list[Example]:
    chance = random.Random(seed)
    found = []
    for number in range(texts):
        label = sorted(WORDS)[number % 3]
        words = [*chance.sample(WORDS[label], 4), chance.choice(["the", "street", "corner"])]
        found.append(Example(f"{' '.join(words)} {number}", label))
    return found


@pytest.fixture(scope="module")
def model() -> WordModel:
    return training.fit(invented(), CATALOGUE)


def test_accents_case_and_numbers_make_no_difference() -> None:
    assert words_of("ÉCLAIRAGE, 12 bis !") == ["eclairage", "0", "bis"]
    assert grams_of("Éclairage 3") == grams_of("eclairage 77")


@given(st.text(max_size=300))
def test_any_text_can_be_taken_apart_and_proposed_for(text: str) -> None:
    grams_of(text)
    ranked = prior.of_texts(CATALOGUE).ranked(text)
    assert sum(guess.confidence for guess in ranked) == pytest.approx(1.0)
    assert [guess.confidence for guess in ranked] == sorted(
        (guess.confidence for guess in ranked), reverse=True
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Le lampadaire devant chez moi est éteint", "lamp"),
        ("LAMPADAIRES eteints rue Foch", "lamp"),
        ("lampadère cassé", "lamp"),
        ("the street lights are out", "lamp"),
        ("Gros trou au milieu de la chaussée", "pothole"),
        ("a deep hole in the road", "pothole"),
        ("une grosse branche est tombée", "tree"),
    ],
)
def test_a_catalogue_alone_understands_both_languages_and_slips_of_the_pen(
    text: str, code: str
) -> None:
    assert prior.of_texts(CATALOGUE).ranked(text)[0].label == code


def test_small_words_of_a_catalogue_draw_nobody() -> None:
    said = [
        Example("Fuite d’eau dans la rue", "leak"),
        Example("Nid-de-poule", "pothole"),
        Example("Nid-de-poule. Un trou, une ornière", "pothole"),
    ]
    text = "Il y a un énorme trou dans la place"
    assert prior.of_texts(said).ranked(text)[0].label == "pothole"
    # A name of nothing else is kept.
    assert prior.of_texts([*said, Example("Sur la", "odd")]).ranked("sur la")[0].label == "odd"


def test_a_whole_sentence_is_no_stranger_than_its_telling_words() -> None:
    catalogue = prior.of_texts([*CATALOGUE, Example("Sur la", "odd")])
    told = "Il y a un trou, et ma roue y est restée"
    assert catalogue.share_known(told) == catalogue.share_known("trou roue restée") > 0.2
    # Where there are no others, they are all that is said.
    assert catalogue.share_known("sur la") == 1.0


def test_a_text_that_says_nothing_gets_what_is_usual_and_knows_no_word(model: WordModel) -> None:
    assert model.share_known("") == 0.0
    assert [guess.label for guess in model.ranked("…")] == [
        guess.label for guess in model.ranked("")
    ]


def test_a_model_learns_from_texts_and_still_knows_the_catalogue(model: WordModel) -> None:
    assert model.ranked("loud drums all night")[0].label == "noise"
    assert model.ranked("lampadaire éteint")[0].label == "lamp"


def test_a_model_survives_being_stored(model: WordModel) -> None:
    again = WordModel.from_data(json.loads(json.dumps(model.to_data())), {})
    for text in ("bags dumped", "", "un trou"):
        before, after = model.ranked(text), again.ranked(text)
        assert before[0].label == after[0].label
        assert before[0].confidence == pytest.approx(after[0].confidence, abs=0.02)


def test_a_document_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form 0"):
        WordModel.from_data({"form": 0}, {})


def test_training_twice_gives_the_same_model() -> None:
    assert training.fit(invented()).to_data() == training.fit(invented()).to_data()


def test_a_word_of_one_person_cannot_be_read_in_the_model() -> None:
    examples = [*invented(), Example("loud music again, says Zébulon Lenoir", "noise")]
    model = training.fit(examples)
    stored = json.dumps(model.to_data())
    assert "zebulon" not in stored
    assert "lenoir" not in stored
    assert sealed("wzebulon") in model.rows


def test_an_explanation_names_the_words_that_count(model: WordModel) -> None:
    counted = model.explain("loud music on the corner", "noise")
    assert {each.word for each in counted[:3]} & {"loud", "music", "loud music"}
    assert counted[0].weight > 0


def test_placeholders_and_repeats_are_taken_out() -> None:
    told = [Example("Sans description.", f"kind {number % 7}") for number in range(30)]
    told += [Example("A hole", "road"), Example("a HOLE!", "road"), Example(" ", "road")]
    sifted = sift(told)
    assert [example.text for example in sifted.real] == ["A hole"]
    assert sifted.placeholders == {"sans description"}
    assert (sifted.placeheld, sifted.repeated, sifted.empty) == (30, 1, 1)


def test_rare_labels_are_other() -> None:
    told = [*[Example(f"hole {n}", "road") for n in range(10)], Example("odd", "rare")]
    labels = common_labels(told)
    assert {example.label for example in with_other(told, labels)} == {"road", OTHER}


def test_too_few_texts_are_not_learnt_from() -> None:
    with pytest.raises(ValueError, match="too few"):
        training.fit(invented(20))


def test_hits_are_counted_with_their_interval() -> None:
    ranked = [Guess("a", 0.7), Guess("b", 0.2), Guess("c", 0.08), Guess("d", 0.02)]
    judged = score([ranked] * 4, ["a", "b", "d", "a"])
    assert (judged.first.hits, judged.among_three.hits) == (2, 3)
    low, high = Share(50, 100).interval
    assert (round(low, 3), round(high, 3)) == (0.404, 0.596)


def test_the_model_beats_both_baselines_on_texts_it_has_not_seen() -> None:
    examples = invented()
    judged = {
        way: evaluation.repeated_folds(examples, way, repeats=1).first.value
        for way in (evaluation.by_model, evaluation.by_majority, evaluation.by_label_words)
    }
    assert judged[evaluation.by_model] > 0.9
    assert judged[evaluation.by_model] > max(
        judged[evaluation.by_majority], judged[evaluation.by_label_words]
    )


def test_the_command_answers_every_row_and_reads_no_label(tmp_path: Path) -> None:
    train, cases, out = tmp_path / "train.csv", tmp_path / "cases.csv", tmp_path / "out.csv"
    with train.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("ID", "Title", "Description", "Date Created"))
        for number, example in enumerate(invented()):
            writer.writerow((number, example.label, example.text, 1_400_000_000 + number))
    cases.write_text("ID,Title,Description\n1,noise,dumped bags smell\n2,,\n3,road,loud party\n")
    result = CliRunner().invoke(
        text_command, ["--train", str(train), "--cases", str(cases), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "first", "second", "third"]
    assert [row[:2] for row in rows[1:4:2]] == [["1", "litter"], ["3", "noise"]]
    assert all(len(set(row[1:])) == 3 for row in rows[1:])


def test_a_file_without_words_is_refused_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("a,b\n1,2\n")
    result = CliRunner().invoke(text_command, ["--train", str(path)])
    assert result.exit_code == 1
    assert "lacks the column" in result.output


def test_the_shipped_catalogue_understands_the_demo_citys_past() -> None:
    root = Path(__file__).parents[2] / "cities" / "montpellier"
    result = CliRunner().invoke(
        text_command,
        [
            "--catalogue",
            str(root / "services.yaml"),
            "--cases",
            str(root / "history" / "cases.csv"),
        ],
    )
    assert result.exit_code == 0, result.output
    first, among_three = (
        float(part.split()[0]) for part in re.split("first|three", result.output)[1:]
    )
    assert first > 0.65
    assert among_three > 0.85
