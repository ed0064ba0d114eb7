"""A moderator's day in real Chromium: by keyboard, with a second person, and accessible."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from checkout import ROOT
from console_under_test import ConsoleUnderTest, block_service, console
from enforcement_under_test import verdict
from playwright.async_api import Browser, Page, async_playwright, expect

from wildgate_enforcement.policy import EnforcementPolicy

_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_AXE = "axe-core@4.14.1"  # MPL-2.0 and large: fetched where npm can, and not kept here

pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium here (apt-get install chromium)")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[ConsoleUnderTest]:
    async with block_service(tmp_path / "blocks") as (_, address), console(tmp_path, blocks=address) as started:
        yield started


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    kept = ROOT / "out" / "axe-core" / "package" / "axe.min.js"
    if not kept.exists():
        if shutil.which("npm") is None:
            pytest.skip(f"there is no npm here to fetch {_AXE}")
        kept.parent.parent.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            ["npm", "pack", "--silent", _AXE], cwd=kept.parent.parent, capture_output=True, text=True, timeout=60
        )
        if fetched.returncode:
            pytest.skip(f"npm cannot fetch {_AXE} here")
        subprocess.run(["tar", "xzf", fetched.stdout.strip()], cwd=kept.parent.parent, check=True)
    return kept.read_text()


async def login(browser: Browser, running: ConsoleUnderTest, token: str, **context: object) -> Page:
    page = await (await browser.new_context(**context)).new_page()  # type: ignore[arg-type]
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.faults = faults  # type: ignore[attr-defined]
    await page.goto(f"{running.address}/login")
    await page.get_by_label("Your signed token").fill(token)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/queue")
    return page


async def test_ten_cases_are_cleared_by_keyboard_alone(browser: Browser, running: ConsoleUnderTest) -> None:
    for _ in range(10):
        await running.service.open()
    page = await login(browser, running, "ann/moderator")
    await page.keyboard.press("n")
    for number in range(10):
        await page.wait_for_url("**/cases/*")
        here = page.url
        if number % 2:
            await page.keyboard.press("h")
        else:
            await page.keyboard.press("y")
            await page.keyboard.type("why? n h e")  # letters are only letters in a field
        await page.keyboard.press("Control+Enter")
        await page.wait_for_url(lambda url, here=here: url != here)
    await expect(page.get_by_text("Nothing waits that you may decide.")).to_be_visible()
    found = (await running.service.as_("otto/auditor").ListCases()).cases
    assert sorted(case.state for case in found) == [4] * 5 + [5] * 5
    assert page.faults == []  # type: ignore[attr-defined]


async def test_nothing_opens_unblurred_and_pictures_show_only_while_held(
    browser: Browser, running: ConsoleUnderTest
) -> None:
    case_id = await running.service.open()
    page = await login(browser, running, "ann/moderator")
    await page.goto(f"{running.address}/cases/{case_id}")
    picture = page.locator(".picture img")

    async def filters() -> str:
        return str(await picture.evaluate("each => getComputedStyle(each).filter"))

    assert await picture.evaluate("each => each.decode().then(() => each.naturalWidth)") > 0
    assert "blur" in await filters()
    await page.keyboard.down("v")
    assert "blur" not in await filters()
    await page.keyboard.up("v")
    assert "blur" in await filters()
    await page.keyboard.press("b")
    await expect(page.locator(".boxes")).to_be_hidden()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_a_second_person_signs_and_the_first_may_not(browser: Browser, tmp_path: Path) -> None:
    async with console(tmp_path, EnforcementPolicy(second_share=1)) as running:
        case_id = await running.service.open()
        pages = {who: await login(browser, running, f"{who}/moderator") for who in ("ann", "ben")}
        for who in ("ann", "ben"):
            page = pages[who]
            await page.goto(f"{running.address}/cases/{case_id}")
            await page.keyboard.press("c")
            await page.get_by_label("Reason").fill("carved tusk")
            await page.get_by_label("Confirm").check()
            await page.get_by_role("button", name="Submit", exact=True).click()
            await expect(page.locator("h1")).to_contain_text("second" if who == "ann" else "confirmed")
            if who == "ann":
                await page.keyboard.press("c")
                await expect(page.get_by_role("alert")).to_contain_text("does not decide it again")
        assert len(await running.events("decided")) == 2


async def test_several_cases_are_decided_alike_and_a_decision_is_undone(browser: Browser, tmp_path: Path) -> None:
    async with console(tmp_path, EnforcementPolicy(second_share=1)) as running:
        for _ in range(3):
            await running.service.open()
        page = await login(browser, running, "ann/moderator")
        for _ in range(2):
            await page.keyboard.press("j")
            await page.keyboard.press("x")
        await page.keyboard.press("h")
        await page.get_by_role("button", name="Decide all that are chosen").click()
        await expect(page.locator("td").get_by_text("harmless")).to_have_count(2)
        await page.keyboard.press("z")
        await expect(page.locator("table.queue").get_by_text("open", exact=True)).to_have_count(3)
        await expect(page.get_by_role("button", name="Undo")).to_have_count(0)
        await page.keyboard.press("n")
        await page.wait_for_url("**/cases/*")
        decided = page.url
        await page.keyboard.press("y")
        await page.keyboard.type("tusk")
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_role("button", name="Undo")).to_be_visible()
        await page.keyboard.press("z")
        await page.wait_for_url(decided)
        await expect(page.locator("h1")).to_contain_text("open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_fault_of_accessibility(
    browser: Browser, running: ConsoleUnderTest, axe: str, scheme: str
) -> None:
    case_id = await running.service.open()
    await running.service.as_("gw/gateway").OpenCase(
        subject={"video_id": "v"}, verdict=verdict("ACTION_BLOCK", label="horn")
    )
    page = await login(browser, running, "ann/moderator,senior,auditor", color_scheme=scheme)
    for path in ("/queue", f"/cases/{case_id}", "claim", "/referrals", "/blocks", "/audit", "/deliveries", "/figures"):
        if path == "claim":
            await page.goto(f"{running.address}/cases/{case_id}")
            await page.keyboard.press("c")
            await page.wait_for_selector("#decision")
        else:
            await page.goto(running.address + path)
        await page.evaluate(axe)
        found = (await page.evaluate("() => axe.run()"))["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert not serious, path
