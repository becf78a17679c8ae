"""Pages with a part that is made from something else: between two marks, `<!-- name -->` and `<!-- /name -->`."""

import re


def with_part(page: str, name: str, text: str) -> str:
    """The text of a page with another one between the marks of a part.

    Raises:
        ValueError: the marks are not there.
    """
    place = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not place.search(page):
        raise ValueError(
            f"The page has no place for {name}: put the marks <!-- {name} --> and <!-- /{name} --> into it."
        )
    return place.sub(lambda _: text, page)
