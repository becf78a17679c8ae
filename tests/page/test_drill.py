"""A real `totes drill` is watched on its page in a browser, and it notices a broken promise."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from local.aws.deployment import ROOT
from tests.page.browsing import MOMENT, expect_ended, expect_state, needs_browser, picture

pytestmark = pytest.mark.server

PATIENCE = 120  # seconds; the machine may be busy
# The part that docs/console.png shows.
WINDOW = {"width": 1240, "height": 930}
# The rule on executions that end reaches no function, so no recovery is reported.
DEAF = "import local.aws.execution_events; local.aws.execution_events.ExecutionEvents._call = lambda *_: None; "


class Scenario:
    """A drill that waits for Enter after each chapter."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.told: list[str] = []

    def until(self, words: str) -> str:
        """Reads until a line with these words, and returns the line."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told.append(line)
            if words in line:
                return line
        raise AssertionError(f"The drill ended before it told of {words!r}:\n{''.join(self.told)}")

    def press_enter(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> int:
        rest, _ = self._process.communicate(timeout=PATIENCE)
        self.told.append(rest)
        return self._process.returncode


@contextmanager
def drilling(*arguments: str, sabotage: str = "") -> Iterator[Scenario]:
    command = f"import sys; {sabotage}from cli.main import main; sys.exit(main(['drill', *sys.argv[1:]]))"
    with subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        # Leaves out this process' settings for AWS.
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    ) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield Scenario(process)
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.terminate()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    with closing(browser.new_context(viewport=WINDOW)) as context:
        context.set_default_timeout(MOMENT)
        yield context.new_page()


def expect_batches(tab: Page, *batches: str) -> None:
    expect(tab.locator("#batches .batch")).to_have_text(list(batches), timeout=MOMENT)


def colour(tab: Page, state: str) -> str:
    """Returns the style sheet's name for a state's colour."""
    drawn = tab.locator(f'[data-state="{state}"]').evaluate("state => getComputedStyle(state.children[0]).stroke")
    for name in ("good", "warn", "bad", "running"):
        probe = f"(p => {{ p.style.color = 'var(--{name})'; return getComputedStyle(p).color }})"
        if tab.locator("#batches").evaluate(f"at => {probe}(at.appendChild(document.createElement('i')))") == drawn:
            return name
    return str(drawn)


@needs_browser
def test_outage_and_recovery_are_seen_on_the_page(tab: Page) -> None:
    with drilling("--step") as drill:
        address = drill.until("Watch it at ").split()[-1].rstrip(".")
        drill.until("Enter goes on")
        tab.goto(address)
        expect_batches(tab, "1", "1", "1")
        expect_state(tab, "Loaded", "succeeded")
        picture(tab, "drill-1-at-work")

        drill.press_enter()
        expect_state(tab, "Load", "retrying")
        assert colour(tab, "Load") == "warn"
        picture(tab, "drill-2-retrying")
        drill.until("Enter goes on")

        expect_ended(tab, "FAILED")
        expect_state(tab, "Load", "failed")
        expect_state(tab, "Transform", "succeeded")
        assert colour(tab, "Load") == "bad"
        expect_batches(tab, "2", "2", "1 1 behind")
        picture(tab, "console", whole=False)
        expect(tab.locator("#batches .trouble")).to_contain_text("No connection to the warehouse: Connection refused.")
        mails = tab.locator("#mails summary")
        expect(mails).to_have_count(1)
        expect(mails).to_contain_text("Load failed with WarehouseUnreachable")
        mails.click()
        expect(tab.locator("#mails pre")).to_contain_text("Nothing is lost and nothing is half-loaded.")
        expect(tab.locator("#mails pre")).to_contain_text("docs/runbook.md#warehouseunreachable")
        picture(tab, "drill-3-failed")

        drill.press_enter()
        drill.until("Enter goes on")
        expect_ended(tab, "SUCCEEDED")
        expect_state(tab, "Load", "succeeded")
        expect_batches(tab, "3", "3", "3")
        expect(tab.locator("#batches .trouble, #batches .behind")).to_have_count(0)
        expect(mails).to_have_count(2)
        expect(mails.first).to_contain_text("recovered after 1 execution that failed")
        picture(tab, "drill-4-recovered")

        drill.press_enter()
        drill.until("Enter goes on")
        expect_state(tab, "NothingNew", "succeeded")
        expect(mails).to_have_count(2)

        drill.press_enter()
        assert drill.end() == 0
    assert "Every promise was kept" in drill.told[-1]
    assert "✘" not in "".join(drill.told)


def test_drill_fails_where_a_promise_is_not_kept() -> None:
    with drilling("--no-page", sabotage=DEAF) as drill:
        assert drill.end() == 1
    told = "".join(drill.told)
    assert "✔ One mail tells of it" in told
    assert "✘ One mail tells that all is well again: found 0 mails" in told
    assert "2 promises were not kept" in told
