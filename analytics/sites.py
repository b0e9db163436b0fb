"""Which sites there are: those that the policy file names, and those of which the store holds anything.

A mistyped name must not become a site: its rows would be in no report that anybody looks at.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analytics.reports.errors import no_site
from analytics.store import Store, StoreUnavailable, open_store
from consent_middleware.lazy import UserError
from consent_middleware.policy import PrivacyPolicy

HELD = "SELECT DISTINCT site FROM (SELECT site FROM events UNION ALL SELECT site FROM imported_cells) ORDER BY site"


def named(policy: PrivacyPolicy | None) -> list[str]:
    """The hosts of `[site] hosts` without their ports, the first one first; "localhost" where it names none."""
    return list(policy.site.site_ids) if policy else []


def known_in(store: Store, policy: PrivacyPolicy | None) -> list[str]:
    return list(dict.fromkeys([*named(policy), *(str(site) for (site,) in store.query(HELD))]))


def is_known(site: str, known: Iterable[str]) -> bool:
    """Whether a name, or a pattern like `*.example.org`, stands for the site."""
    return any(site == one or (one.startswith("*.") and site.endswith(one[1:])) for one in known)


def check(sites: Iterable[str], data_dir: Path, policy: PrivacyPolicy | None, store_url: str | None = None) -> None:
    """Raises UserError for the first site that neither the policy names nor the store holds.

    The store is looked into only where the policy does not tell; none is made by it.
    """
    unknown = [site for site in sites if not is_known(site, named(policy))]
    if not unknown:
        return
    data_dir = data_dir.absolute()
    known = list(dict.fromkeys([*named(policy), *_held(data_dir, store_url)]))
    for site in unknown:
        if not is_known(site, known):
            way_out = "" if policy else "; name the policy file by --policy"
            raise UserError(no_site(site, known) + way_out)


def _held(data_dir: Path, store_url: str | None) -> list[str]:
    from analytics.reports.remote import running_service

    if not store_url and (service := running_service(data_dir)) is not None:
        return [str(site) for site in service.about()["sites"]]
    if not store_url and not (data_dir / "store").exists():
        return []
    try:
        with open_store(store_url, data_dir) as store:
            return known_in(store, None)
    except StoreUnavailable as error:
        raise UserError(f"the store can't be reached: {error}") from None
