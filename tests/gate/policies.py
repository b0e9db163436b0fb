"""Small policies for the tests of the gate."""

from __future__ import annotations

from consent_middleware import PrivacyPolicy

HEAD = """
revision = 1
updated = 2026-11-20
[controller]
name = "A firm"
"""

SHOP = """
[site]
hosts = ["www.example.org"]
insert = false
csp = "off"
[[purpose]]
id = "analytics"
[[purpose]]
id = "marketing"
[[cookie]]
name = "sid"
purpose = "necessary"
lifetime = "1 day"
[[cookie]]
name = "basket"
purpose = "necessary"
[[cookie]]
name = "__Host-csrf"
purpose = "necessary"
[[cookie]]
name = "_ga"
purpose = "analytics"
lifetime = "13 months"
[[cookie]]
name = "_ga_*"
purpose = "analytics"
lifetime = "13 months"
[[cookie]]
name = "_ga_ads*"
purpose = "marketing"
lifetime = "1 day"
[[cookie]]
name = "offer"
purpose = "marketing"
path = "/shop"
domain = "example.org"
lifetime = "30 days"
[[cookie]]
name = "theme"
purpose = "marketing"
kind = "local"
"""


def policy(sections: str = SHOP, head: str = HEAD) -> PrivacyPolicy:
    return PrivacyPolicy.parse(head + sections)
