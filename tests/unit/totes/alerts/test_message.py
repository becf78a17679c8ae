"""The SNS message of an e-mail."""

import json

import pytest

from totes.alerts.email import LONGEST_SUBJECT, Mail
from totes.alerts.message import as_message, is_chat

MAIL = Mail(
    "totes-dev-pipeline: Load failed with LogBroken, 5 min behind",
    "A log has a gap.\n\nWhy        <!channel> ```gone```\n\nRunbook    https://docs/runbook.md#logbroken\n"
    "Graph      https://console/details/arn\nLog        https://console/logs~'x\n",
)
# https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
LONGEST_TITLE, LONGEST_DESCRIPTION = 250, 8_000


def chat(mail: Mail) -> dict[str, str]:
    notification = json.loads(as_message(mail, chat=True)["https"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    content: dict[str, str] = notification["content"]
    assert content.keys() == {"textType", "title", "description"}
    assert content["textType"] == "client-markdown"
    return content


def test_without_a_chat_everybody_gets_the_text() -> None:
    assert as_message(MAIL, chat=False) == {"default": MAIL.body}


def test_with_a_chat_the_others_get_the_same_text() -> None:
    message = as_message(MAIL, chat=True)
    assert message.keys() == {"default", "https"}
    assert message["default"] == MAIL.body


def test_chat_gets_the_text_in_columns_and_links_that_open() -> None:
    content = chat(MAIL)
    assert content["title"] == MAIL.subject
    assert content["description"] == (
        "```\nA log has a gap.\n\nWhy        (!channel) '''gone'''\n```\n"
        "Runbook: https://docs/runbook.md#logbroken\nGraph: https://console/details/arn"
    )


def test_longest_mail_fits_a_chat() -> None:
    address = "https://" + "x" * 600
    content = chat(Mail("x" * LONGEST_SUBJECT, "x" * 9_000 + f"\nRunbook    {address}\nGraph      {address}\n"))
    assert len(content["title"]) <= LONGEST_TITLE
    assert len(content["description"]) <= LONGEST_DESCRIPTION
    assert content["description"].count(address) == 2


@pytest.mark.parametrize(("setting", "chat"), [("true", True), ("false", False)])
def test_chat_is_a_setting(setting: str, chat: bool) -> None:
    assert is_chat(setting) is chat
