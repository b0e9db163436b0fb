"""User agent and client hints -> browser, operating system, device class. The raw user agent ends here.

`user_agents` judges what a device is; its own parsing takes 565 us a string, so its class is filled from ua-parser's
compiled resolver instead (13 us).
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, Final

import msgspec
import ua_parser
from ua_parser.regex import Resolver

from analytics.deferred import deferred
from analytics.ingest.bots import category


def _parsers() -> Any:
    """user_agents.parsers without ua-parser's legacy tables, which take a tenth of a second to import, and which only
    the parsing that is not used here would ask."""
    with deferred("ua_parser.user_agent_parser"):
        return importlib.import_module("user_agents.parsers")


parsers: Any = _parsers()

HINTS: Final = ("brands", "full_versions", "platform", "platform_version", "mobile", "model")


class Agent(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a user agent."""

    browser: str = ""
    browser_version: str = ""
    os: str = ""
    os_version: str = ""
    device: str = ""  # desktop | mobile | tablet | other
    bot: str = ""  # search | ai | monitor | tool; empty for people


@lru_cache(1)
def _parser() -> ua_parser.Parser:
    return ua_parser.Parser(Resolver(ua_parser.load_lazy_builtins()))


class _UserAgent(parsers.UserAgent):  # type: ignore[misc]  # the package has no types
    """user_agents.UserAgent, filled by the fast resolver."""

    def __init__(self, text: str) -> None:
        found = _parser().parse(text)
        agent, system, device = found.user_agent, found.os, found.device
        self.ua_string = text
        self.browser = (
            parsers.parse_browser(agent.family, agent.major, agent.minor, agent.patch)
            if agent
            else parsers.parse_browser("Other")
        )
        self.os = (
            parsers.parse_operating_system(system.family, system.major, system.minor, system.patch)
            if system
            else parsers.parse_operating_system("Other")
        )
        self.device = parsers.parse_device(
            device.family if device else "Other", device.brand if device else None, device.model if device else None
        )


def parse(text: str, hints: str = "") -> Agent:
    """Browser, system and device of a user agent, refined by client hints where they were sent."""
    bot = category(text)
    agent = _UserAgent(text)
    if agent.is_tablet:
        device = "tablet"
    elif agent.is_mobile:
        device = "mobile"
    elif agent.is_pc:
        device = "desktop"
    else:
        device = "other"
    result = Agent(
        _short(agent.browser.family),
        _version(agent.browser.version),
        _short(agent.os.family),
        _version(agent.os.version),
        device,
        bot or ("tool" if agent.is_bot else ""),
    )
    return _refined(result, hints) if hints else result


_BRANDS: Final = {
    "Google Chrome": "Chrome",
    "Microsoft Edge": "Edge",
    "Opera": "Opera",
    "Brave": "Brave",
    "Vivaldi": "Vivaldi",
    "Samsung Internet": "Samsung Internet",
    "YaBrowser": "Yandex Browser",
    "DuckDuckGo": "DuckDuckGo",
}
_PLATFORMS: Final = {"macOS": "Mac OS X", "Chrome OS": "Chrome OS", "Chromium OS": "Chrome OS"}


def _refined(agent: Agent, hints: str) -> Agent:
    """Client hints know what a frozen user agent hides: the real brand, Windows 11, full versions."""
    fields = dict(zip(HINTS, hints.split("\x1f"), strict=False))
    brands = _brand_list(fields.get("full_versions") or fields.get("brands") or "")
    changes: dict[str, Any] = {}
    for brand, version in brands.items():
        if brand in _BRANDS and agent.bot == "":
            name = _BRANDS[brand]
            changes["browser"] = f"{name} Mobile" if agent.browser == f"{name} Mobile" else name
            changes["browser_version"] = _version(tuple(version.split(".")))
            break
    platform = fields.get("platform", "").strip('"')
    version = fields.get("platform_version", "").strip('"')
    if platform and platform != "Unknown":
        changes["os"] = _PLATFORMS.get(platform, _short(platform))
        if version:
            major = version.partition(".")[0]
            if platform == "Windows":  # 13 and above is what is sold as 11
                changes["os_version"] = ("11" if int(major) >= 13 else "10") if major.isdigit() else ""
            else:
                changes["os_version"] = _version(tuple(version.split(".")))
    return msgspec.structs.replace(agent, **changes)


def _brand_list(header: str) -> dict[str, str]:
    brands = {}
    for item in header.split(","):
        name, _, rest = item.strip().partition(";")
        brands[name.strip('" ')] = rest.partition('"')[2].partition('"')[0]
    return brands


def _short(family: str) -> str:
    return "" if family == "Other" else family[:64]


def _version(version: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in version[:2])[:24]
