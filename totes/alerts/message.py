"""Makes what SNS is given out of an e-mail: its text for each kind of subscriber."""

import json

from totes.alerts.email import GRAPH, LOG, RUNBOOK, Mail
from totes.errors import shortened

# Characters of the text in a chat, whose service takes 8,000 with the links. Its title may have 250, and ours has 100.
_LONGEST_TEXT = 6_500


def is_chat(setting: str) -> bool:
    """Returns whether the stage's HTTPS subscriber is a chat."""
    return setting == "true"


def as_message(mail: Mail, *, chat: bool) -> dict[str, str]:
    """Returns the texts by SNS protocol, for MessageStructure `json`.

    The chat's service subscribes by `https`, as any other endpoint does, and shows nothing but its own JSON. So with
    `chat` all HTTPS subscribers get that, and the others the plain text.
    """
    message = {"default": mail.body}
    return message | {"https": json.dumps(_chat(mail), ensure_ascii=False)} if chat else message


def _chat(mail: Mail) -> dict[str, object]:
    """Returns a custom notification: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html."""
    lines = mail.body.splitlines()
    text = "\n".join(line for line in lines if not line.startswith((RUNBOOK, GRAPH, LOG))).strip()
    # The address of the log has signs that a chat takes for its own; the graph leads there.
    links = [": ".join(line.split()) for line in lines if line.startswith((RUNBOOK, GRAPH))]
    # A chat would join the lines of a paragraph, and the facts stand in columns.
    description = "\n".join([f"```\n{shortened(_harmless(text), _LONGEST_TEXT)}\n```", *links])
    content = {"textType": "client-markdown", "title": _harmless(mail.subject), "description": description}
    return {"version": "1.0", "source": "custom", "content": content}


def _harmless(text: str) -> str:
    """Returns a text in which data can neither end a block of code nor call everybody in the chat."""
    return text.replace("<", "(").replace(">", ")").replace("```", "'''")
