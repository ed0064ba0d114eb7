"""Pictures of the console's pages, light, dark and narrow: `python demo/console_pictures.py URL TOKENS_FOLDER OUT`."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

__all__ = ["main"]

_SIZES = {"light": (1280, 800, "light"), "dark": (1280, 800, "dark"), "narrow": (420, 860, "light")}


def main() -> None:
    """Takes a picture of each page for each size and scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for kind, (width, height, scheme) in _SIZES.items():
            for who, pages in (
                ("ann", ("queue", "case", "figures")),
                ("sue", ("blocks",)),
                ("otto", ("audit", "referrals", "deliveries")),
            ):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
                page = context.new_page()
                page.goto(f"{arguments.url}/login")
                page.get_by_label("Your signed token").fill((arguments.tokens / f"{who}.token").read_text())
                page.keyboard.press("Enter")
                page.wait_for_url("**/queue")
                for name in pages:
                    _open(page, arguments.url, name)
                    page.screenshot(path=arguments.out / f"{name}-{kind}.png", full_page=name == "case")
                context.close()
        browser.close()


def _open(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/{'queue' if name == 'case' else name}")
    if name == "case":
        page.keyboard.press("n")
        page.wait_for_url("**/cases/*")
        page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
