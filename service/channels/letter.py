"""The HTML of a mail, made from the same words as its plain text. Pure.

One template says what a mail tells; here its paragraphs become headings, lists and links. Every value stands in an
element of its own with its own direction, so that a code or a telephone number reads rightly inside Arabic (HTML
Standard, `bdi` and `dir`; many mail programs drop the attributes of `html`, so the layout repeats them further in).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup

_LISTED = re.compile(r"\d+\.\s")
_PLAIN_VALUES = frozenset({"organiser"})  # who signs need not be bold
_CODE = Markup(
    '<strong dir="ltr" style="font-family: \'Courier New\', Courier, monospace; font-size: 32px; white-space: nowrap;">'
    "{}</strong>"
)


def mark_values(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields as they stand in HTML: escaped, isolated, and links where they can be followed. Empty stays empty."""
    return {name: _mark(name, value) if value else value for name, value in fields.items()}


def _mark(name: str, value: str) -> Markup:
    if name == "code":
        return _CODE.format(value)
    if name == "help_phone":
        return Markup('<a href="tel:{}" dir="ltr">{}</a>').format(re.sub(r"[^\d+]", "", value), value)
    if name == "link":
        return Markup('<a href="{}" dir="ltr" style="overflow-wrap: anywhere;">{}</a>').format(value, value)
    if name == "directory":
        return Markup('<a href="https://{}" dir="ltr">{}</a>').format(value, value)
    shown = Markup("<br>\n").join(Markup("<bdi>{}</bdi>").format(line) for line in value.split("\n"))
    return shown if name in _PLAIN_VALUES or "\n" in value else Markup("<strong>{}</strong>").format(shown)


def picture(caption: str) -> Markup:
    """The QR code with its caption, as a paragraph's line; the plain text has neither."""
    return Markup('{}<br><img src="cid:qr" width="246" height="246" alt="QR" style="background: #ffffff;">').format(
        caption
    )


def lay_out(text: str) -> Markup:
    """Paragraphs as HTML: a blank line parts them, lines that begin with a number are a list.

    The text is markup already: words of our own templates, and values that `mark_values` escaped.
    """
    paragraphs = (paragraph.strip() for paragraph in re.split(r"\n\s*\n", text))
    lines_of = ([Markup(line) for line in paragraph.split("\n")] for paragraph in paragraphs if paragraph)  # noqa: S704
    return Markup("\n").join(map(_paragraph, lines_of))


def _paragraph(lines: list[Markup]) -> Markup:
    first_listed = next((place for place, line in enumerate(lines) if _LISTED.match(line)), len(lines))
    above, listed = lines[:first_listed], lines[first_listed:]
    if not listed:
        return Markup("<p>{}</p>").format(Markup("<br>\n").join(above))
    items = (Markup("<li>{}</li>").format(line.split(maxsplit=1)[1]) for line in listed)
    heading = Markup('<h2 style="font-size: 20px;">{}</h2>\n').format(Markup(" ").join(above).rstrip(":"))
    return heading + Markup("<ol>\n{}\n</ol>").format(Markup("\n").join(items))
