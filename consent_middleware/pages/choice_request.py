"""A choice as a browser sends it, form or JSON: parsed once, with named limits; trusted afterwards."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy

MAX_BODY = 16_384
MAX_FIELDS = 100
# What somebody may write about a right of theirs; a character of four bytes is sent as twelve.
MAX_TEXT = 2000
MAX_TEXT_BODY = 12 * MAX_TEXT + 1000

Verb = Literal["accept", "reject", "save", "choose", "add", "object"]
Source = Literal["banner", "preferences", "control", "placeholder", "api"]


class BadChoice(ValueError):
    """The request is no choice; the message says why."""


class ChoiceRequest(msgspec.Struct, frozen=True):
    """`choice` and what goes with it. `save` grants exactly `purposes`; `add` grants them too; `object` takes
    statistics away; `choose` only leads to the preferences page."""

    choice: Verb
    purposes: frozenset[str] = frozenset()
    return_to: str = ""
    language: str = ""
    source: Source = "api"
    fingerprint: str = ""
    as_json: bool = False


class _Json(msgspec.Struct, frozen=True):
    choice: str = ""
    purpose: str | list[str] = []
    purposes: list[str] = []
    return_to: str = msgspec.field(default="", name="return")
    language: str = ""
    source: str = "api"
    fingerprint: str = ""


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The body, when it is not longer than `limit`. Raises BadChoice."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BadChoice(f"the request is longer than {limit} bytes")
    return bytes(body)


def parse_form(body: bytes) -> dict[str, list[str]]:
    """The fields of a URL-encoded form. Raises BadChoice."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadChoice("the form can't be read") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def words_in(fields: dict[str, list[str]]) -> str:
    """What somebody wrote into the field "text", whole: a request about a right is not cut short. Raises BadChoice."""
    # A browser counts a line's end as one character and sends it as two (HTML, form submission).
    text = fields.get("text", [""])[-1].replace("\r\n", "\n").strip()
    if len(text) > MAX_TEXT:
        raise BadChoice(f"the text is longer than {MAX_TEXT} characters")
    return text


async def read_choice(request: Request) -> ChoiceRequest:
    """What was chosen; whether the policy knows the purposes is for `check_purposes`. Raises BadChoice."""
    body = await read_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            sent = msgspec.json.decode(body, type=_Json)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadChoice(str(error)) from None
        purposes = [sent.purpose] if isinstance(sent.purpose, str) else sent.purpose
        return _checked(sent, frozenset([*purposes, *sent.purposes]), as_json=True)
    if kind not in {"application/x-www-form-urlencoded", ""}:
        raise BadChoice(f'"{kind[:60]}" is neither a form nor JSON')
    fields = parse_form(body)
    # "reject" and "accept" in one form: nobody can say which was meant, so neither is taken.
    if len(set(fields.get("choice", []))) > 1:
        raise BadChoice("the form holds more than one choice")
    one = {name: values[-1] for name, values in fields.items()}
    sent = _Json(
        choice=one.get("choice", ""),
        return_to=one.get("return", ""),
        language=one.get("language", ""),
        source=one.get("source", "api"),
        fingerprint=one.get("fingerprint", ""),
    )
    return _checked(sent, frozenset(fields.get("purpose", [])), as_json=False)


def _checked(sent: _Json, purposes: frozenset[str], *, as_json: bool) -> ChoiceRequest:
    known = ", ".join(get_args(Verb)[:3])
    if not sent.choice:
        raise BadChoice(f"choice is missing; it is one of {known}")
    if sent.choice not in get_args(Verb):
        raise BadChoice(f'choice is one of {known}, not "{sent.choice[:40]}"')
    source = sent.source if sent.source in get_args(Source) else "api"
    return ChoiceRequest(
        choice=sent.choice,  # type: ignore[arg-type]  # checked against the literal's own values above
        purposes=purposes,
        return_to=sent.return_to,
        language=sent.language[:35],
        source=source,  # type: ignore[arg-type]  # as above
        fingerprint=sent.fingerprint,
        as_json=as_json,
    )


def check_purposes(sent: ChoiceRequest, policy: PrivacyPolicy) -> None:
    """Raises BadChoice for a purpose that the policy does not declare: half of a choice is not what was chosen."""
    known = [purpose.id for purpose in policy.purposes]
    if unknown := sorted(sent.purposes.difference(known)):
        wrong = unknown[0][:40]
        near = difflib.get_close_matches(wrong, known, n=1)
        way_out = f'did you mean "{near[0]}"?' if near else f"the purposes are {', '.join(known)}"
        raise BadChoice(f'"{wrong}" is no purpose of this site; {way_out}')
