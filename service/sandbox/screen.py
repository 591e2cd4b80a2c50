"""How the story looks on a terminal: an old phone, a mail with its QR code, a request with its answer.

Plain characters and no colour where the output is no terminal, so that it reads the same in a log. Draws what it is
given and fetches nothing.
"""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image
from rich.box import ROUNDED
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

PHONE_WIDTH = 34
KEYPAD = """\
[ Valitse ]     [ Poista ]

1      2 abc    3 def
4 ghi  5 jkl    6 mno
7 pqrs 8 tuv    9 wxyz
*      0        #"""
QUIET_MODULES = 4  # light ones around a QR code
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


class Screen:
    """Writes the story."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, number: int, text: str) -> None:
        """A step begins."""
        self._console.print()
        self._console.rule(Text(f" {number}. {text} ", style="bold"), align="left")

    def say(self, sentence: str) -> None:
        """What happens, in a sentence."""
        self._console.print(Text(sentence), soft_wrap=False)

    def sent(self, who: str, method: str, path: str, body: Mapping[str, object] | None) -> None:
        """A request as somebody's system makes it."""
        self._console.print(Text(f"  {who} → {method} {path}", style="cyan"), soft_wrap=True)
        self.fields(body or {})

    def answered(self, status: int, fields: Mapping[str, object]) -> None:
        """The answer, or the part of it that matters here."""
        self._console.print(Text(f"  ← {status}", style="green" if status < 400 else "yellow"))
        self.fields(fields)

    def fields(self, fields: Mapping[str, object]) -> None:
        """Names and values, one a line."""
        width = max(map(len, fields), default=0) + 2
        for name, value in fields.items():
            line = Text.assemble((f"      {name:<{width}}", "dim"), _in_words(value))
            self._console.print(line, soft_wrap=True)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines as they are."""
        for line in lines:
            self._console.print(Text(f"      {line}"), soft_wrap=True)

    def phone(self, *, sender: str, body: str, facts: Sequence[str]) -> None:
        """An old phone with a text on its display, and what is to be known about the text beside it."""
        inner = PHONE_WIDTH - 8
        wrapped = [
            row for line in body.split("\n") for row in textwrap.wrap(line, inner, break_on_hyphens=False) or [""]
        ]
        display = Panel(Text("\n".join([f"✉ {sender}", "", *wrapped])), box=ROUNDED, width=PHONE_WIDTH - 4)
        keys = Text(KEYPAD)
        phone = Panel(Group(display, Padding(keys, (0, 2))), box=ROUNDED, width=PHONE_WIDTH)
        self._console.print(Padding(Columns([phone, Text("\n" + "\n".join(facts))]), (0, 0, 0, 2)))

    def mail(self, *, sender: str, recipient: str, subject: str, text: str, qr_png: bytes) -> None:
        """A mail as a mail program shows its text, with its QR code."""
        head = Text(f"From:    {sender}\nTo:      {recipient}\nSubject: {subject}\n")
        content: list[RenderableType] = [head, Text(text.strip())]
        self._console.print(Padding(Panel(Group(*content), box=ROUNDED, width=76), (0, 0, 0, 2)))
        style = "black on white" if self._console.is_terminal and not self._console.no_color else ""
        for row in draw_qr(qr_png):
            self._console.print(Text.assemble("      ", (row, style)), soft_wrap=True)

    def passed(self) -> None:
        """The step came out as it should."""
        self._console.print(Text("  ✔ as it should be", style="bold green"))

    def failed(self, step: str, reason: str) -> None:
        """The step did not."""
        self._console.print(Text(f"  ✘ {step}: {reason}", style="bold red"), soft_wrap=True)

    def end(self, sentence: str, *, is_good: bool) -> None:
        """The last word."""
        self._console.print()
        self._console.print(Text(sentence, style="bold green" if is_good else "bold red"), soft_wrap=True)


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def draw_qr(png: bytes) -> list[str]:
    """A QR code's picture as lines of half-block characters, two modules high each, dark on light."""
    rows = _modules(png)
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_HALVES[above, below] for above, below in zip(rows[index], rows[index + 1], strict=True))
        for index in range(0, len(rows), 2)
    ]


def _modules(png: bytes) -> list[list[bool]]:
    """Dark or light, one value a module. How wide a module is, a finder pattern tells: its upper edge is 7 of them."""
    picture = Image.open(io.BytesIO(png)).convert("L")
    width, pixels = picture.width, picture.tobytes()
    dark = [
        [value < 128 for value in pixels[start : start + width]] for start in range(0, width * picture.height, width)
    ]
    rows = [row for row in dark if any(row)]
    if not rows:
        return [[False]]
    left = rows[0].index(True)
    size = max((rows[0] + [False]).index(False, left) - left, 7) / 7
    count = round(len(rows) / size)
    side = [False] * QUIET_MODULES
    inside = [
        [*side, *(rows[_middle(y, size)][left + _middle(x, size)] for x in range(count)), *side] for y in range(count)
    ]
    quiet = [[False] * len(inside[0])] * (QUIET_MODULES // 2)
    return [*quiet, *inside, *quiet]


def _middle(module: int, size: float) -> int:
    return int((module + 0.5) * size)
