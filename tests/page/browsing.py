"""Runs a real browser, checks what it shows, and writes pictures of it to build/screenshots/."""

import shutil

import pytest
from playwright.sync_api import Page, expect

from local.aws.deployment import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = ROOT / "build" / "screenshots"
MOMENT = 10_000  # milliseconds; the machine may be busy

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium on the path; apt-get install chromium"
)


def expect_state(tab: Page, name: str, status: str) -> None:
    expect(tab.locator(f'[data-state="{name}"]')).to_have_class(f"state {status}", timeout=MOMENT)


def expect_ended(tab: Page, status: str) -> None:
    expect(tab.locator("#detail .chip")).to_contain_text(status, timeout=MOMENT)


def picture(tab: Page, name: str, whole: bool = True) -> None:
    """Takes a picture of the page from its top: of all of it, or of the window's part."""
    tab.evaluate("window.scrollTo(0, 0)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
