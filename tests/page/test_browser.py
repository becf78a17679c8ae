"""The page in a real browser. Its pictures are written to build/screenshots/, for people."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from cli.progress import LogHead, TableChange
from local.aws.deployment import STATE_MACHINE
from local.stack import Stack
from tests.machine.test_pipeline_machine import INGESTED, Functions
from tests.page.browsing import MOMENT, expect_ended, expect_state, needs_browser, picture
from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation, SourceBusy
from web.folding import ON_FAILURE
from web.listener import listener
from web.server import serving_page

STATES = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"]
HOSTILE = '</pre><script>window.reached = 1</script><img src="/nowhere" onerror="window.reached = 2">'

pytestmark = needs_browser

Opens = Callable[..., Page]


@pytest.fixture
def address(stack: Stack) -> Iterator[str]:
    with serving_page(stack, listener(None)) as address:
        yield address


@pytest.fixture
def opens(browser: Browser, address: str) -> Iterator[Opens]:
    """Opens the page; at the end none of its tabs may have reported an error, or called another host."""
    complaints: list[str] = []
    contexts = []

    def asks(url: str) -> None:
        if not url.startswith(f"{address}/"):
            complaints.append(f"asked {url}")

    def open_page(path: str = "/", width: int = 1360, height: int = 900, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(MOMENT)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asks(request.url))
        tab.goto(address + path)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


class Gate:
    """Yields a function that is running until it is released."""

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self._open = threading.Event()

    def __call__(self, _event: dict[str, Any]) -> object:
        assert self._open.wait(60)
        return self._answer

    def open(self) -> None:
        self._open.set()


def test_states_turn_as_an_execution_runs(functions: Functions, opens: Opens) -> None:
    gate = Gate(functions.usual["transform"])
    functions.told["transform"] = [gate]
    tab = opens()
    assert ON_FAILURE in {state.get_attribute("data-state") for state in tab.locator("a.state").all()} - STATES.keys()
    tab.get_by_role("button", name="Start an execution").click()
    expect(tab).to_have_url(re.compile(r"\?execution=page-"))
    expect_state(tab, "Transform", "running")
    expect_state(tab, "Ingest", "succeeded")
    expect_state(tab, "Load", "not-reached")
    picture(tab, "running")
    gate.open()
    expect_state(tab, "Loaded", "succeeded")
    expect_state(tab, "Transform", "succeeded")
    expect_ended(tab, "SUCCEEDED")
    expect(tab.locator("#announcement")).to_contain_text(": succeeded")


@pytest.mark.usefixtures("well_before")
def test_failure_is_red_and_runs_again(functions: Functions, opens: Opens) -> None:
    functions.told["load"] = [
        ContractViolation("fact_payment: payment 7 has no transaction.", "Correct it in totesys.")
    ]
    tab = opens()
    tab.locator("summary", has_text="Input").click()
    tab.get_by_label(re.compile("input, as a JSON object")).fill('{"full_read": ["payment"]}')
    tab.get_by_role("button", name="Start an execution").click()
    expect_ended(tab, "FAILED")
    expect_state(tab, "Load", "failed")
    expect_state(tab, "Failed", "failed")
    expect(tab.locator("#detail")).to_contain_text("payment 7 has no transaction. Correct it in totesys.")
    tab.locator("#mails summary").first.click()
    expect(tab.locator("#mails pre").first).to_contain_text("payment 7 has no transaction. Correct it in totesys.")
    picture(tab, "failed")
    failed = tab.url
    tab.get_by_role("button", name="Re-run").click()
    expect_ended(tab, "SUCCEEDED")
    assert tab.url != failed
    expect_state(tab, "Loaded", "succeeded")
    expect(tab.locator("#detail pre").first).to_contain_text('"payment"')


def test_retried_state_is_amber_and_tells_of_its_attempts(functions: Functions, opens: Opens) -> None:
    gate = Gate(functions.usual["ingest"])
    functions.told["ingest"] = [SourceBusy("totesys is locked by psql.", "Wait."), gate]
    tab = opens()
    tab.get_by_role("button", name="Start an execution").click()
    expect_state(tab, "Ingest", "retrying")
    picture(tab, "retrying")
    gate.open()
    expect_state(tab, "Ingest", "retried")
    expect_ended(tab, "SUCCEEDED")
    tab.locator('[data-state="Ingest"]').click()
    expect(tab.locator("#detail")).to_contain_text("2 attempts")
    expect(tab.locator("#detail .failures")).to_contain_text("totesys is locked by psql.")


def test_keyboard_is_enough(stack: Stack, opens: Opens) -> None:
    stack.wait(stack.start_execution(name="by-keyboard"))
    tab = opens()
    for _ in range(10):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.dataset.state") == "Transform":
            break
    tab.keyboard.press("Enter")
    expect(tab.locator("#detail h2")).to_have_text("Transform")
    expect(tab).to_have_url(re.compile("execution=by-keyboard&state=Transform"))
    assert tab.evaluate("document.activeElement.dataset.state") == "Transform"
    tab.go_back()
    expect(tab.locator("#detail h2")).to_have_text("Execution")


@pytest.mark.usefixtures("well_before")
def test_reader_is_left_in_peace(functions: Functions, stack: Stack, opens: Opens) -> None:
    functions.told["ingest"] = [ContractViolation("staff 7: first_name is NULL.", "Correct it.")] * 2
    stack.wait(stack.start_execution(name="read-at-leisure"))
    tab = opens("/?execution=read-at-leisure")
    tab.locator("#mails details").last.locator("summary").click()
    opened = tab.locator("#mails details[open]")
    text = opened.locator("pre").text_content()
    tab.locator("#execution-read-at-leisure").focus()
    stack.wait(stack.start_execution(name="in-between"))
    expect(tab.locator("#execution-in-between")).to_be_visible()
    expect(tab.locator("#mails summary").first).to_be_visible()
    assert opened.locator("pre").text_content() == text
    assert tab.evaluate("document.activeElement.id") == "execution-read-at-leisure"
    expect(tab.locator("#detail .facts .name")).to_have_text("read-at-leisure")
    tab.get_by_role("link", name="Follow the newest").click()
    expect(tab.locator("#detail .facts .name")).to_have_text("in-between")


@pytest.mark.usefixtures("well_before")
def test_hostile_text_does_nothing(functions: Functions, stack: Stack, opens: Opens) -> None:
    functions.usual["ingest"] = ContractViolation(HOSTILE, "Correct it.")
    stack.wait(stack.start_execution(json.dumps({HOSTILE: HOSTILE}), "hostile-in-browser"))
    tab = opens("/?execution=hostile-in-browser")
    tab.locator("#mails summary").first.click()
    for part in ("#detail .cause", "#mails pre", "#executions"):
        expect(tab.locator(part).first).to_contain_text(HOSTILE)
    tab.locator('[data-state="Ingest"]').click()
    expect(tab.locator("#detail .failures .cause")).to_contain_text(HOSTILE)
    assert tab.evaluate("window.reached") is None
    assert tab.locator("img").count() == 0


def test_page_of_another_origin_can_start_nothing(
    functions: Functions, browser: Browser, address: str, opens: Opens
) -> None:
    token = opens().locator("header input[name=token]").get_attribute("value")
    fields = f'<input name="token" value="{token}"><button>x</button>'
    form = f'<form method="post" action="{address}/executions">{fields}</form>'
    context = browser.new_context()
    # The host is the same, so a browser takes it for the same site; the port differs.
    context.route("http://127.0.0.1:1/**", lambda route: route.fulfill(content_type="text/html", body=form))
    tab = context.new_page()
    tab.goto("http://127.0.0.1:1/")
    with tab.expect_response(f"{address}/executions") as answer:
        tab.get_by_role("button").click()
    context.close()
    assert answer.value.status == 403
    assert functions.calls == []


def test_page_says_that_the_stack_has_stopped(browser: Browser, stack: Stack) -> None:
    with browser.new_context() as context:
        tab = context.new_page()
        with serving_page(stack, listener(None)) as address:
            tab.goto(f"{address}/?state=Load")
            expect(tab.locator("#trouble")).to_be_hidden()
            served = tab.locator("body").get_attribute("data-served")
        expect(tab.locator("#trouble")).to_contain_text("The stack has stopped", timeout=MOMENT)
        expect(tab.get_by_role("button", name="Start an execution")).to_be_disabled()
        picture(tab, "stopped")
        with serving_page(stack, listener(int(address.rpartition(":")[2]))):
            expect(tab).to_have_url(f"{address}/", timeout=MOMENT)
            expect(tab.locator("#trouble")).to_be_hidden()
            assert tab.locator("body").get_attribute("data-served") != served


WIDTHS = (390, 800, 1000, 1400, 1800)
LONG = "design 12: " + "x" * 300
BUSY = SourceBusy("totesys is locked by psql.", "Wait.")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the page show that the three places hold batches."""
    seen = datetime.now(UTC) - timedelta(minutes=2)
    heads = [LogHead(log, 1_240, seen, seen, 1_234_567) for log in ("landed", "processed", "loaded")]
    changes = [TableChange(table, 1_240, seen, 1_234_567) for table in warehouse_tables()]
    monkeypatch.setattr("web.standing.read_logs", lambda _names: heads)
    monkeypatch.setattr("web.standing.last_changes", lambda _names: changes)


@contextmanager
def fresh(functions: Functions, stack: Stack) -> Iterator[str]:
    functions.usual["ingest"] = INGESTED | {"warnings": [f"{LONG} is declared nowhere"], "quarantined": {"payment": 3}}
    stack.wait(stack.start_execution(name="seen-fresh"))
    yield "fresh"


@contextmanager
def running(functions: Functions, stack: Stack, first: tuple[object, ...] = ()) -> Iterator[str]:
    gate = Gate(functions.usual["transform"])
    functions.told["transform"] = [*first, gate]
    arn = stack.start_execution(name="seen-retrying" if first else "seen-running")
    try:
        yield "retrying" if first else "running"
    finally:
        gate.open()
        stack.wait(arn)


def retrying(functions: Functions, stack: Stack) -> AbstractContextManager[str]:
    return running(functions, stack, (BUSY, BUSY))


@contextmanager
def failed(functions: Functions, stack: Stack) -> Iterator[str]:
    functions.told["load"] = [BUSY, BUSY, ContractViolation(LONG, "Correct it.")]
    stack.wait(stack.start_execution(name="seen-failed"))
    yield "failed"


@contextmanager
def recovered(functions: Functions, stack: Stack) -> Iterator[str]:
    functions.told["ingest"] = [ContractViolation(LONG, "Correct it.")]
    stack.wait(stack.start_execution(name="seen-failed-before"))
    stack.wait(stack.start_execution(name="seen-recovered"))
    yield "fresh"


@pytest.mark.parametrize("becomes", [fresh, running, retrying, failed, recovered])
@pytest.mark.usefixtures("well_before", "full")
def test_page_fits_any_screen(
    functions: Functions,
    stack: Stack,
    opens: Opens,
    becomes: Callable[[Functions, Stack], AbstractContextManager[str]],
) -> None:
    with becomes(functions, stack) as word:
        tab = opens()
        expect(tab).to_have_title(re.compile(f". {word} · totes, local"), timeout=MOMENT)
        expect(tab.locator("#icon")).to_have_attribute("href", f"/icon/{word}.svg")
        tab.locator("#by-table summary").click()
        tab.locator("#pausing summary").click()
        on_all_screens(tab, becomes.__name__)
        tab.locator('[data-state="Transform"]').click()
        expect(tab.locator("#detail h2")).to_have_text("Transform")
        expect(tab.locator("#detail h2")).to_be_in_viewport()
        on_all_screens(tab, f"{becomes.__name__}-state")


def on_all_screens(tab: Page, name: str, whole: bool = True) -> None:
    """Asserts that nothing is wider than a screen, and takes a picture on each screen."""
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            tab.set_viewport_size({"width": width, "height": 900})
            picture(tab, f"{name}-{width}-{scheme}", whole)
            assert tab.evaluate("document.scrollingElement.scrollWidth") <= width, f"{name} at {width}"


@pytest.mark.parametrize(
    "path", ["/docs/runbook", "/docs/data-dictionary", "/docs/architecture", "/answers", "/answers/order_history"]
)
def test_documents_fit_any_screen(opens: Opens, path: str) -> None:
    on_all_screens(opens(path), path.rpartition("/")[2], whole=False)


@pytest.mark.usefixtures("well_before")
def test_mail_opens_the_runbook_at_its_error(functions: Functions, stack: Stack, opens: Opens) -> None:
    functions.told["ingest"] = [ContractViolation("staff 7: first_name is NULL.", "Correct it.")]
    stack.wait(stack.start_execution(name="to-runbook"))
    tab = opens("/?execution=to-runbook")
    tab.locator("#mails summary").first.click()
    tab.locator("#mails pre a").first.click()
    expect(tab).to_have_url(re.compile("/docs/runbook#contractviolation$"))
    expect(tab.locator("#contractviolation")).to_be_in_viewport()


def test_schedule_is_paused_while_the_page_goes_on(stack: Stack, opens: Opens) -> None:
    tab = opens()
    tab.locator("#pausing summary").click()
    tab.get_by_label("Reason").fill("totesys is")
    stack.wait(stack.start_execution(name="meanwhile"))
    expect(tab.locator("#execution-meanwhile")).to_be_visible()
    tab.get_by_label("Reason").press_sequentially(" moved")
    tab.get_by_role("button", name="Pause the schedule").click()
    expect(tab.locator("#schedule .pause")).to_contain_text("totesys is moved.")
    picture(tab, "paused")
    tab.get_by_role("button", name="Resume").click()
    expect(tab.locator("#schedule")).to_contain_text("every 5 minutes")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(opens: Opens, scheme: str) -> None:
    tab = opens(scheme=scheme)
    on_sheets = ["ink", "soft", "link", "running", "good", "warn", "bad"]
    pairs = [(text, behind) for text in on_sheets for behind in ("sheet", "ground")]
    pairs += [(text, f"{tone}-tint") for tone in ("running", "good", "warn", "bad") for text in ("ink", "soft", tone)]
    weak = {pair: ratio for pair in pairs if (ratio := _contrast(tab, *pair)) < 4.5}  # WCAG 2.2, level AA
    assert weak == {}


def _contrast(tab: Page, text: str, behind: str) -> float:
    light, dark = sorted((_luminance(tab, text), _luminance(tab, behind)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(tab: Page, name: str) -> float:
    value = tab.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')")
    channels = [int(value.strip()[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
