"""The privacy policy as a document, drawn from privacy.toml: what the site says is what the software does."""

# ruff: noqa: E501  a sentence stays on one line, so that it is found by searching for it

from __future__ import annotations

from typing import TYPE_CHECKING

from consent_middleware.pages.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Link,
    Paragraph,
    Part,
    Table,
    table_of,
)
from consent_middleware.pages.purposes import (
    basis_name,
    cookie_lines,
    purpose_cards,
    safeguard_name,
    vendor_lines,
)
from consent_middleware.pages.words import Words, words_for
from consent_middleware.transfers import PROTECTED

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy


def policy_document(policy: PrivacyPolicy, language: str) -> Document:
    """Every part of the policy page, in the order in which a reader asks."""
    t = words_for(policy, language)
    updated = t.date(policy.updated)
    parts = [
        responsible(policy, t),
        visit(policy, t),
        purposes(policy, t),
        other_data(policy, t),
        cookies(policy, t),
        retention(policy, t),
        statistics(policy, t),
        transfers(policy, t),
        rights(policy, t),
        complaints(policy, t),
        security(policy, t),
        changes(policy, t),
    ]
    return Document(
        title=t("Privacy policy"),
        language=language,
        revision=policy.revision,
        updated=policy.updated.isoformat(),
        updated_line=t("Last updated on %(date)s. Revision %(number)s.", date=updated, number=policy.revision),
        parts=tuple(part for part in parts if part is not None),
    )


def responsible(policy: PrivacyPolicy, t: Words) -> Part:
    controller = policy.controller
    lines = [
        (t("Address"), controller.address),
        (t("Questions, withdrawal and rights"), controller.contact),
        (t("To stop direct marketing"), controller.marketing_contact or controller.contact),
        (t("Data protection officer"), controller.data_protection_officer),
        (t("Registration"), controller.registration),
    ]
    pairs = tuple((label, value) for label, value in lines if value)
    blocks: list[Block] = [Paragraph(t("%(name)s is responsible for this site.", name=controller.name))]
    return Part("responsible", t("Who is responsible"), (*blocks, Facts("", pairs)) if pairs else tuple(blocks))


def visit(policy: PrivacyPolicy, t: Words) -> Part:
    capture = policy.capture
    items = [
        t(
            "Your network address: it is needed to answer you and to find your country. It is shortened at once; the full address is never stored."
        )
    ]
    if capture.purpose in policy.optional_purposes:
        seen = t(
            "With your consent: a random visitor number, your browser, operating system and kind of device, language, country, the site you came from, the pages you open and how long your visit lasts."
        )
        if capture.interactions:
            seen += " " + t(
                "Also what you do on a page: how far you read, searches, downloads, links you follow and forms you send, never what you write in them."
            )
        items.append(seen)
    items.append(
        {
            "counts": t(
                "Without your consent: only how often each page was asked for in each hour, with nothing about you."
            ),
            "nothing": t("Without your consent: nothing is recorded about your visit."),
            "daily-key": t(
                "Without your consent, where the law allows it: visits are counted with a key that changes every day and is destroyed within 48 hours."
            ),
        }[capture.without_consent]
    )
    why = t("We use this to tell visits apart, to see which pages are read, and to make the site better.")
    return Part("visit", t("What we process about your visit"), (Bullets(tuple(items)), Paragraph(why)))


def purposes(policy: PrivacyPolicy, t: Words) -> Part:
    cards = purpose_cards(policy, t)
    rows = tuple((card.title, card.description, card.basis, card.without_it) for card in cards)
    table = table_of(
        t("Purposes"), (t("Purpose"), t("What for"), t("Legal basis"), t("What does not work without it")), rows
    )
    ask = t(
        "Where your consent is the basis, we ask when you first give us the data, and again before anything about you is published or shared."
    )
    return Part("purposes", t("Why we process data"), (table, Paragraph(ask)))


def other_data(policy: PrivacyPolicy, t: Words) -> Part | None:
    if not policy.data:
        return None
    first = policy.site.languages[0]

    def say(value: str | dict[str, str]) -> str:
        return policy.text(value, t.language, first)

    blocks: list[Block] = []
    for data in policy.data:
        lines = [
            (t("What"), t.listed(data.categories)),
            (t("Details"), say(data.description)),
            (t("What for"), say(data.purpose)),
            (t("Legal basis"), basis_name(data.lawful_basis, t)),
            (t("Kept for"), say(data.retention)),
            (t("Where it comes from"), say(data.source)),
            (t("Who receives it"), t.listed(data.recipients)),
            (t("What does not work without it"), say(data.without_it)),
        ]
        pairs = tuple((label, value) for label, value in lines if value)
        blocks.append(Facts(say(data.name) or say(data.purpose), pairs))
        if data.statutory:
            blocks.append(Paragraph(t("This data is needed by law or for the service itself.")))
    return Part("data", t("What else we process"), tuple(blocks))


def cookie_table(policy: PrivacyPolicy, t: Words) -> Table:
    rows = tuple(
        (line.name, line.kind, line.purpose_title, line.description, line.provider, line.lifetime)
        for line in cookie_lines(policy, t)
    )
    columns = (t("Name"), t("Kind"), t("Purpose"), t("What for"), t("Provider"), t("Kept for"))
    return table_of(t("Cookies and similar technologies"), columns, rows, code=0)


def vendor_table(policy: PrivacyPolicy, t: Words) -> Table | None:
    rows = tuple(
        (line.name, line.purpose_title, line.role, line.country_name, line.safeguard)
        for line in vendor_lines(policy, t)
    )
    if not rows:
        return None
    columns = (t("Name"), t("Purpose"), t("Role"), t("Country"), t("Safeguard"))
    return table_of(t("Third parties"), columns, rows)


def cookies(policy: PrivacyPolicy, t: Words) -> Part:
    blocks: list[Block] = [
        Paragraph(
            t(
                "We ask before any cookie is set that the site does not need. If you refuse or delete cookies, the site works as far as it can."
            )
        ),
        cookie_table(policy, t),
    ]
    if vendors := vendor_table(policy, t):
        blocks.append(vendors)
    blocks.append(Link(t("Privacy choices"), f"{policy.site.prefix}/"))
    return Part("cookies", t("Cookies and similar technologies"), tuple(blocks))


def retention(policy: PrivacyPolicy, t: Words) -> Part:
    kept = policy.retention
    pairs = (
        (t("Single visits"), t.span(kept.raw_days, "day")),
        (t("Totals"), t.span(kept.cells_months, "month")),
        (
            t("Records of consent"),
            t("%(time)s, counted from the day your choice runs out", time=t.span(kept.consent_record_years, "year")),
        ),
        (
            t("Requests about your rights"),
            t("%(time)s, counted from our answer", time=t.span(kept.requests_years, "year")),
        ),
        (t("The list of what was shared with whom"), t.span(kept.disclosures_years, "year")),
    )
    return Part("retention", t("How long we keep it"), (Facts("", pairs),))


def statistics(policy: PrivacyPolicy, t: Words) -> Part:
    anonymity = policy.anonymity
    blocks: list[Block] = [
        Paragraph(
            t(
                "We share statistics only as anonymous totals of many visitors. Nothing that identifies anybody is passed on."
            )
        ),
        Paragraph(
            t(
                "Random noise is added first, so that nobody can tell whether one visitor was there (differential privacy: epsilon %(epsilon)s, delta %(delta)s for a visitor on one day). The promise is made for one browser in one day, week or month. Only visitors who agreed are counted.",
                epsilon=f"{anonymity.epsilon:g}",
                delta=f"{anonymity.delta:g}",
            )
        ),
    ]
    if policy.recipients:
        rows = tuple(
            (
                recipient.name,
                t("works on our behalf") if recipient.role == "processor" else t("also uses the data for itself"),
                t.country(recipient.country),
                safeguard_name(recipient.safeguard, t),
            )
            for recipient in policy.recipients
        )
        columns = (t("Name"), t("Role"), t("Country"), t("Safeguard"))
        blocks.append(table_of(t("Who receives anonymous statistics"), columns, rows))
    else:
        blocks.append(Paragraph(t("Nobody receives statistics at present.")))
    return Part("statistics", t("Anonymous statistics for others"), tuple(blocks))


def transfers(policy: PrivacyPolicy, t: Words) -> Part:
    abroad = [vendor for vendor in policy.vendors if vendor.country and vendor.country not in PROTECTED]
    blocks: list[Block] = [
        Paragraph(t("No personal data leaves the European Economic Area and the United Kingdom without protection."))
    ]
    if abroad:
        rows = tuple((vendor.name, t.country(vendor.country), safeguard_name(vendor.safeguard, t)) for vendor in abroad)
        blocks.append(table_of(t("Transfers"), (t("Name"), t("Country"), t("Safeguard")), rows))
    return Part("transfers", t("Transfers"), tuple(blocks))


def rights(policy: PrivacyPolicy, t: Words) -> Part:
    controller = policy.controller
    items = [
        t(
            "You can ask whether we hold data about you, see it, have it corrected, erased or restricted, take it with you, and object to its use."
        ),
        t(
            "We answer within one month. We may ask for enough to be sure that it is you. If a right does not apply, we say why."
        ),
        t(
            "You can withdraw your consent at any time, on this site or by e-mail. We then stop. If another legal basis applies, we tell you which."
        ),
        t("You can stop direct marketing at any time. It ends at once, also at those we shared your data with."),
    ]
    blocks: list[Block] = [Bullets(tuple(items)), Link(t("My data"), f"{policy.site.prefix}/data")]
    if controller.contact:
        blocks.append(Paragraph(t("Write to: %(contact)s", contact=controller.contact)))
    return Part("rights", t("Your rights"), tuple(blocks))


def complaints(policy: PrivacyPolicy, t: Words) -> Part | None:
    controller = policy.controller
    if not controller.supervisory_authority:
        return None
    blocks: list[Block] = [
        Paragraph(
            t(
                "You can complain to the supervisory authority: %(authority)s.",
                authority=controller.supervisory_authority,
            )
        )
    ]
    if controller.complaints_url:
        blocks.append(Link(controller.complaints_url, controller.complaints_url))
    return Part("complaints", t("How to complain"), tuple(blocks))


def security(policy: PrivacyPolicy, t: Words) -> Part:
    blocks: list[Block] = [Paragraph(t("We protect data by technical and organisational measures of good practice."))]
    contact = policy.controller.security_contact or policy.controller.contact
    if contact:
        blocks.append(Paragraph(t("To report a weakness, write to: %(contact)s", contact=contact)))
    return Part("security", t("Security"), tuple(blocks))


def changes(policy: PrivacyPolicy, t: Words) -> Part:
    first = policy.site.languages[0]
    known = {line.revision: line for line in policy.history}
    rows = [
        (str(line.revision), t.date(line.date), policy.text(line.summary, t.language, first))
        for line in sorted(policy.history, key=lambda line: -line.revision)
    ]
    if policy.revision not in known:
        rows.insert(0, (str(policy.revision), t.date(policy.updated), ""))
    table = table_of(t("Revisions"), (t("Revision"), t("Date"), t("What changed")), tuple(rows))
    text = t(
        "Every revision is dated and kept. A change is announced on our pages. If it touches what you chose, we ask you again."
    )
    compare = Link(t("Compare the revisions"), f"{policy.site.prefix}/policy/changes")
    return Part("changes", t("Changes to this policy"), (Paragraph(text), table, compare))
