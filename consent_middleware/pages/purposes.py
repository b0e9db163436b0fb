"""What the pages say of each purpose: the policy's declarations in one language, our own two cookies among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from consent_middleware.pages.words import Words
from consent_middleware.policy_sections import Cookie, Purpose, Vendor
from consent_middleware.transfers import SAFEGUARDS

if TYPE_CHECKING:
    from consent_middleware.policy import PrivacyPolicy


class CookieLine(Struct, frozen=True):
    """One line of the cookie table."""

    name: str
    purpose: str  # the purpose's id
    purpose_title: str
    kind: str
    provider: str
    description: str
    lifetime: str


class VendorLine(Struct, frozen=True):
    """One third party."""

    name: str
    purpose: str
    purpose_title: str
    role: str
    country: str  # the code
    country_name: str
    safeguard: str
    policy_url: str
    hosts: tuple[str, ...]


class PurposeCard(Struct, frozen=True):
    """One purpose with all that belongs to it."""

    id: str
    title: str
    description: str
    required: bool
    basis: str
    lifetime: str
    without_it: str
    cookies: tuple[CookieLine, ...]
    vendors: tuple[VendorLine, ...]


def purpose_title(policy: PrivacyPolicy, purpose: Purpose, t: Words) -> str:
    if not purpose.title and purpose.required:
        return t("Needed for the site to work")
    return policy.title(purpose, t.language)


def basis_name(basis: str, t: Words) -> str:
    """A lawful basis of Article 6(1) in plain words; one without words here is shown as the file has it."""
    names = {
        "consent": t("your consent"),
        "contract": t("a contract with you"),
        "legal-obligation": t("a legal obligation"),
        "vital-interests": t("vital interests"),
        "public-task": t("a public task"),
        "legitimate-interests": t("our legitimate interests"),
        "strictly-necessary": t("strictly necessary for what you asked for"),
    }
    return names.get(basis, basis)


def kind_name(kind: str, t: Words) -> str:
    return {
        "http": t("Cookie"),
        "session": t("Session storage"),
        "local": t("Local storage"),
        "pixel": t("Pixel"),
    }[kind]


def safeguard_name(safeguard: str, t: Words) -> str:
    """A safeguard in plain words; the names of legal instruments stay as their authors wrote them."""
    short = safeguard.strip().lower()
    translated = {
        "adequacy": t("adequacy decision"),
        "dpf": t("EU-US Data Privacy Framework"),
        "scc": t("standard contractual clauses"),
        "bcr": t("binding corporate rules"),
    }
    return translated.get(short) or SAFEGUARDS.get(short, safeguard)


def own_cookies(policy: PrivacyPolicy, t: Words) -> list[Cookie]:
    """The middleware's own cookies, which no policy file declares."""
    necessary = next(purpose.id for purpose in policy.purposes if purpose.required)
    cookies = [
        Cookie(
            name="__Host-consent",
            purpose=necessary,
            provider=policy.controller.name,
            description=t("Keeps your privacy choices. After a refusal it holds no number that could tell you apart."),
            lifetime=f"{policy.consent.lifetime_days} days",
        )
    ]
    if policy.capture.purpose in policy.optional_purposes:
        cookies.append(
            Cookie(
                name="__Host-visitor",
                purpose=policy.capture.purpose,
                provider=policy.controller.name,
                description=t("A random number that tells one browser from another. It is set only after you agreed."),
                lifetime="13 months",
            )
        )
    return cookies


def cookie_lines(policy: PrivacyPolicy, t: Words) -> list[CookieLine]:
    """Every cookie, storage key and pixel of the site, own ones first."""

    def line(cookie: Cookie) -> CookieLine:
        return CookieLine(
            name=cookie.name,
            purpose=cookie.purpose,
            purpose_title=purpose_title(policy, policy.purpose(cookie.purpose), t),
            kind=kind_name(cookie.kind, t),
            provider=cookie.provider or policy.controller.name,
            description=policy.text(cookie.description, t.language, policy.site.languages[0]),
            # Local storage has no end, and a pixel is no thing that is kept: "session" is only the file's default.
            lifetime=""
            if cookie.kind in {"local", "pixel"} and cookie.lifetime == "session"
            else t.lifetime(cookie.lifetime),
        )

    return [line(cookie) for cookie in (*own_cookies(policy, t), *policy.cookies)]


def vendor_lines(policy: PrivacyPolicy, t: Words) -> list[VendorLine]:
    def line(vendor: Vendor) -> VendorLine:
        return VendorLine(
            name=vendor.name,
            purpose=vendor.purpose,
            purpose_title=purpose_title(policy, policy.purpose(vendor.purpose), t),
            role=t("works on our behalf") if vendor.role == "processor" else t("also uses the data for itself"),
            country=vendor.country,
            country_name=t.country(vendor.country),
            safeguard=safeguard_name(vendor.safeguard, t),
            policy_url=vendor.policy_url,
            hosts=vendor.hosts,
        )

    return [line(vendor) for vendor in policy.vendors]


def purpose_cards(policy: PrivacyPolicy, t: Words) -> list[PurposeCard]:
    """All purposes in the file's order, with their cookies and third parties."""
    cookies, vendors = cookie_lines(policy, t), vendor_lines(policy, t)
    return [
        PurposeCard(
            id=purpose.id,
            title=purpose_title(policy, purpose, t),
            description=policy.text(purpose.description, t.language, policy.site.languages[0]),
            required=purpose.required,
            basis=basis_name(purpose.basis, t),
            lifetime=t.span(purpose.lifetime_days or policy.consent.lifetime_days, "day"),
            without_it=policy.text(purpose.without_it, t.language, policy.site.languages[0]),
            cookies=tuple(cookie for cookie in cookies if cookie.purpose == purpose.id),
            vendors=tuple(vendor for vendor in vendors if vendor.purpose == purpose.id),
        )
        for purpose in policy.purposes
    ]
