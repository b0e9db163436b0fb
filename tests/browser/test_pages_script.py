"""What the banner's script adds: no reload, focus kept, the API, held-back markup, storage; under a strict CSP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_middleware.pages.assets import asset
from examples.demo.visitors import CHROMIUM_ARGUMENTS, find_chromium
from tests.browser.helping import choose, cookie_names, eventually, settle

MARK = "window.mark = 'same page'"
SAME_PAGE = "window.mark === 'same page'"


@pytest.fixture(scope="module")
def strict(run_site: Any) -> Any:
    return run_site(
        lambda text: text.replace('name = "echo_queue"', 'name = "app_*_draft"'), module="tests.browser.strict_app:app"
    )


@pytest.fixture
def watched(new_context: Any) -> Any:
    """A page that fails its test when the browser complains about anything."""
    page = new_context().new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    yield page
    assert complaints == []


def granted(page: Any) -> set[str]:
    state = page.evaluate("window.consent.state()")
    return {purpose for purpose, given in state["purposes"].items() if given}


def test_accepting_needs_no_reload_and_keeps_scroll_and_focus(strict: Any, watched: Any) -> None:
    watched.set_viewport_size({"width": 800, "height": 400})
    watched.goto(strict.url + "/")
    watched.evaluate(MARK)
    watched.evaluate("document.querySelector('.tall').style.marginTop = '3000px'; scrollTo(0, 500)")
    watched.locator("#ask input").focus()
    at = watched.evaluate("scrollY")
    choose(watched, "accept")
    assert watched.evaluate(SAME_PAGE)
    assert watched.evaluate("scrollY") == at
    assert watched.evaluate("document.activeElement.name") == "who"
    assert not watched.locator(".consent-banner").is_visible()
    assert granted(watched) == {"necessary", "preferences", "analytics", "marketing"}


def test_the_page_paints_before_script_and_style_of_the_banner_have_come(site: Any, page: Any) -> None:
    held: list[Any] = []
    page.route("**/_consent/banner.*", lambda route: held.append(route))
    page.goto(site.url + "/", wait_until="commit")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    assert sorted(route.request.url.rpartition(".")[2] for route in held) == ["css", "js"]
    assert page.get_by_role("heading", level=1).is_visible()
    for route in held:
        route.continue_()
    page.locator(".consent-banner .consent-close").wait_for()


def test_a_page_whose_policy_blocks_what_was_granted_starts_again_where_it_was(site: Any, page: Any) -> None:
    page.set_viewport_size({"width": 1000, "height": 500})
    page.goto(site.url + "/members", wait_until="networkidle")
    page.evaluate(MARK)
    page.mouse.wheel(0, 300)
    # Not at the page's end, which is higher up without the room that the banner keeps free for itself.
    page.locator("main a").nth(2).focus()
    named = page.evaluate("document.activeElement.innerText")
    page.wait_for_timeout(300)
    at = page.evaluate("scrollY")
    choose(page, "accept")
    eventually(lambda: page.evaluate("document.documentElement.dataset.echo") == "loaded")
    assert not page.evaluate(SAME_PAGE)
    eventually(lambda: abs(page.evaluate("scrollY") - at) < 3)
    assert page.evaluate("document.activeElement.innerText") == named
    assert at > 100


def test_the_script_lives_under_the_strictest_policy(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    violations = (
        "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.blockedURI))"
    )
    watched.evaluate(violations)
    watched.locator("[data-consent-open]:visible").click()
    watched.locator('.consent-dialog input[value="analytics"]').check()
    watched.locator('.consent-dialog button[value="save"]').click()
    watched.locator(".consent-dialog").wait_for(state="detached")
    eventually(lambda: watched.evaluate("document.documentElement.dataset.site") == "ran")
    assert watched.locator("#held").is_visible()
    assert watched.evaluate("violations") == []


def test_held_back_markup_stays_inert_until_its_own_purpose_is_granted(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    assert watched.locator("#held").count() == 0
    watched.locator("[data-consent-open]:visible").click()
    watched.locator('.consent-dialog input[value="marketing"]').check()
    watched.locator('.consent-dialog button[value="save"]').click()
    watched.locator(".consent-dialog").wait_for(state="detached")
    watched.wait_for_timeout(300)
    assert watched.locator("#held").count() == 0
    assert watched.evaluate("document.documentElement.dataset.site") is None


def test_the_api_answers_promises_and_tells_of_changes(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    assert watched.evaluate(
        "Promise.all(['necessary', 'analytics', 'nonsense'].map(p => window.consent.allows(p)))"
    ) == [
        True,
        False,
        False,
    ]
    watched.evaluate(
        """() => {
            window.told = []; window.stopped = [];
            window.consent.onchange(change => told.push(['api', change.withdrawn]));
            window.consent.onchange(change => stopped.push(change))();
            window.consent.onchange(() => { throw new Error('a listener of the site'); })();
            document.addEventListener('consent', event => told.push(['event', event.detail.purposes.analytics]));
        }"""
    )
    choose(watched, "accept")
    assert watched.evaluate("window.consent.allows('analytics')") is True
    assert watched.evaluate("told") == [["event", True], ["api", []]]
    assert watched.evaluate("stopped") == []
    watched.evaluate("window.consent.open()")
    watched.locator(".consent-dialog").wait_for()
    watched.keyboard.press("Escape")
    watched.evaluate(MARK)
    watched.evaluate("void window.consent.withdraw()")
    watched.wait_for_timeout(500)
    settle(watched)
    assert not watched.evaluate(SAME_PAGE)  # third parties may have run: the page starts afresh without them
    assert granted(watched) == {"necessary"}


def test_no_script_can_grant(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    assert watched.evaluate("Object.keys(window.consent).sort()") == ["allows", "onchange", "open", "state", "withdraw"]
    typed = re.search(r"interface Consent \{(.*?)\n\}", asset("consent.d.ts")[0].decode(), re.DOTALL)
    assert typed is not None
    assert sorted(re.findall(r"^  (\w+)\(", typed.group(1), re.MULTILINE)) == sorted(
        watched.evaluate("Object.keys(window.consent)")
    )
    assert watched.evaluate("Object.isFrozen(window.consent)")
    watched.evaluate("document.dispatchEvent(new CustomEvent('consent', {detail: {purposes: {analytics: true}}}))")
    assert granted(watched) == {"necessary"}


def test_withdrawing_clears_the_declared_storage_and_nothing_else(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    choose(watched, "accept")
    watched.evaluate(
        """() => {
            for (const key of ['app_1_draft', 'app__draft', 'app_draft', 'my_app_1_draft', 'basket'])
                localStorage.setItem(key, '1');
            sessionStorage.setItem('app_1_draft', '1');
        }"""
    )
    choose(watched, "reject")
    settle(watched)
    assert granted(watched) == {"necessary"}
    assert sorted(watched.evaluate("Object.keys(localStorage)")) == ["app_draft", "basket", "my_app_1_draft"]
    assert watched.evaluate("sessionStorage.length") == 1  # declared as local storage, not as session storage


def test_escape_puts_the_question_off_and_grants_nothing(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    watched.keyboard.press("Escape")
    assert not watched.locator(".consent-banner").is_visible()
    assert watched.locator(".consent-control").is_visible()
    assert granted(watched) == {"necessary"}
    assert not watched.evaluate("window.consent.state().then(state => state.decided)")
    watched.reload()
    assert watched.locator(".consent-banner").is_visible()  # put off, not answered


def test_a_browser_that_keeps_no_cookies_is_told_once(run_site: Any, strict: Any, new_context: Any) -> None:
    forgetful = run_site(like=strict, module="tests.browser.strict_app:forgetful")
    context = new_context()
    page = context.new_page()
    page.goto(forgetful.url + "/", wait_until="networkidle")
    page.evaluate(MARK)
    page.locator('.consent-banner button[value="accept"]').click()
    page.get_by_role("status").filter(has_text="does not keep cookies").wait_for()
    assert page.evaluate(SAME_PAGE)
    assert not page.locator(".consent-banner").is_visible()
    assert granted(page) == {"necessary"}
    assert page.locator("#held").count() == 0
    assert cookie_names(context) == set()


def test_without_cookies_and_without_scripts_the_explanation_leads_back(
    run_site: Any, strict: Any, plain_page: Any
) -> None:
    forgetful = run_site(like=strict, module="tests.browser.strict_app:forgetful")
    plain_page.goto(forgetful.url + "/second")
    plain_page.locator('.consent-banner button[value="accept"]').click()
    plain_page.get_by_text("does not keep cookies").wait_for()
    plain_page.locator("main a.consent-button").click()
    plain_page.wait_for_url(forgetful.url + "/second")


@pytest.fixture
def without_cookies(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A Chromium in whose settings cookies are switched off: storage throws, and nothing is ever sent back."""
    opened = []

    def open_page(**options: Any) -> Any:
        profile = tmp_path / f"profile-{len(opened)}"
        (profile / "Default").mkdir(parents=True)
        settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
        (profile / "Default" / "Preferences").write_text(json.dumps(settings))
        arguments = {"executable_path": find_chromium(), "args": list(CHROMIUM_ARGUMENTS)}
        opened.append(chromium.browser_type.launch_persistent_context(profile, **arguments, **options))
        return opened[-1].pages[0]

    yield open_page
    for context in opened:
        context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_with_cookies_switched_off_a_choice_is_a_refusal_and_asks_in_no_circle(
    strict: Any, without_cookies: Callable[..., Any], scripts: bool
) -> None:
    page = without_cookies(java_script_enabled=scripts)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(strict.url)}"))
    page.goto(strict.url + "/second", wait_until="networkidle")
    if scripts:
        assert page.evaluate("(() => { try { return localStorage.length } catch { return 'off' } })()") == "off"
    page.locator('.consent-banner button[value="accept"]').click()
    page.get_by_text("does not keep cookies").wait_for()
    page.get_by_text("We treat it as a refusal: nothing is switched on.").wait_for()
    assert page.locator("#held:visible").count() == 0
    page.wait_for_load_state("networkidle")
    assert asked.count("POST /_consent/") == 1
    assert len([line for line in asked if "/stored" in line or "/second" in line]) <= 2
    if scripts:
        assert not page.locator(".consent-banner").is_visible()
        assert granted(page) == {"necessary"}
    else:
        page.locator("main a.consent-button").click()
        page.wait_for_url(strict.url + "/second")
    assert page.context.cookies() == []


def test_a_page_that_changes_without_loading_keeps_its_banner_and_its_choices(strict: Any, watched: Any) -> None:
    watched.goto(strict.url + "/", wait_until="networkidle")
    choose(watched, "accept")
    watched.evaluate(
        """() => {
            history.pushState({}, '', '/second');
            const held = document.createElement('template');
            held.dataset.purpose = 'marketing';
            const text = document.createElement('p');
            text.id = 'late'; text.textContent = 'Came later.';
            held.content.append(text);
            document.getElementById('view').append(held);
        }"""
    )
    watched.locator("#late").wait_for()
    watched.evaluate("document.getElementById('consent').remove()")
    watched.locator(".consent-control").wait_for()
    assert granted(watched) == {"necessary", "preferences", "analytics", "marketing"}


def sent(strict: Any, watched: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(request: Any) -> None:
        if request.url == f"{strict.url}/_consent/event":
            found.append(json.loads(request.post_data))

    watched.on("request", note)
    return found


def use_the_page(page: Any) -> None:
    page.evaluate("document.querySelector('.tall').style.marginTop = '3000px'")
    page.mouse.wheel(0, 1500)
    page.locator("#ask input").fill("Ada")
    page.wait_for_timeout(700)
    page.route("https://elsewhere.example/**", lambda route: route.abort())
    page.evaluate("document.querySelector('#out').addEventListener('click', event => event.preventDefault())")
    page.evaluate("document.querySelector('#file').addEventListener('click', event => event.preventDefault())")
    page.locator("#out").click()
    page.locator("#file").click()
    page.evaluate("history.pushState({}, '', '/second?x=1')")
    page.wait_for_timeout(300)


def test_statistics_tell_how_a_page_is_used_after_consent(strict: Any, watched: Any) -> None:
    events = sent(strict, watched)
    watched.goto(strict.url + "/", wait_until="networkidle")
    choose(watched, "accept")
    use_the_page(watched)
    eventually(lambda: {event["name"] for event in events} >= {"engagement", "outbound", "download", "pageview"})
    by_name = {event["name"]: event for event in events}
    assert by_name["outbound"]["props"] == {"to": "elsewhere.example/x"}
    assert by_name["download"]["props"] == {"file": "/report.pdf"}
    assert by_name["form-started"]["props"] == {"form": "ask"}
    assert by_name["engagement"]["engagement_time"] >= 500
    assert 30 < by_name["engagement"]["scroll_depth"] <= 100
    assert by_name["pageview"]["url"] == f"{strict.url}/second?x=1"
    assert "Ada" not in json.dumps(events)
    spooled = b"".join(path.read_bytes() for path in (strict.data_dir / "spool").rglob("*.rows"))
    assert b"outbound" in spooled


@pytest.mark.parametrize("choice", [None, "reject"])
def test_without_consent_the_statistics_script_is_not_even_loaded(
    strict: Any, watched: Any, choice: str | None
) -> None:
    events = sent(strict, watched)
    loaded: list[str] = []
    watched.on("request", lambda request: loaded.append(request.url))
    watched.goto(strict.url + "/", wait_until="networkidle")
    if choice:
        choose(watched, choice)
    use_the_page(watched)
    assert events == []
    assert not [url for url in loaded if "statistics" in url]


def test_withdrawing_ends_the_measuring_at_once(strict: Any, watched: Any) -> None:
    events = sent(strict, watched)
    watched.goto(strict.url + "/", wait_until="networkidle")
    choose(watched, "accept")
    choose(watched, "reject")
    before = len(events)
    use_the_page(watched)
    assert len(events) == before
