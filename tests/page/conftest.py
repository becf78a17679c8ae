"""Shows a real stack's page. The stack's functions give the answers that each test sets."""

import io
import re
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, sync_playwright

from local.stack import Stack
from tests.machine.test_pipeline_machine import RETRIER, Functions, stack_of
from tests.page.browsing import CHROMIUM, FLAGS
from web.app import make_app
from web.view import Gatherer

PORT = 8683
ADDRESS = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="package")
def all_functions() -> Functions:
    return Functions()


@pytest.fixture(scope="package")
def whole_stack(all_functions: Functions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_of(all_functions, tmp_path_factory.mktemp("home"), docs="docs") as stack:
        yield stack


@pytest.fixture
def functions(all_functions: Functions) -> Functions:
    all_functions.reset()
    return all_functions


@pytest.fixture
def stack(whole_stack: Stack, functions: Functions, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Returns a stack that hardly waits before a retry."""
    monkeypatch.setattr(RETRIER, SimpleNamespace(sleep=lambda _seconds: time.sleep(0.1)))
    return whole_stack


@pytest.fixture
def well_before(stack: Stack, functions: Functions) -> None:
    """Lets an execution succeed first, so that a test's failure repeats none of another test's and is e-mailed."""
    stack.wait(stack.start_execution())
    functions.reset()


class Page:
    """A client that receives the page as a well-behaved browser does."""

    def __init__(self, stack: Stack) -> None:
        self.gatherer = Gatherer(stack)
        self.client = make_app(stack, self.gatherer, PORT).test_client()

    def get(self, path: str = "/", status: int = 200) -> str:
        answer = self.client.get(path, base_url=ADDRESS)
        assert answer.status_code == status
        return answer.text

    def parts(self, query: str = "") -> dict[str, str]:
        answer = self.client.get(f"/parts{query}", base_url=ADDRESS)
        assert answer.status_code == 200
        parts: dict[str, str] = answer.json["parts"]
        return parts

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.get())
        assert found
        return found[1]

    def post(self, path: str, status: int = 303, **fields: str) -> str:
        """Submits a form of the page, and returns where it leads."""
        form = {"token": self.token} | fields
        answer = self.client.post(path, base_url=ADDRESS, headers={"Origin": ADDRESS}, data=form)
        assert answer.status_code == status, answer.text
        return answer.headers.get("Location", answer.text)


@pytest.fixture(scope="package")
def one_page(whole_stack: Stack) -> Page:
    return Page(whole_stack)


@pytest.fixture
def page(one_page: Page, stack: Stack) -> Page:
    """Returns the stack's page, which remembers executions that have ended."""
    return one_page


@pytest.fixture
def new_page(stack: Stack) -> Page:
    """Returns a page that has seen nothing yet."""
    return Page(stack)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
