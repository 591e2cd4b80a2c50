"""What a message says: its templates filled in, once for each message, never stored.

`templates/messages/<kind>/<language>.sms.txt` holds one or more wordings, the fullest first, parted by lines of `--`:
the first that fits is taken. `<language>.email.txt` is a mail, its first line the subject; the HTML is made from the
same words (`letter`). `<language>.neutral.…` leave out the service's name. A field that a template names and the
caller lacks is an error, never a gap in what a family reads.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import qrcode
from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import Image as Picture
from PIL.Image import Resampling
from qrcode.constants import ERROR_CORRECT_M
from qrcode.image.pil import PilImage

from service.channels import letter
from service.channels.gateway import EmailContent, Image
from service.channels.kinds import NEUTRAL, PROVIDER_NAME_SHOWN_MAX, REPLY_WORDS
from service.channels.languages import KEYWORDS, SERVED, reply_word
from service.channels.sms_text import Encoding, measure, prepare

FOLDER = Path(__file__).parents[2] / "templates" / "messages"
# Carries the words of a text message by mail, for kinds that have no mail of their own.
PLAIN_MAIL = "answer"
UCS2_PARTS_MAX = 2

_SUBJECT = "Subject:"
_NEXT_WORDING = re.compile(r"^--\n", re.MULTILINE)
_QR_MODULE_PIXELS = 6
_QR_BORDER_MODULES = 4  # ISO/IEC 18004 asks for a quiet zone of four
_LEFT_TO_RIGHT_MARK = "\u200e"
_NO_BREAK_SPACE = "\u00a0"
# Where a number begins that has a plus or minus before it or a dash within: those do not belong to numbers (class ES).
_SIGNED_OR_DASHED = re.compile(r"(?<!\S)(?=[+-]\d|\d[\d\u00a0]*-\d)")


class TemplateFault(Exception):
    """A template is missing or broken, or names a field that the message does not have. Never quotes a field."""


class Templates:
    """All templates below one folder, compiled once each in a process.

    `can_receive` says whether families can answer our texts: without it the wordings that ask for a word are not used.
    """

    def __init__(self, folder: Path = FOLDER, *, can_receive: bool = False) -> None:
        self._folder = folder
        self._can_receive = can_receive
        self._plain = _environment(folder, escapes_html=False)
        self._html = _environment(folder, escapes_html=True)

    def languages_of(self, kind: str) -> frozenset[str]:
        """The languages that this kind of message has a text in; for `languages.choose_language`."""
        return frozenset(path.name.split(".")[0] for path in (self._folder / kind).glob("*.sms.txt"))

    def render_sms(self, kind: str, language: str, fields: Mapping[str, str]) -> str:
        """The fullest wording that fits, as it is sent (see `sms_text.prepare`). Raises TemplateFault.

        A text in GSM-7 fits in one part, one in another alphabet in two; the last wording is taken as it is.
        """
        name = self._name(kind, language, fields, "sms.txt")
        values = in_reading_order(self._with_reply_words(language, fields), language)
        *fuller, last = _wordings(self._plain, name)
        for wording in fuller:
            text = _finish(_render(wording, name, values))
            if fits(text):
                return text
        return _finish(_render(last, name, values))

    def render_email(
        self,
        kind: str,
        language: str,
        fields: Mapping[str, str],
        *,
        images: tuple[Image, ...] = (),
        message_id: str = "",
    ) -> EmailContent:
        """Subject, text and HTML, which shows `images` by their content ids. Raises TemplateFault."""
        name = self._name(kind, language, fields, "email.txt")
        if not self._has(name):
            fields = {"text": self.render_sms(kind, language, fields)}
            name = f"{PLAIN_MAIL}/{language}.email.txt"
        values = self._with_reply_words(language, fields)
        subject, text = _split_mail(name, _fill(self._plain, name, in_reading_order(values, language)))
        _, marked = _split_mail(name, _fill(self._html, name, letter.mark_values(values)))
        frame = {
            "language": language,
            "direction": SERVED[language].direction if language in SERVED else "ltr",
            "title": subject,
            "content": letter.lay_out(marked),
        }
        return EmailContent(
            subject=subject,
            text=re.sub(r"\n{3,}", "\n\n", text).strip() + "\n",
            html=_fill(self._html, "layout.email.html", frame).strip() + "\n",
            images=images,
            message_id=message_id,
        )

    def _with_reply_words(self, language: str, fields: Mapping[str, str]) -> Mapping[str, str]:
        asks = self._can_receive and language in KEYWORDS
        words = {field: reply_word(language, intent) if asks else "" for field, intent in REPLY_WORDS.items()}
        return {**words, **fields}

    def _name(self, kind: str, language: str, fields: Mapping[str, str], ending: str) -> str:
        neutral = f"{kind}/{language}.neutral.{ending}"
        if fields.get(NEUTRAL) and self._has(neutral):
            return neutral
        return f"{kind}/{language}.{ending}"

    def _has(self, name: str) -> bool:
        return (self._folder / name).is_file()


def fits(text: str) -> bool:
    """Whether a text keeps to the parts that its alphabet is allowed: one in GSM-7, two in UCS-2."""
    size = measure(text)
    return size.parts <= (1 if size.encoding is Encoding.GSM_7 else UCS2_PARTS_MAX)


def in_reading_order(fields: Mapping[str, str], language: str) -> Mapping[str, str]:
    """The values so that numbers in them read rightly in right-to-left plain text, where there is no markup.

    There, digits parted by spaces change places: 4827 0315 would be shown as 0315 4827 (Unicode UAX #9, N1). A
    no-break space between digits belongs to the number (class CS, W4), costs no more than the space, and is taken
    back by whoever types or pastes the code. Only one with a plus, minus or dash needs a mark before it.
    """
    if language not in SERVED or SERVED[language].direction == "ltr":
        return fields
    return {name: _keep_number_order(value) for name, value in fields.items()}


def shorten(name: str, limit: int = PROVIDER_NAME_SHOWN_MAX) -> str:
    """A name that is too long for a text, cut after a whole word where there is one, and ended with a full stop."""
    if len(name) <= limit:
        return name
    cut = name[: limit - 1]
    at_word = cut.rsplit(" ", 1)[0] if " " in cut[limit // 2 :] else cut
    return at_word.rstrip(" .,-&") + "."


def qr_png(text: str) -> bytes:
    """A QR code as a PNG, big enough to be read from one phone's screen by another. Deterministic.

    Takes some milliseconds of processor time. The picture is scaled from one pixel a module: the library's own
    drawing takes as long again as the code itself.
    """
    code = qrcode.QRCode[PilImage](error_correction=ERROR_CORRECT_M, border=_QR_BORDER_MODULES)
    code.add_data(text)
    rows = code.get_matrix()
    side = len(rows)
    picture = Picture.frombytes("L", (side, side), bytes(0 if dark else 255 for row in rows for dark in row))
    picture = picture.resize((side * _QR_MODULE_PIXELS,) * 2, Resampling.NEAREST).convert("1")
    png = io.BytesIO()
    picture.save(png, "PNG")
    return png.getvalue()


@cache  # an environment keeps what it has compiled
def _environment(folder: Path, *, escapes_html: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        autoescape=escapes_html,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=-1,
    )
    environment.filters["shorten"] = shorten
    environment.globals["picture"] = letter.picture if escapes_html else lambda caption: ""
    return environment


@cache
def _wordings(environment: ImmutableSandboxedEnvironment, name: str) -> tuple[Template, ...]:
    try:
        assert environment.loader is not None
        source, *_ = environment.loader.get_source(environment, name)
        return tuple(environment.from_string(wording) for wording in _NEXT_WORDING.split(source))
    except TemplateError as error:
        raise _fault(name, error) from None


def _fill(environment: ImmutableSandboxedEnvironment, name: str, fields: Mapping[str, object]) -> str:
    try:
        template = environment.get_template(name)
    except TemplateError as error:
        raise _fault(name, error) from None
    return _render(template, name, fields)


def _render(template: Template, name: str, fields: Mapping[str, object]) -> str:
    try:
        return template.render(fields)
    except TemplateError as error:
        raise _fault(name, error) from None


def _fault(name: str, error: TemplateError) -> TemplateFault:
    # jinja2's texts quote names of fields and lines of templates, never values.
    return TemplateFault(f"{name}: {type(error).__name__}: {error.message}")


def _finish(text: str) -> str:
    return prepare(text.strip())


def _split_mail(name: str, whole: str) -> tuple[str, str]:
    first_line, _, text = whole.lstrip().partition("\n")
    if not first_line.startswith(_SUBJECT):
        raise TemplateFault(f"{name} does not begin with {_SUBJECT}")
    return " ".join(first_line.removeprefix(_SUBJECT).split()), text


def _keep_number_order(value: str) -> str:
    value = re.sub(r"(?<=\d) (?=\d)", _NO_BREAK_SPACE, value)
    return _SIGNED_OR_DASHED.sub(_LEFT_TO_RIGHT_MARK, value)
