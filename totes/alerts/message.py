"""Makes an SNS message of an e-mail: a text for each kind of subscriber."""

import json

from totes.alerts.email import GRAPH, LOG, RUNBOOK, Mail
from totes.errors import shortened

# The most characters of the text in a chat. The service takes 8,000 with the links, and titles of 250; ours has 100.
_LONGEST_TEXT = 6_500


def is_chat(setting: str) -> bool:
    """Returns whether the stage's HTTPS subscriber is a chat."""
    return setting == "true"


def as_message(mail: Mail, *, chat: bool) -> dict[str, str]:
    """Returns the texts by SNS protocol, for MessageStructure `json`.

    The chat's service subscribes by `https`, as any other endpoint does, and shows only its own JSON. So with `chat`
    all HTTPS subscribers get that JSON, and all others the plain text.
    """
    message = {"default": mail.body}
    return message | {"https": json.dumps(_chat(mail), ensure_ascii=False)} if chat else message


def _chat(mail: Mail) -> dict[str, object]:
    """Returns a custom notification: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html."""
    lines = mail.body.splitlines()
    text = "\n".join(line for line in lines if not line.startswith((RUNBOOK, GRAPH, LOG))).strip()
    # A chat would take characters of the log's address as its own markup; the graph leads to the log, too.
    links = [": ".join(line.split()) for line in lines if line.startswith((RUNBOOK, GRAPH))]
    # A block of code keeps the facts in columns: a chat would join the lines of a paragraph.
    description = "\n".join([f"```\n{shortened(_harmless(text), _LONGEST_TEXT)}\n```", *links])
    content = {"textType": "client-markdown", "title": _harmless(mail.subject), "description": description}
    return {"version": "1.0", "source": "custom", "content": content}


def _harmless(text: str) -> str:
    """Returns a text in which data can neither end the block of code nor mention everybody in the chat."""
    return text.replace("<", "(").replace(">", ")").replace("```", "'''")
