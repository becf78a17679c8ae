import pytest

from totes.alerts.email import anchor as heading_anchor
from web.text import every, linked, pretty, runbook


@pytest.mark.parametrize(
    ("rate", "words"),
    [("rate(5 minutes)", "every 5 minutes"), ("rate(1 hour)", "every hour"), ("every 20s", "every 20s")],
)
def test_rate_is_said_in_words(rate: str, words: str) -> None:
    assert every(rate) == words


@pytest.mark.parametrize("docs", ["docs", "https://example.com/totes/docs", "/srv/totes/docs"])
def test_named_document_is_a_link_wherever_it_is_said_to_be(docs: str) -> None:
    shown = linked(f"Runbook    {docs}/runbook.md#sourcebusy\n")
    assert shown == f'Runbook    <a href="/docs/runbook#sourcebusy">{docs}/runbook.md#sourcebusy</a>\n'


def test_text_around_links_stays_text() -> None:
    assert linked("<b> docs/adr/0007-quarantine.md").startswith("&lt;b&gt; <a href")
    assert "<b>" not in linked("<b>docs/a.md#b</b>")
    assert linked("nothing to see") == "nothing to see"


def test_error_leads_to_its_section() -> None:
    assert runbook("States.Timeout") == "/docs/runbook#sandboxtimedout"


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("First look", "first-look"),
        ("On failure: what, why?", "on-failure-what-why"),
        ("`fact_payment`", "fact_payment"),
    ],
)
def test_headings_have_the_anchors_of_github(heading: str, anchor: str) -> None:
    assert heading_anchor(heading) == anchor


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ('{"ingest": {"batch": 7, "objects": [{"key": "a"}]}}', '{\n  "ingest": {\n    "batch": 7\n  }\n}'),
        ('{"full_read": ["staff"]}', '{\n  "full_read": [\n    "staff"\n  ]\n}'),
        ("[1]", "[\n  1\n]"),
        ("no JSON", "no JSON"),
    ],
)
def test_document_is_shown_without_the_objects_of_its_batch(document: str, shown: str) -> None:
    assert pretty(document) == shown
