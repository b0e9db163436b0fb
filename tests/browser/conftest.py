"""The example site under uvicorn on free ports, and a real Chromium; everything stops when the module's tests end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consent_middleware.policy import PrivacyPolicy
from examples.demo.chain import POLICY
from examples.demo.processes import Processes, answers, free_port
from examples.demo.visitors import CHROMIUM_ARGUMENTS, ORDINARY_BROWSER, find_chromium

APP = "examples.law_group.app:app"
Change = Callable[[str], str]


class RunningSite(NamedTuple):
    """The law group's site: its address, the third party's, its data folder, its policy."""

    url: str
    partner: str
    data_dir: Path
    policy: PrivacyPolicy
    environment: dict[str, str]


@pytest.fixture(scope="module")
def run_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningSite]]:
    """Starts sites: `change` is applied to the text of the policy file; `like` shares another's data folder and secret.

    Cookies ignore ports, so a browser takes two of them for one site whose policy has changed.
    """
    with Processes(tmp_path_factory.mktemp("logs")) as processes:

        def run(change: Change = lambda text: text, like: RunningSite | None = None, module: str = APP) -> RunningSite:
            folder = like.data_dir if like else tmp_path_factory.mktemp("data")
            secret = like.environment["CONSENT_SECRET_KEYS"] if like else secrets.token_urlsafe(32)
            port = free_port(0)
            partner_port = int(like.partner.rpartition(":")[2]) if like else free_port(0)
            text = POLICY.read_text(encoding="utf-8").replace("127.0.0.1:8001", f"127.0.0.1:{partner_port}")
            policy_path = tmp_path_factory.mktemp("policy") / "privacy.toml"
            policy_path.write_text(change(text), encoding="utf-8")
            environment = {
                "CONSENT_SECRET_KEYS": secret,
                "CONSENT_DATA_DIR": str(folder),
                "LAW_GROUP_POLICY": str(policy_path),
                "LAW_GROUP_PARTNER": f"http://127.0.0.1:{partner_port}",
            }
            servers = [(f"site {port}", module, port)]
            if like is None:
                servers.append((f"third party {partner_port}", "examples.law_group.third_party:app", partner_port))
            for name, target, number in servers:
                arguments = ("-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(number))
                processes.start(name, *arguments, environment=environment)
                path = "/tag.js" if name.startswith("third") else "/static/site.css"
                processes.wait_until(name, answers(f"http://127.0.0.1:{number}{path}"), "starting")
            return RunningSite(
                f"http://localhost:{port}",
                f"http://127.0.0.1:{partner_port}",
                folder,
                PrivacyPolicy.load(policy_path),
                environment,
            )

        yield run


@pytest.fixture(scope="module")
def site(run_site: Callable[..., RunningSite]) -> RunningSite:
    """The example as it stands."""
    return run_site()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser a module: Playwright's loop must not outlive it, because other tests run loops of their own."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens browser contexts: each is a person with an empty cookie jar."""
    contexts = []

    def open_context(**options: Any) -> Any:
        agent = ORDINARY_BROWSER.format(version=chromium.version.partition(".")[0])
        contexts.append(chromium.new_context(**{"user_agent": agent, "locale": "en-GB", **options}))
        return contexts[-1]

    yield open_context
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: Callable[..., Any]) -> Any:
    return new_context().new_page()


@pytest.fixture
def plain_page(new_context: Callable[..., Any]) -> Any:
    """A browser with JavaScript switched off."""
    return new_context(java_script_enabled=False).new_page()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
