"""Payloads of campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import fields

from assets.adoption.schemas import AssetRefOut, asset_document
from assets.campaigns.keeping import Remark, Wish
from assets.campaigns.models import Campaign
from assets.campaigns.queries import Said, Sent
from assets.campaigns.reaching import area_of
from assets.campaigns.rules import PLACEHOLDERS
from assets.campaigns.vocabulary import Answer, CampaignState, HeldBecause, Repeat, Trigger
from assets.campaigns.wording import Words
from assets.kinds import KindEntry
from assets.weather.models import WeatherLook
from assets.weather.vocabulary import Measure, Severity, Source
from core.api import Schema, Text
from core.i18n import LANGUAGES
from geo.jurisdictions import JurisdictionRef
from reports.field_types import AreaField
from reports.schemas import PageQuery

MAX_NAME = 120
MAX_SUBJECT = 120
MAX_TEXT = 4000

#: A week; who cools down longer pauses the campaign.
MOST_COOL_DOWN_H = 24 * 31
MOST_FOLLOW_UP_H = 24 * 7
MOST_WITHIN_H = 72

_HELD = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


class CampaignSeasonIn(Schema):
    """Days of the year, both included; it may run across New Year."""

    from_ = Text(
        required=True,
        data_key="from",
        max_length=5,
        validate=ma.validate.Regexp(r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"),
        metadata={"example": "11-15"},
    )
    to = Text(
        required=True,
        max_length=5,
        validate=ma.validate.Regexp(r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"),
        metadata={"example": "03-31"},
    )


class CampaignWordsIn(Schema):
    """A letter's words in one language, as plain text."""

    subject = Text(required=True, min_length=1, max_length=MAX_SUBJECT)
    text = Text(
        required=True,
        min_length=1,
        max_length=MAX_TEXT,
        metadata={"description": f"May hold {_HELD}."},
    )


class LocalTime(fields.NaiveDateTime):
    """A day and a time by the city's clock, without a zone."""


class CampaignCalendarIn(Schema):
    """When the calendar sets it off."""

    at = LocalTime(
        required=True,
        metadata={"description": "By the city's clock.", "example": "2026-12-01T09:00"},
    )
    repeat = fields.Enum(Repeat, by_value=True, load_default=Repeat.ONCE)


class AwaitedForecastIn(Schema):
    """What must be foreseen: all that is named, within so many hours."""

    snowfall_cm = fields.Float(validate=ma.validate.Range(min=0.1, max=500))
    rain_mm = fields.Float(validate=ma.validate.Range(min=0.1, max=2000))
    cold_c = fields.Float(
        validate=ma.validate.Range(min=-60, max=40),
        metadata={"description": "The coldest hour is so cold, or colder."},
    )
    heat_c = fields.Float(validate=ma.validate.Range(min=-40, max=60))
    wind_kmh = fields.Float(validate=ma.validate.Range(min=1, max=400))
    gust_kmh = fields.Float(validate=ma.validate.Range(min=1, max=400))
    within_h = fields.Integer(
        load_default=24, strict=True, validate=ma.validate.Range(min=1, max=MOST_WITHIN_H)
    )

    @ma.validates_schema
    def _something(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if not set(data) & set(Measure):
            raise ma.ValidationError("Say what must be foreseen.")


class AwaitedAlertIn(Schema):
    """Which alerts set it off."""

    events = fields.List(
        Text(min_length=1, max_length=100),
        load_default=[],
        validate=ma.validate.Length(max=20),
        metadata={"description": "Words of which the alert's event holds one; none: any event."},
    )
    severity = fields.Enum(Severity, by_value=True, load_default=Severity.MODERATE)


class CampaignTriggerIn(Schema):
    """What sets a campaign off: nothing of these is by hand."""

    calendar = fields.Nested(CampaignCalendarIn)
    forecast = fields.Nested(AwaitedForecastIn)
    alert = fields.Nested(AwaitedAlertIn)

    @ma.validates_schema
    def _one(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if len(data) > 1:
            raise ma.ValidationError("Only one thing sets a campaign off.")


class CampaignLanguagesIn(Schema):
    """The words by language; one that is missing is told in the city's."""

    fr = fields.Nested(CampaignWordsIn)
    en = fields.Nested(CampaignWordsIn)


class CampaignChangeIn(Schema):
    """What a coordinator changes; what is left out stays."""

    name = Text(min_length=1, max_length=MAX_NAME)
    kind = Text(max_length=100)
    area = AreaField(
        allow_none=True,
        metadata={"description": "layer:code; null: the whole city", "example": "wards:3"},
    )
    starts_on = fields.Date()
    ends_on = fields.Date()
    season = fields.Nested(CampaignSeasonIn, allow_none=True)
    words = fields.Nested(CampaignLanguagesIn)
    trigger = fields.Nested(CampaignTriggerIn)
    action = Text(
        max_length=100,
        metadata={"description": "Of the kind's care; what “it is clear” logs."},
    )
    cool_down_h = fields.Integer(
        strict=True,
        validate=ma.validate.Range(min=0, max=MOST_COOL_DOWN_H),
        metadata={"description": "Two rounds are at least so many hours apart; else 24."},
    )
    follow_up_h = fields.Integer(
        strict=True,
        allow_none=True,
        validate=ma.validate.Range(min=1, max=MOST_FOLLOW_UP_H),
        metadata={
            "description": "“Is it clear?” so many hours after, of weather after its end; null:"
            " nobody is asked; else 6."
        },
    )
    confirm = Text(
        max_length=60, metadata={"description": "As the answer `confirmation_needed` had it."}
    )


class CampaignIn(CampaignChangeIn):
    """A new campaign."""

    jurisdiction = Text(required=True, max_length=100)
    name = Text(required=True, min_length=1, max_length=MAX_NAME)
    kind = Text(required=True, max_length=100)
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    words = fields.Nested(CampaignLanguagesIn, required=True)


class ConfirmCampaignIn(Schema):
    """Sending by hand."""

    confirm = Text(
        max_length=60, metadata={"description": "As the answer `confirmation_needed` had it."}
    )


class CampaignStateIn(ConfirmCampaignIn):
    """Pause, go on, or end for good."""

    state = fields.Enum(CampaignState, by_value=True, required=True)


class CampaignsQuery(PageQuery):
    """Which campaigns."""

    jurisdiction = Text(max_length=100)
    state = fields.Enum(CampaignState, by_value=True)


class CampaignAnswersQuery(PageQuery):
    """Which answers."""

    round = fields.UUID()
    answer = fields.Enum(Answer, by_value=True)


class CampaignRemarkOut(Schema):
    """Something to know; nothing has to be done about it."""

    code = fields.String(
        required=True,
        metadata={
            "description": "too_long_for_sms, language_missing, nobody_asked_about_weather,"
            " no_weather_to_tell"
        },
    )
    language = fields.String(required=True, allow_none=True)
    length = fields.Integer(required=True, allow_none=True)


class CampaignOut(Schema):
    """A campaign."""

    id = fields.UUID(required=True)
    jurisdiction = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    area = fields.String(required=True, allow_none=True)
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    season = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)
    words = fields.Dict(keys=fields.String(), values=fields.Dict(), required=True)
    trigger = fields.Dict(keys=fields.String(), required=True)
    action = fields.String(required=True)
    cool_down_h = fields.Integer(required=True)
    follow_up_h = fields.Integer(required=True, allow_none=True)
    state = fields.Enum(CampaignState, by_value=True, required=True)
    held_because = fields.Enum(HeldBecause, by_value=True, required=True, allow_none=True)
    confirmed = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "To so many recipients a coordinator agreed."},
    )
    next_at = fields.AwareDateTime(required=True, allow_none=True)
    last_sent_at = fields.AwareDateTime(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)
    remarks = fields.List(fields.Nested(CampaignRemarkOut), required=True)


class CampaignListOut(Schema):
    """A page of campaigns."""

    items = fields.List(fields.Nested(CampaignOut), required=True)
    next = fields.String(required=True, allow_none=True)


class ExampleOut(Schema):
    """What one recipient would read; nobody is named."""

    language = fields.String(required=True)
    subject = fields.String(required=True)
    text = fields.String(required=True)
    assets = fields.List(fields.String(), required=True)


class CampaignPreviewOut(Schema):
    """What would happen if it went out now."""

    recipients = fields.Integer(required=True)
    assets = fields.Integer(required=True)
    by_email = fields.Integer(required=True)
    by_sms = fields.Integer(required=True)
    examples = fields.List(fields.Nested(ExampleOut), required=True)
    remarks = fields.List(fields.Nested(CampaignRemarkOut), required=True)
    needs = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What must be confirmed: nobody, too_many; null: nothing."},
    )
    confirm = fields.String(required=True, allow_none=True)


class CampaignRoundOut(Schema):
    """One time that it went out."""

    id = fields.UUID(required=True)
    set_off_by = fields.Enum(Trigger, by_value=True, required=True)
    sent_at = fields.AwareDateTime(required=True)
    recipients = fields.Integer(required=True)
    assets = fields.Integer(required=True)
    foreseen = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "Of weather: values, starts_at, ends_at, event."},
    )
    follow_up_at = fields.AwareDateTime(required=True, allow_none=True)
    followed_up_at = fields.AwareDateTime(required=True, allow_none=True)
    answers = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "How many assets, by clear, not_yet, help and none."},
    )


class CampaignRoundListOut(Schema):
    """A page of rounds."""

    items = fields.List(fields.Nested(CampaignRoundOut), required=True)
    next = fields.String(required=True, allow_none=True)


class CampaignAnswerOut(Schema):
    """What was said of one asset."""

    asset = fields.Nested(AssetRefOut, required=True)
    adoption = fields.UUID(required=True)
    round = fields.UUID(required=True)
    answer = fields.Enum(Answer, by_value=True, required=True, allow_none=True)
    answered_at = fields.AwareDateTime(required=True, allow_none=True)


class CampaignAnswerListOut(Schema):
    """A page of answers."""

    items = fields.List(fields.Nested(CampaignAnswerOut), required=True)
    next = fields.String(required=True, allow_none=True)


class WeatherLookOut(Schema):
    """Who is asked about a city's weather, and whether they answer."""

    source = fields.Enum(Source, by_value=True, required=True)
    answered_at = fields.AwareDateTime(required=True, allow_none=True)
    failed_at = fields.AwareDateTime(required=True, allow_none=True)
    failures = fields.Integer(
        required=True, metadata={"description": "Since the last good answer."}
    )
    fault = fields.String(required=True, allow_none=True)
    next_look_at = fields.AwareDateTime(required=True)


class WeatherOut(Schema):
    """Both sources, as far as somebody was ever asked."""

    items = fields.List(fields.Nested(WeatherLookOut), required=True)


def wish_from(payload: dict[str, Any], before: Wish | None = None) -> Wish:
    """A campaign as a payload wants it; what it leaves out is as before."""
    given: dict[str, Any] = {}
    if before is not None:
        given = {name: getattr(before, name) for name in Wish.__dataclass_fields__}
    plain = (
        "name", "kind", "area", "starts_on", "ends_on", "action", "cool_down_h", "follow_up_h",
    )  # fmt: skip
    given |= {name: payload[name] for name in plain if name in payload}
    is_other_kind = before is not None and given["kind"] != before.kind
    if is_other_kind and "action" not in payload:
        given["action"] = None
    if "season" in payload:
        season = payload["season"]
        given["season"] = {"from": season["from_"], "to": season["to"]} if season else None
    if "words" in payload:
        given["words"] = payload["words"]
    if "trigger" in payload:
        given["trigger"], given["awaited"] = _trigger(payload["trigger"])
    return Wish(**given)


def _trigger(given: dict[str, Any]) -> tuple[Trigger, dict[str, Any]]:
    if "calendar" in given:
        calendar = given["calendar"]
        at: datetime = calendar["at"]
        return Trigger.CALENDAR, {"at": at.isoformat(), "repeat": calendar["repeat"].value}
    if "forecast" in given:
        forecast = given["forecast"]
        thresholds = {name: value for name, value in forecast.items() if name != "within_h"}
        return Trigger.WEATHER, {"thresholds": thresholds, "within_h": forecast["within_h"]}
    if "alert" in given:
        alert = given["alert"]
        return Trigger.WEATHER, {"events": alert["events"], "severity": alert["severity"].value}
    return Trigger.HAND, {}


def _trigger_document(campaign: Campaign) -> dict[str, Any]:
    """The trigger in the form that `CampaignTriggerIn` takes."""
    awaited = campaign.awaited
    if campaign.trigger == Trigger.CALENDAR:
        return {"calendar": dict(awaited)}
    if campaign.trigger == Trigger.WEATHER and "thresholds" in awaited:
        return {"forecast": {**awaited["thresholds"], "within_h": awaited["within_h"]}}
    if campaign.trigger == Trigger.WEATHER:
        return {"alert": dict(awaited)}
    return {}


def campaign_document(
    campaign: Campaign, place: JurisdictionRef, kind: KindEntry, remarks: Sequence[Remark]
) -> dict[str, Any]:
    """A campaign as `CampaignOut` says it."""
    area = area_of(campaign)
    return {
        "id": campaign.id,
        "jurisdiction": place.code,
        "name": campaign.name,
        "kind": kind.code,
        "area": ":".join(area) if area else None,
        "starts_on": campaign.starts_on,
        "ends_on": campaign.ends_on,
        "season": campaign.season,
        "words": {lang: campaign.words[lang] for lang in LANGUAGES if lang in campaign.words},
        "trigger": _trigger_document(campaign),
        "action": campaign.action,
        "cool_down_h": campaign.cool_down_h,
        "follow_up_h": campaign.follow_up_h,
        "state": CampaignState(campaign.state),
        "held_because": HeldBecause(campaign.held_because) if campaign.held_because else None,
        "confirmed": campaign.confirmed,
        "next_at": campaign.next_at,
        "last_sent_at": campaign.last_sent_at,
        "created_at": campaign.created_at,
        "updated_at": campaign.updated_at,
        "remarks": [remark_document(each) for each in remarks],
    }


def remark_document(remark: Remark) -> dict[str, Any]:
    """As `CampaignRemarkOut` says it."""
    return {"code": remark.code, "language": remark.language, "length": remark.length}


def example_document(language: str, words: Words, labels: Sequence[str]) -> dict[str, Any]:
    """As `ExampleOut` says it."""
    return {
        "language": language,
        "subject": words.subject,
        "text": words.text,
        "assets": list(labels),
    }


def round_document(sent: Sent) -> dict[str, Any]:
    """As `CampaignRoundOut` says it."""
    made = sent.round
    return {
        "id": made.id,
        "set_off_by": Trigger(made.set_off_by),
        "sent_at": made.sent_at,
        "recipients": made.recipients,
        "assets": made.assets,
        "foreseen": made.foreseen,
        "follow_up_at": made.follow_up_at,
        "followed_up_at": made.followed_up_at,
        "answers": sent.answers,
    }


def said_document(said: Said, locale: str | None) -> dict[str, Any]:
    """As `CampaignAnswerOut` says it."""
    return {
        "asset": asset_document(said.asset, locale),
        "adoption": said.adoption_id,
        "round": said.round_id,
        "answer": Answer(said.answer) if said.answer else None,
        "answered_at": said.answered_at,
    }


def look_document(look: WeatherLook) -> dict[str, Any]:
    """As `WeatherLookOut` says it."""
    return {
        "source": Source(look.source),
        "answered_at": look.answered_at,
        "failed_at": look.failed_at,
        "failures": look.failures,
        "fault": look.fault,
        "next_look_at": look.next_look_at,
    }
