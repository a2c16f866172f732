"""`flask evaluate duplicates, routing, text`: an answer for every row, or one sentence why not."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.evaluating import evaluate_commands
from tests.factories import COMEDIE

COLUMNS = (
    *("id", "opened_at", "closed_at", "due_at", "type", "reason", "department", "queue", "source"),
    *("address", "lat", "lon", "ward", "fallback_location"),
)
DECIDED = ["id", "duplicate", "parent_id", "score", "candidates"]
ROUTED = ["id", "department", "queue", "due_at"]


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate_commands, [str(each) for each in arguments])


def row(number: int, **values: str) -> dict[str, str]:
    opened = datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(hours=6 * number)
    return {
        "id": str(number),
        "opened_at": f"{opened:%Y-%m-%d %H:%M:%S}",
        "closed_at": f"{opened + timedelta(days=1):%Y-%m-%d %H:%M:%S}",
        "due_at": f"{opened + timedelta(days=2):%Y-%m-%d %H:%M:%S}",
        "type": ("Lamp", "Hole")[number % 2],
        "reason": "Street",
        "department": "City",
        "queue": ("Lights", "Desk")[number % 2],
        "source": "Self Service",
        "address": "",
        "lat": str(COMEDIE.lat),
        "lon": str(COMEDIE.lon),
        "ward": "Ward 1",
        "fallback_location": "0",
        **values,
    }


def written(
    path: Path,
    rows: Sequence[Mapping[str, str]],
    columns: Sequence[str] = COLUMNS,
    encoding: str = "utf-8",
) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def answers(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """Sixty days: lamps go to the lights, holes to the desk; two days each."""
    return written(tmp_path / "train.csv.gz", [row(number) for number in range(240)])


#: What is wrong with a part of a case, and leaves enough to decide about.
SCARCE = [
    {"lat": ""},
    {"lon": ""},
    {"lat": "abc"},
    {"lat": "999"},
    {"lat": "nan"},
    {"fallback_location": "perhaps"},
    {"closed_at": "soon"},
    {"closed_at": "2026-03-01"},
    {"closed_at": "2999-01-01"},
    {"due_at": "soon"},
    {"opened_at": "2026-05-02", "closed_at": "2026-05-02"},
    {"opened_at": "2026-05-02 10:00:00", "closed_at": "2026-05-02"},
    {"type": "A kind nobody knows", "reason": ""},
]


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[::-1]], ids=["forwards", "backwards"])
@pytest.mark.parametrize(("name", "encoding"), [("g.csv", "utf-8-sig"), ("g.csv.gz", "utf-8")])
def test_each_case_has_its_answer_in_the_order_of_the_file(
    tmp_path: Path, train: Path, name: str, encoding: str, columns: Sequence[str]
) -> None:
    scarce = [row(300 + number, **values) for number, values in enumerate(SCARCE)]
    cases = [row(400), *scarce[::-1], row(399)]
    judged = written(tmp_path / name, cases, columns, encoding)
    out = tmp_path / "out.csv"

    assert evaluate("duplicates", "--cases", judged, "--out", out).exit_code == 0
    header, *decided = answers(out)
    assert header == DECIDED
    assert [each[0] for each in decided] == [each["id"] for each in cases]

    made = evaluate("routing", "--train", train, "--cases", judged, "--out", out)
    assert made.exit_code == 0, made.output
    header, *routed = answers(out)
    assert header == ROUTED
    assert [each[0] for each in routed] == [each["id"] for each in cases]
    assert all(queue in {"Lights", "Desk"} for _, _, queue, _ in routed)


def test_what_nobody_can_read_is_answered_for_too(tmp_path: Path, train: Path) -> None:
    cases = [
        row(300),
        row(301, opened_at="never"),
        row(302, type=""),
        row(300, opened_at="2026-05-02"),
        row(303, id=""),
        row(304),
    ]
    judged, out = written(tmp_path / "g.csv", cases), tmp_path / "out.csv"
    ids = ["300", "301", "302", "300", "", "304"]

    made = evaluate("duplicates", "--cases", judged, "--out", out)
    assert made.exit_code == 0
    assert "4 rows not understood, first line 3: opened_at is no date: 'never'" in made.output
    assert [each[0] for each in answers(out)[1:]] == ids
    assert answers(out)[2] == ["301", "0", "", "0.0000", ""]

    assert evaluate("routing", "--train", train, "--cases", judged, "--out", out).exit_code == 0
    assert [each[0] for each in answers(out)[1:]] == ids
    assert answers(out)[1] == answers(out)[4]
    assert answers(out)[2] == ["301", "", "", ""]


def test_three_columns_are_enough(tmp_path: Path, train: Path) -> None:
    judged = written(tmp_path / "g.csv", [row(300), row(301)], ("type", "id", "opened_at"))
    out = tmp_path / "out.csv"
    assert evaluate("duplicates", "--cases", judged, "--out", out).exit_code == 0
    assert [each[:2] for each in answers(out)[1:]] == [["300", "0"], ["301", "0"]]
    assert evaluate("routing", "--train", train, "--cases", judged, "--out", out).exit_code == 0
    assert [each[:3] for each in answers(out)[1:]] == [
        ["300", "City", "Lights"],
        ["301", "City", "Desk"],
    ]


def test_a_file_of_another_encoding_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    cases = [row(300, address="3 rue de l’Église"), row(301, type="Éclairage")]
    judged = written(tmp_path / "g.csv", cases, encoding="cp1252")
    out = tmp_path / "out.csv"
    assert evaluate("duplicates", "--cases", judged, "--out", out).exit_code == 0
    assert [each[0] for each in answers(out)[1:]] == ["300", "301"]


def test_no_label_moves_an_answer(tmp_path: Path, train: Path) -> None:
    labels = ("due_at", "department", "queue")
    cases = [row(300 + number) for number in range(20)]
    emptied = [{**each, **dict.fromkeys(labels, "")} for each in cases]
    without = [name for name in COLUMNS if name not in labels]
    files = [
        written(tmp_path / "full.csv", cases),
        written(tmp_path / "emptied.csv", emptied),
        written(tmp_path / "removed.csv", cases, without),
    ]
    made = []
    for file in files:
        out = tmp_path / f"{file.stem}.out"
        assert evaluate("routing", "--train", train, "--cases", file, "--out", out).exit_code == 0
        made.append(answers(out))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 21


@pytest.mark.parametrize("command", ["duplicates", "routing", "text"])
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.csv", b"", "lacks the column"),
        ("other.csv", b"a,b\n1,2\n", "lacks the column"),
        ("garbage.csv", bytes(range(256)) * 40, "lacks the column"),
        (
            "cut.csv.gz",
            gzip.compress(b"id,opened_at,type\n" * 400, mtime=0)[:40],
            "cannot be read to its",
        ),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence(
    tmp_path: Path, train: Path, command: str, name: str, data: bytes, said: str
) -> None:
    file, out = tmp_path / name, tmp_path / "out.csv"
    file.write_bytes(data)
    learned = [] if command == "duplicates" else ["--train", _texts(tmp_path), "--cases", file]
    if command == "routing":
        learned[1] = train
    made = evaluate(command, *(learned or ["--cases", file]), "--out", out)
    assert made.exit_code == 1
    assert made.output.startswith("Error: ")
    assert said in made.output
    assert not out.exists()


@pytest.mark.parametrize("command", ["duplicates", "routing", "text"])
def test_wrong_options_are_said_before_any_work(tmp_path: Path, train: Path, command: str) -> None:
    files = ["--cases", train] if command == "duplicates" else ["--train", train, "--cases", train]
    nowhere = evaluate(command, *files, "--out", tmp_path / "none" / "out.csv")
    assert nowhere.exit_code == 2
    assert "there is no folder" in nowhere.output
    zone = evaluate(command, *files, "--out", tmp_path / "out.csv", "--zone", "Mars/Crater")
    assert zone.exit_code == 2
    assert "There is no time zone 'Mars/Crater'" in zone.output


def test_each_text_has_three_proposals_in_the_order_of_the_file(tmp_path: Path) -> None:
    judged = tmp_path / "g.csv.gz"
    with gzip.open(judged, "wt", encoding="utf-8-sig", newline="") as file:
        file.write("Description,ID\nthe lamp is dark,9\n,3\n,\nzzz,1\n")
    out = tmp_path / "out.csv"
    made = evaluate("text", "--train", _texts(tmp_path), "--cases", judged, "--out", out)
    assert made.exit_code == 0, made.output
    header, *proposed = answers(out)
    assert header == ["id", "first", "second", "third"]
    assert [each[0] for each in proposed] == ["9", "3", "", "1"]
    assert proposed[0][1] == "Lamp"
    assert all(len(set(each[1:])) == 3 for each in proposed)


def test_nothing_to_learn_from_is_said_in_a_sentence(tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.csv", tmp_path / "out.csv"
    texts.write_text("id,type,description\n1,Lamp,\n2,,dark\n")
    made = evaluate("text", "--train", texts, "--cases", texts, "--out", out)
    assert (made.exit_code, "has no row with words" in made.output) == (1, True)

    cases = written(tmp_path / "train.csv", [row(1, queue="", department="")])
    made = evaluate("routing", "--train", cases, "--cases", cases, "--out", out)
    assert (made.exit_code, "no case of the history went to a team" in made.output) == (1, True)

    labels = tmp_path / "labels.csv"
    labels.write_text("id,duplicate,parent_id\n1,1,2\n")
    learn = ("--train", cases, "--labels", labels)
    made = evaluate("duplicates", "--cases", cases, "--out", out, *learn)
    assert (made.exit_code, made.output.count("Error: ")) == (1, 1)
    learn = ("--train", written(tmp_path / "none.csv", []), "--labels", labels)
    made = evaluate("duplicates", "--cases", cases, "--out", out, *learn)
    assert (made.exit_code, "none.csv holds no case to learn from" in made.output) == (1, True)
    assert not out.exists()


def test_a_file_without_a_case_is_a_failure(tmp_path: Path, train: Path) -> None:
    none, out = written(tmp_path / "none.csv", []), tmp_path / "out.csv"
    unread = written(tmp_path / "unread.csv", [row(1, opened_at="yesterday")])
    labels = tmp_path / "labels.csv"
    labels.write_text("id,duplicate,parent_id\n1,1,2\n")
    for made in (
        evaluate("duplicates", "--cases", none, "--out", out),
        evaluate("routing", "--train", train, "--cases", none, "--out", out),
        evaluate("routing", "--train", none),
        evaluate("forecast", "--cases", none),
        evaluate(
            *("duplicates-by-month", "--cases", none, "--labels", labels, "--out", tmp_path / "d")
        ),
    ):
        assert (made.exit_code, "none.csv holds no case." in made.output) == (1, True)
    made = evaluate("duplicates", "--cases", unread, "--out", out)
    assert (made.exit_code, "line 2: opened_at is no date" in made.output) == (1, True)
    assert [each[0] for each in answers(out)[1:]] == ["1"]


def test_one_month_cannot_be_judged_by_another(tmp_path: Path) -> None:
    month = written(tmp_path / "month.csv", [row(number) for number in range(40)])
    labels = tmp_path / "labels.csv"
    labels.write_text("id,duplicate,parent_id\n1,1,2\n")
    by_month = ("duplicates-by-month", "--cases", month, "--labels", labels)
    for made in (
        evaluate("routing", "--train", month),
        evaluate(*by_month, "--out", tmp_path / "tables"),
    ):
        assert (made.exit_code, "are of one month" in made.output) == (1, True)
    assert not (tmp_path / "tables").exists()


def test_other_files_that_are_none_are_named(tmp_path: Path, train: Path) -> None:
    strange, out = tmp_path / "strange.txt", tmp_path / "out.csv"
    strange.write_text("id,opened_at\n")
    for made in (
        evaluate("duplicates", "--cases", train, "--model", strange, "--out", out),
        evaluate("routing", "--train", train, "--wards", strange),
        evaluate("text", "--catalogue", strange, "--cases", train),
    ):
        assert (made.exit_code, f"Error: {strange}" in made.output) == (1, True), made.output


def _texts(folder: Path) -> Path:
    path = folder / "texts.csv"
    things = {"Lamp": "lamp dark light", "Hole": "hole road deep", "Tree": "tree branch fallen"}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "type", "description", "opened_at"))
        for number in range(60):
            name = list(things)[number % 3]
            writer.writerow(
                (number, name, f"{things[name]} at {'abcdefghij'[number // 6]} {number}x", "")
            )
    return path
