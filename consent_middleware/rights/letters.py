"""What the person is told: what became of the request, why, until when, and where to complain. Pure."""

from __future__ import annotations

from consent_middleware.policy import PrivacyPolicy
from consent_middleware.rights.request import ARTICLES, NOTHING_HELD, Event, Request

OPENING = {
    "opened": "We have received your request.",
    "identified": "We have received your request, and know now that it is yours.",
    "acted": "We are working on your request.",
    "reminded": "We have received your request.",
    "released": "We are working on your request again.",
    "extended": "We need more time for your request. You will hear from us by {due}. The reason: {reason}",
    "held": "Your request has to wait, because we have to keep this data for now. The reason: {reason}",
    "answered": "We have done what you asked for.",
    "refused": "We can't do what you asked for. The reason: {reason}",
    "partly-refused": "We have done a part of what you asked for, and can't do the rest. The reason: {reason}",
}
NOTHING = "We looked wherever we keep data about people, and hold nothing about you under the name that you gave."
REPLY = "Our answer: {reason}"
# A person who does not get what they asked for has to hear how to contest that (GDPR Art. 12(4)).
CONTESTABLE = frozenset({"extended", "held", "refused", "partly-refused"})


def letter(policy: PrivacyPolicy, request: Request) -> str:
    """The letter for the request as it stands."""
    last = next(event for event in reversed(request.events) if event.step != "reminded")
    controller = policy.controller
    lines = [
        f"Your request number {request.number} of {request.opened:%Y-%m-%d}: {request.right} "
        f"(GDPR Art. {ARTICLES[request.right]})",
        "",
        _opening(request, last).format(due=request.due, reason=_sentence(last)),
    ]
    if request.closed is None and last.step != "extended":
        lines.append(f"We answer by {request.due}.")
    if last.step in CONTESTABLE or request.closed is not None:
        lines += ["", *_contest(policy)]
    lines += ["", controller.name, *filter(None, (controller.address, controller.contact))]
    return "\n".join(lines) + "\n"


def _opening(request: Request, last: Event) -> str:
    if last.step != "answered":
        return OPENING[last.step]
    if request.right == "complaint":
        return REPLY
    # Nothing is left to find of what an earlier, partial answer erased.
    found_before = any(event.step == "acted" and NOTHING_HELD not in event.text for event in request.events)
    return NOTHING if NOTHING_HELD in last.text and not found_before else OPENING["answered"]


def _sentence(event: Event) -> str:
    return event.text if event.text.endswith((".", "!", "?")) else f"{event.text}."


def _contest(policy: PrivacyPolicy) -> list[str]:
    controller = policy.controller
    lines = ["If you do not agree, you can complain to a supervisory authority, or go to court."]
    if controller.supervisory_authority:
        lines.append(f"Our supervisory authority: {controller.supervisory_authority}")
    if controller.complaints_url:
        lines.append(controller.complaints_url)
    return lines
