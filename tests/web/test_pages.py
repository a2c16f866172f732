"""The pages that messages link to: GET shows, POST acts, a wrong link finds nothing."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from accounts import challenges
from accounts.cookies import PLAIN_NAME
from accounts.models import SignInChallenge, SignInSession
from core import links
from core.clock import utc_now
from core.errors import UnavailableError
from core.ids import new_id
from core.tokens import Purpose, token_for
from reports import changing, conversation, lifecycle, media, remarks
from reports.conversation import REPORTER
from reports.duplicates import joining
from reports.history import Author
from reports.media import cleaning
from reports.models import Follower, HistoryEntry, Note, Photo, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind, PhotoState, Status, Visibility
from tests.conftest import SECRET_KEY
from tests.factories import (
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

STAFF = Author(ActorKind.STAFF)


def track(report: ServiceRequest, action: str = "", lang: str = "fr") -> str:
    token = token_for(SECRET_KEY, Purpose.TRACK, report.id, report.token_version)
    return (
        links.track_url("", report.id, token) + (f"/{action}" if action else "") + f"?lang={lang}"
    )


def link(purpose: Purpose, follower: Follower) -> str:
    token = token_for(SECRET_KEY, purpose, follower.id, follower.token_version)
    build = links.confirm_url if purpose is Purpose.CONFIRM else links.leave_url
    return build("", follower.id, token)


def text_of(response: Any) -> str:
    """What a reader sees."""
    html = response.get_data(as_text=True)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def a_report(session: Session, status: Status = Status.TRIAGED, **values: Any) -> ServiceRequest:
    city = new_jurisdiction(session)
    service = new_service(session, city, names={"fr": "Nid-de-poule", "en": "Pothole"})
    team = new_team(session, city, names={"fr": "Voirie Centre", "en": "Roads Centre"})
    return new_report(session, service, status=status, team=team, **values)


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(content, "JPEG")
    return content.getvalue()


def a_stored_photo(app: Any, session: Session, report: ServiceRequest) -> UUID:
    storage = app.extensions["storage"]
    staged = media.stage(storage, media.check_photos([io.BytesIO(jpeg())]))
    ids = media.insert_staged(
        session,
        report.id,
        staged,
        by=REPORTER,
        jurisdiction_id=report.jurisdiction_id,
        now=utc_now(),
    )
    outcomes = [cleaning.clean(storage, photo) for photo in cleaning.waiting(session, ids)]
    cleaning.record(session, outcomes, now=utc_now())
    return ids[0]


# -- every page -----------------------------------------------------------------------------------


def test_no_page_loads_or_tells_anything_elsewhere(client: FlaskClient, session: Session) -> None:
    for path in ("/", "/docs", track(a_report(session)), "/nothing-here"):
        response = client.get(path, headers={"Accept": "text/html"})
        html = response.get_data(as_text=True)
        assert "<script" not in html
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in response.headers


def test_the_language_is_the_one_asked_for_then_the_browser_s_then_the_city_s(
    client: FlaskClient, session: Session
) -> None:
    boston = new_jurisdiction(session, locales=["en"], default_locale="en")
    report = new_report(session, new_service(session, boston))
    path = links.report_url("", boston.code, report.number)

    def language(path: str, accepted: str | None = None) -> str | None:
        headers = {"Accept-Language": accepted} if accepted else {}
        return client.get(path, headers=headers).headers["Content-Language"]

    assert language(path) == "en"
    assert language(path, "fr-CA, en;q=0.5") == "fr"
    assert language(f"{path}?lang=en", "fr") == "en"
    assert language(f"{path}?lang=de", "de") == "en"


def test_a_wrong_address_is_a_page_for_people_and_a_document_for_programs(
    client: FlaskClient,
) -> None:
    page = client.get("/nothing?lang=en", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is nothing at this address." in text_of(page)

    for path, accept in (("/nothing", "application/json"), ("/api/v1/nothing", "text/html")):
        document = client.get(path, headers={"Accept": accept})
        assert (document.status_code, document.mimetype) == (404, "application/problem+json")
        assert document.get_json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RuntimeError("secret detail"), 500, "Something went wrong on our side."),
        (OperationalError("SELECT", {}, OSError("secret detail")), 503, "Nothing is lost"),
        (UnavailableError("secret detail"), 503, "Nothing is lost"),
    ],
)
def test_a_failure_of_ours_is_a_page_that_says_what_to_do(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    said: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("web.home.utc_now", fail)
    response = client.get("/?lang=en")

    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert said in text_of(response)
    assert "secret detail" not in text_of(response)
    assert ("Retry-After" in response.headers) == (status == 503)


def test_the_style_sheet_is_ours_and_kept_under_its_fingerprint(client: FlaskClient) -> None:
    html = client.get("/").get_data(as_text=True)
    (url,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', html)
    with client.get(url) as sheet:
        assert (sheet.status_code, sheet.mimetype) == (200, "text/css")
        assert sheet.cache_control.max_age == 31_536_000
    assert client.get("/static/../wording.py").status_code == 404


def test_the_first_page_says_what_runs_here(client: FlaskClient, session: Session) -> None:
    city = new_jurisdiction(
        session,
        names={"fr": "Ville de Montpellier", "en": "City of Montpellier"},
        policy={"center": {"lat": 43.6, "lon": 3.87}},
    )
    service = new_service(session, city, code="banc-casse")
    new_report(session, service, requested_at=utc_now())

    page = text_of(client.get("/?lang=fr"))

    assert "Ville de Montpellier" in page
    assert "1 reçus aujourd’hui" in page
    assert "1 service proposé" in page
    assert "outbox" in page
    assert "banc-casse" in page


# -- the reporter's page --------------------------------------------------------------------------


def test_the_reporter_sees_where_it_stands_in_words(client: FlaskClient, session: Session) -> None:
    report = a_report(session, Status.ASSIGNED, description="Un trou <b>profond</b>")
    lifecycle.move(
        session,
        report,
        Status.RESOLVED,
        by=STAFF,
        now=utc_now(),
        words=changing.Words(note="PV 12 interne", public_note="Rebouché ce matin."),
    )

    response = client.get(track(report))
    page = text_of(response)

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert f"Signalement n° {report.number}" in page
    for words in ("Nid-de-poule", "Voirie Centre", "Rebouché ce matin.", "Réglé"):
        assert words in page
    assert "interne" not in page
    assert "<b>profond" not in response.get_data(as_text=True)
    assert "Fixed" in text_of(client.get(track(report, lang="en")))


def test_a_wrong_link_finds_nothing_and_does_nothing(client: FlaskClient, session: Session) -> None:
    report = a_report(session)
    other = a_report(session)
    token = token_for(SECRET_KEY, Purpose.TRACK, other.id, 1)
    path = links.track_url("", report.id, token)

    assert client.get(path).status_code == 404
    for action in ("addition", "answer", "withdrawal", "not-fixed"):
        assert client.post(f"{path}/{action}", data={"text": "non"}).status_code == 404
    assert client.post(f"{track(report)[:-8]}/nonsense").status_code == 404
    assert stored(session, Note, report_id=report.id) == []


def test_opening_the_page_changes_nothing(client: FlaskClient, session: Session) -> None:
    report = a_report(session)
    before = (report.version, len(stored(session, HistoryEntry, report_id=report.id)))

    client.get(track(report))
    back = client.get(track(report, "withdrawal"))

    assert back.status_code == 303
    session.refresh(report)
    assert (report.version, len(stored(session, HistoryEntry, report_id=report.id))) == before


def test_the_reporter_adds_words_and_photos(client: FlaskClient, session: Session) -> None:
    report = a_report(session)

    response = client.post(
        track(report, "addition"),
        data={"text": "Au n° 12.\r\nCôté pair.", "photos": [(io.BytesIO(jpeg()), "x.html")]},
        follow_redirects=True,
    )

    assert "C’est ajouté." in text_of(response)
    assert "Une photo est en cours de préparation." in text_of(response)
    (note,) = stored(session, Note, report_id=report.id)
    assert (note.kind, note.body) == (NoteKind.ADDITION, "Au n° 12.\nCôté pair.")
    (photo,) = stored(session, Photo, report_id=report.id)
    assert (photo.state, photo.added_by) == (PhotoState.STAGED, ActorKind.REPORTER)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        ({"text": "   "}, 422, "Write a few words"),
        ({"text": "x" * 4001}, 422, "Write a few words"),
        ({"text": "nul\0"}, 422, "Write a few words"),
        ({"text": "See", "photos": [(b"<html>", "a.jpg")]}, 422, "could not be taken"),
        ({"text": "See", "photos": [(b"\xff" * 11_000_000, "a.jpg")]}, 413, "larger than 10 MB"),
        ({"text": "See", "photos": [(jpeg(), "a.jpg")] * 6}, 422, "could not be taken"),
    ],
    ids=["nothing", "too long", "NUL", "no photo", "too large", "too many"],
)
def test_a_refusal_is_said_on_the_page_and_keeps_the_words(
    client: FlaskClient, session: Session, data: dict[str, Any], status: int, said: str
) -> None:
    report = a_report(session)
    sent = dict(data)
    if "photos" in sent:
        sent["photos"] = [(io.BytesIO(content), name) for content, name in sent["photos"]]

    response = client.post(track(report, "addition", "en"), data=sent)
    # The test client leaves the file open that it made the body in.
    response.request.environ["wsgi.input"].close()

    assert response.status_code == status
    assert said in text_of(response)
    if data["text"] == "See":
        assert ">See</textarea>" in response.get_data(as_text=True)
    assert stored(session, Note, report_id=report.id) == []
    assert stored(session, Photo, report_id=report.id) == []


def test_the_reporter_answers_the_team_s_question(client: FlaskClient, session: Session) -> None:
    report = a_report(session)
    assert "L’équipe vous demande" not in text_of(client.get(track(report)))
    remarks.ask(session, report, "Quel côté ?", hold=True, by=STAFF, now=utc_now())

    assert "Quel côté ?" in text_of(client.get(track(report)))
    response = client.post(
        track(report, "answer"), data={"text": "Le côté pair."}, follow_redirects=True
    )

    assert "Votre réponse est partie." in text_of(response)
    assert "Quel côté ?" in text_of(response)
    assert "L’équipe vous demande" not in text_of(response)
    session.refresh(report)
    assert report.status != Status.ON_HOLD
    again = client.post(track(report, "answer"), data={"text": "Encore."})
    assert again.status_code == 409
    assert "déjà reçu sa réponse" in text_of(again)


def test_the_reporter_of_a_duplicate_withdraws_once(client: FlaskClient, session: Session) -> None:
    service = new_service(session)
    parent = new_report(session, service)
    child = new_report(session, service, parent=parent)
    form = "Retirer le signalement"
    assert form in text_of(client.get(track(child)))

    response = client.post(track(child, "withdrawal"), follow_redirects=True)

    assert response.status_code == 200
    assert form not in text_of(client.get(track(child)))
    session.refresh(parent)
    assert Status(parent.status).is_open


def test_the_reporter_withdraws(client: FlaskClient, session: Session) -> None:
    report = a_report(session)

    response = client.post(track(report, "withdrawal"), follow_redirects=True)

    assert "Votre signalement est retiré." in text_of(response)
    assert "Retiré par son auteur" in text_of(response)
    session.refresh(report)
    assert report.status == Status.CLOSED


def test_the_reporter_says_that_it_is_not_fixed_while_there_is_time(
    client: FlaskClient, session: Session
) -> None:
    report = a_report(session, Status.RESOLVED)
    late = a_report(session, Status.RESOLVED, resolved_at=utc_now() - timedelta(days=15))
    assert "Ce n’est pas réglé ?" in text_of(client.get(track(report)))
    assert "Ce n’est pas réglé" not in text_of(client.get(track(late)))

    done = client.post(track(report, "not-fixed"), data={"text": "Toujours là."})
    refused = client.post(track(late, "not-fixed"))

    assert done.status_code == 303
    session.refresh(report)
    assert report.status == Status.REOPENED
    assert refused.status_code == 409
    assert "trop tard" in text_of(refused)


def test_the_page_of_a_duplicate_tells_the_story_of_its_parent(
    client: FlaskClient, session: Session
) -> None:
    parent = a_report(session, Status.ASSIGNED)
    service = new_service(session)
    child = new_report(session, service, parent=parent, history=False)
    lifecycle.move(
        session,
        parent,
        Status.RESOLVED,
        by=STAFF,
        now=utc_now(),
        words=changing.Words(public_note="Rebouché."),
    )

    page = text_of(client.get(track(child)))

    assert f"votre signalement est joint au n° {parent.number}" in page
    assert "Rebouché." in page


def test_the_story_of_a_duplicate_is_in_order_and_its_own(
    client: FlaskClient, session: Session
) -> None:
    service = new_service(session)
    parent = new_report(session, service, history=False)
    child = new_report(session, service, history=False)
    joining.join(session, child, parent, by=STAFF, now=utc_now())
    other = new_report(session, service, history=False)
    joining.join(session, other, parent, by=STAFF, now=utc_now())
    new_follower(session, parent, is_reporter=True)
    conversation.withdraw(session, parent, None, now=utc_now())
    words = changing.Words(public_note="Nous passons demain.")
    lifecycle.move(session, parent, Status.IN_PROGRESS, by=STAFF, now=utc_now(), words=words)
    conversation.add(session, child, "Le trou a grandi.", photos=0, now=utc_now())

    page = text_of(client.get(track(child)))

    story = page[page.index("Ce qui s’est passé") :]
    told = ("Le trou a grandi.", "Nous passons demain.", "Joint au signalement")
    assert sorted(told, key=story.index) == list(told)
    assert "Retiré" not in story


def test_the_story_names_each_report_that_it_was_joined_to(
    client: FlaskClient, session: Session
) -> None:
    service = new_service(session)
    child, first, second, third = (new_report(session, service, history=False) for _ in range(4))

    def story() -> str:
        page = text_of(client.get(track(child)))
        return page[page.index("Ce qui s’est passé") :]

    joining.join(session, child, first, by=STAFF, now=utc_now())
    joining.unjoin(session, child, by=STAFF, now=utc_now())
    assert f"Joint au signalement n° {first.number}," in story()

    joining.join(session, child, second, by=STAFF, now=utc_now())
    joining.join(session, second, third, by=STAFF, now=utc_now())
    told = story()
    assert f"Joint au signalement n° {first.number}," in told
    assert f"Joint au signalement n° {third.number}," in told
    assert f"n° {second.number}," not in told


def test_work_that_waited_goes_on_and_does_not_begin_again(
    client: FlaskClient, session: Session
) -> None:
    report = a_report(session, Status.ASSIGNED)
    lifecycle.move(session, report, Status.IN_PROGRESS, by=STAFF, now=utc_now())
    remarks.ask(session, report, "De quel côté ?", hold=True, by=STAFF, now=utc_now())
    conversation.answer(session, report, "Côté pair.", now=utc_now())

    answered = text_of(client.get(track(report)))

    assert answered.count("Intervention commencée") == 1
    assert "Intervention reprise" not in answered

    for status in (Status.ON_HOLD, Status.IN_PROGRESS):
        lifecycle.move(session, report, status, by=STAFF, now=utc_now())

    resumed = text_of(client.get(track(report)))

    assert resumed.count("Intervention commencée") == 1
    assert resumed.count("Intervention reprise") == 1


# -- followers ------------------------------------------------------------------------------------


def test_confirming_takes_a_button(client: FlaskClient, session: Session) -> None:
    follower = new_follower(session, a_report(session), is_confirmed=False)
    path = link(Purpose.CONFIRM, follower)

    def is_confirmed() -> bool:
        session.refresh(follower)
        return follower.confirmed_at is not None

    assert client.get(path).status_code == 200
    assert not is_confirmed()

    for _ in range(2):
        assert client.post(path).status_code == 200
    assert is_confirmed()
    assert client.post(link(Purpose.LEAVE, follower).replace("leave", "confirm")).status_code == 404


def test_leaving_takes_a_button_or_one_click_of_a_mail_program(
    client: FlaskClient, session: Session
) -> None:
    report = a_report(session)
    by_button, by_program = new_follower(session, report), new_follower(session, report)

    assert client.get(link(Purpose.LEAVE, by_button)).status_code == 200
    session.refresh(by_button)
    assert by_button.left_at is None

    assert "C’est fait." in text_of(client.post(link(Purpose.LEAVE, by_button) + "?lang=fr"))
    click = client.post(link(Purpose.LEAVE, by_program), data={"List-Unsubscribe": "One-Click"})
    assert (click.status_code, click.data) == (200, b"")
    for follower in (by_button, by_program):
        session.refresh(follower)
        assert follower.left_at is not None


# -- signing in -----------------------------------------------------------------------------------


def a_challenge(session: Session, **values: Any) -> SignInChallenge:
    now = utc_now()
    challenge = SignInChallenge(
        **{
            "id": new_id(),
            "email": "camille@courriel.example",
            "created_at": now,
            "expires_at": now + timedelta(minutes=15),
            **values,
        }
    )
    session.add(challenge)
    session.flush()
    return challenge


def test_a_sign_in_link_opens_one_session(client: FlaskClient, session: Session) -> None:
    challenge = a_challenge(session)
    token = challenges.link_token(SECRET_KEY, challenge.id)
    path = links.sign_in_url("", challenge.id, token, "en")

    assert client.get(path).status_code == 200
    assert stored(session, SignInSession) == []

    opened = client.post(path)
    assert (opened.status_code, opened.headers["Location"]) == (303, "/account?lang=en")
    assert "rvs_" not in opened.get_data(as_text=True)
    assert client.get("/api/v1/me").get_json()["email"] == "camille@courriel.example"

    client.delete_cookie(PLAIN_NAME)
    again = client.post(path)
    assert again.status_code == 410
    assert "does not work any more" in text_of(again)


def test_for_an_app_the_link_shows_a_token_and_signs_no_browser_in(
    client: FlaskClient, session: Session
) -> None:
    challenge = a_challenge(session)
    token = challenges.link_token(SECRET_KEY, challenge.id)
    path = links.sign_in_url("", challenge.id, token) + "?for=app"

    assert 'name="for" value="app"' in client.get(path).get_data(as_text=True)
    opened = client.post(path)

    assert opened.status_code == 200
    assert "Set-Cookie" not in opened.headers
    (bearer,) = set(re.findall(r"rvs_[\w-]+", opened.get_data(as_text=True)))
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {bearer}"})
    assert me.get_json()["email"] == "camille@courriel.example"
    assert client.get("/api/v1/me").status_code == 401


def test_a_guessed_sign_in_link_is_counted(client: FlaskClient, session: Session) -> None:
    challenge = a_challenge(session)

    assert client.post(links.sign_in_url("", challenge.id, "guess")).status_code == 410
    session.refresh(challenge)
    assert challenge.tries == 1


# -- what everybody sees --------------------------------------------------------------------------


def test_the_public_page_shows_no_more_than_the_public_may_see(
    client: FlaskClient, session: Session
) -> None:
    report = a_report(session, Status.ASSIGNED)
    new_follower(session, report, is_reporter=True, name="Camille Durand", email="c@d.example")
    client.post(track(report, "addition"), data={"text": "Sonnez chez Durand."})
    remarks.ask(session, report, "Votre étage ?", hold=False, by=STAFF, now=utc_now())
    place = session.get_one(type(report), report.id)
    code = _code(session, place)

    page = text_of(client.get(f"/report/{code}/{report.number}?lang=fr"))

    assert "Nid-de-poule" in page
    for private in ("Durand", "c@d.example", "étage", "Sonnez"):
        assert private not in page
    by_id = client.get(f"/reports/{report.id}")
    assert by_id.headers["Location"].endswith(f"/report/{code}/{report.number}")


def _code(session: Session, report: ServiceRequest) -> str:
    from geo.models import Jurisdiction

    return session.get_one(Jurisdiction, report.jurisdiction_id).code


def test_a_report_that_is_held_back_looks_missing(client: FlaskClient, session: Session) -> None:
    report = a_report(session, visibility=Visibility.HELD.value)

    assert client.get(f"/report/{_code(session, report)}/{report.number}").status_code == 404
    assert client.get(f"/reports/{report.id}").status_code == 404
    assert client.get(f"/report/nowhere/{report.number}").status_code == 404
    assert client.get(f"/report/{_code(session, report)}/{10**30}").status_code == 404


def test_where_a_service_says_block_the_public_sees_no_house_number(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session)
    service = new_service(session, city, public_precision="block")
    report = new_report(session, service, address="12 rue Foch, Montpellier")

    assert "rue Foch" in text_of(client.get(f"/report/{city.code}/{report.number}"))
    assert "12 rue Foch" not in text_of(client.get(f"/report/{city.code}/{report.number}"))
    assert "12 rue Foch" in text_of(client.get(track(report)))


def test_a_clean_public_photo_is_served_as_what_it_is(
    app: Any, client: FlaskClient, session: Session
) -> None:
    report = a_report(session)
    photo_id = a_stored_photo(app, session, report)

    for size in ("full", "thumb"):
        response = client.get(links.photo_url("", photo_id, size))
        assert (response.status_code, response.mimetype) == (200, "image/jpeg")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"].startswith("inline")
        assert response.cache_control.public
        assert Image.open(io.BytesIO(response.data)).format == "JPEG"
    etag = response.headers["ETag"]
    seen = client.get(links.photo_url("", photo_id, "thumb"), headers={"If-None-Match": etag})
    assert (seen.status_code, seen.data) == (304, b"")
    assert client.get(links.photo_url("", photo_id, "original")).status_code == 404


def test_a_photo_that_is_not_public_is_for_its_reporter_and_staff(
    app: Any, client: FlaskClient, session: Session
) -> None:
    report = a_report(session, visibility=Visibility.HELD.value)
    photo_id = a_stored_photo(app, session, report)
    path = links.photo_url("", photo_id)
    token = token_for(SECRET_KEY, Purpose.TRACK, report.id, 1)
    from geo.models import Jurisdiction

    agent = new_staff(session, session.get_one(Jurisdiction, report.jurisdiction_id))
    stranger = new_staff(session, new_jurisdiction(session))

    assert client.get(path).status_code == 404
    assert client.get(links.photo_url("", photo_id, token="guess")).status_code == 404
    assert client.get(path, headers=stranger.headers).status_code == 404
    for response in (
        client.get(links.photo_url("", photo_id, token=token)),
        client.get(path, headers=agent.headers),
    ):
        assert response.status_code == 200
        assert response.cache_control.private


def test_a_photo_is_not_shown_before_it_is_clean(client: FlaskClient, session: Session) -> None:
    report = a_report(session)
    for state in (PhotoState.STAGED, PhotoState.DROPPED):
        photo = new_photo(session, report, state=state)
        assert client.get(links.photo_url("", photo.id)).status_code == 404
