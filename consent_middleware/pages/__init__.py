"""What the visitor meets: banner, preferences, policy page, cookie table, my-data page.

Everything here is drawn from `privacy.toml` and is complete without JavaScript; the script only spares a reload.
`routes`, `nothing_here`, `banner`, `head`, `placeholder`, `count_impression`, `is_crawler`, `named_language` and
`pick_language` are the doors for the middleware; `policy_fragment` is the one for a site that shows the policy in its
own template.
"""

from __future__ import annotations

from consent_middleware.pages.banner import banner, head, placeholder
from consent_middleware.pages.languages import named_language, pick_language
from consent_middleware.pages.policy_page import policy_fragment
from consent_middleware.pages.rates import count_impression, is_crawler
from consent_middleware.pages.site import nothing_here, routes

__all__ = [
    "banner",
    "count_impression",
    "head",
    "is_crawler",
    "named_language",
    "nothing_here",
    "pick_language",
    "placeholder",
    "policy_fragment",
    "routes",
]
