"""What a message says: its templates filled in, once for each message, never stored.

`templates/messages/<kind>/<language>.{sms.txt,email.txt,email.html}`; the first line of `email.txt` is the subject.
A field that a template names and the caller lacks is an error, never a gap in what a family reads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import qrcode
from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import Image as Picture
from PIL.Image import Resampling
from qrcode.constants import ERROR_CORRECT_M
from qrcode.image.pil import PilImage

from service.channels.gateway import EmailContent, Image
from service.channels.sms_text import measure, prepare

FOLDER = Path(__file__).parents[2] / "templates" / "messages"

# A voucher's text is one SMS whatever the values, as long as they keep to these lengths in septets (å and ö are one,
# € is two); a test computes the worst case, with the longest code. What brings the values in enforces them.
PROGRAMME_NAME_MAX = 26  # "Lapsiperheiden kotipalvelu"
AMOUNT_MAX = 10
WEEKLY_MAX = 10
VALID_TO_MAX = 10
DIRECTORY_MAX = 30
HELP_PHONE_MAX = 16


_SUBJECT = "Subject:"
_QR_MODULE_PIXELS = 6
_QR_BORDER_MODULES = 4  # ISO/IEC 18004 asks for a quiet zone of four


class TemplateFault(Exception):
    """A template is missing or broken, or names a field that the message does not have. Never quotes a field."""


class Templates:
    """All templates below one folder, compiled once each."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._plain = _environment(folder, escapes_html=False)
        self._html = _environment(folder, escapes_html=True)

    def render_sms(self, kind: str, language: str, fields: Mapping[str, str]) -> str:
        """The text as it is sent (see `sms_text.prepare`). Raises TemplateFault."""
        return prepare(_fill(self._plain, f"{kind}/{language}.sms.txt", fields).strip())

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
        whole = _fill(self._plain, f"{kind}/{language}.email.txt", fields).lstrip()
        first_line, _, text = whole.partition("\n")
        if not first_line.startswith(_SUBJECT):
            raise TemplateFault(f"{kind}/{language}.email.txt does not begin with {_SUBJECT}")
        return EmailContent(
            subject=" ".join(first_line.removeprefix(_SUBJECT).split()),
            text=text.strip() + "\n",
            html=_fill(self._html, f"{kind}/{language}.email.html", fields).strip() + "\n",
            images=images,
            message_id=message_id,
        )


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
    # Lets a template offer a brief wording for when the full one would cost a second part.
    environment.filters["sms_parts"] = lambda text: measure(prepare(text)).parts
    return environment


def _fill(environment: ImmutableSandboxedEnvironment, name: str, fields: Mapping[str, object]) -> str:
    try:
        template: Template = environment.get_template(name)
        return template.render(fields)
    except TemplateError as error:
        # jinja2's texts quote names of fields and lines of templates, never values.
        raise TemplateFault(f"{name}: {type(error).__name__}: {error.message}") from None
