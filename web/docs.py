"""Renders the documents in docs/ as HTML, with GitHub's anchors, so that links to the runbook open locally."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from local.aws.deployment import ROOT
from totes.alerts.email import anchor

DOCS = ROOT / "docs"
_PAGE = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?", re.IGNORECASE)
_FAR = re.compile(r"https?://|#")


@dataclass(frozen=True)
class Document:
    """A document. Its `html` comes from the project's own files and is safe."""

    title: str
    html: str


def document(page: str) -> Document | None:
    """Returns the document in docs/ with this path without its suffix; None if there is none."""
    path = DOCS / f"{page}.md"
    if not _PAGE.fullmatch(page) or not path.is_file():
        return None
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(path.read_text(encoding="utf-8"))
    title = page
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(inside.content))
            title = _plain(inside) if token.tag == "h1" else title
    _rewrite_links(tokens, path)
    return Document(title, parser.renderer.render(_with_frames(tokens), parser.options, {}))


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _rewrite_links(tokens: Iterable[Token], path: Path) -> None:
    """Rewrites links to documents to point at their pages. Removes links to other files, which have no page."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open" and not _FAR.match(href := str(child.attrGet("href"))):
                target = _page_of(href, path)
                child.attrs.pop("href") if target is None else child.attrSet("href", target)


def _page_of(href: str, path: Path) -> str | None:
    file, _, part = href.partition("#")
    found = (path.parent / file).resolve()
    if found.suffix != ".md" or not found.is_relative_to(DOCS):
        return None
    page = found.relative_to(DOCS).with_suffix("").as_posix()
    return f"/docs/{page}#{part}" if part else f"/docs/{page}"


def _with_frames(tokens: Iterable[Token]) -> list[Token]:
    """Puts each table into a frame, in which it scrolls if it is wider than the screen."""
    framed: list[Token] = []
    for token in tokens:
        if token.type == "table_open":
            framed.append(_html('<div class="frame" tabindex="0">'))
        framed.append(token)
        if token.type == "table_close":
            framed.append(_html("</div>"))
    return framed


def _html(text: str, **more: Any) -> Token:
    return Token("html_block", "", 0, content=text, **more)
