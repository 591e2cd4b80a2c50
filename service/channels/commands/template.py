"""`python -m service template …`: look at what families read. Needs no database and no settings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from service.channels.kinds import KINDS, NEUTRAL
from service.channels.languages import MESSAGE_LANGUAGES, SERVED
from service.channels.previews import longest_values, typical_values
from service.channels.rendering import TemplateFault, Templates
from service.channels.sms_text import (
    GSM_PART_SEPTETS,
    GSM_SINGLE_SEPTETS,
    UCS2_PART_UNITS,
    UCS2_SINGLE_UNITS,
    Encoding,
    SmsMeasure,
    measure,
)

template_app = typer.Typer(help="Templates: what families read, in each language.", no_args_is_help=True)

PANEL_WIDTH = 76


class PreviewChannel(StrEnum):
    SMS = "sms"
    EMAIL = "email"


@template_app.callback()
def _templates() -> None:
    """Keeps `preview` a command of its own while it is the only one."""


@template_app.command("preview")
def preview(
    kind: Annotated[str, typer.Argument(help=f"What the message is: {', '.join(KINDS)}.")],
    language: Annotated[str, typer.Argument(help=f"One of {', '.join(MESSAGE_LANGUAGES)}.")],
    neutral: Annotated[bool, typer.Option("--neutral", help="Without the name of the service.")] = False,
    channel: Annotated[PreviewChannel, typer.Option(help="A text message or a mail.")] = PreviewChannel.SMS,
    one_way: Annotated[
        bool, typer.Option("--one-way", help="As from a sender that cannot receive: no words to reply with.")
    ] = False,
) -> None:
    """Show a message with usual and with the longest values, and what each takes as SMS."""
    if kind not in KINDS:
        raise typer.BadParameter(f"one of {', '.join(KINDS)}", param_hint="KIND")
    if language not in SERVED:
        raise typer.BadParameter(f"one of {', '.join(MESSAGE_LANGUAGES)}", param_hint="LANGUAGE")
    if language not in KINDS[kind].languages:
        raise typer.BadParameter(f"{kind} is read in {', '.join(KINDS[kind].languages)}", param_hint="LANGUAGE")
    if neutral and not KINDS[kind].has_neutral:
        raise typer.BadParameter(f"{kind} names no service, and so has no neutral variant", param_hint="--neutral")
    templates = Templates(can_receive=not one_way)
    console = Console(highlight=False)
    for title, values in (
        ("usual values", typical_values(kind, language)),
        ("the longest values", longest_values(kind, language)),
    ):
        fields = {**values, **({NEUTRAL: "yes"} if neutral else {})}
        heading = f"{kind} · {SERVED[language].english_name}{' · neutral' if neutral else ''} · {title}"
        try:
            console.print(_panel(templates, kind, language, channel, heading, fields))
        except TemplateFault as fault:
            typer.echo(str(fault), err=True)
            raise typer.Exit(1) from fault


def _panel(
    templates: Templates, kind: str, language: str, channel: PreviewChannel, heading: str, fields: Mapping[str, str]
) -> Panel:
    if channel is PreviewChannel.EMAIL:
        mail = templates.render_email(kind, language, fields)
        return Panel(
            Group(Text(mail.subject, style="bold"), Text(""), Text(mail.text.strip())),
            title=heading,
            subtitle=f"mail, {SERVED[language].direction}",
            width=PANEL_WIDTH,
        )
    text = templates.render_sms(kind, language, fields)
    return Panel(Text(text), title=heading, subtitle=describe(measure(text)), width=PANEL_WIDTH)


def describe(size: SmsMeasure) -> str:
    """GSM-7 · 1 part · 156 of 160 septets, 4 left."""
    is_gsm = size.encoding is Encoding.GSM_7
    single, part = (GSM_SINGLE_SEPTETS, GSM_PART_SEPTETS) if is_gsm else (UCS2_SINGLE_UNITS, UCS2_PART_UNITS)
    room = single if size.parts <= 1 else part * size.parts
    parts = f"{size.parts} part{'s' * (size.parts != 1)}"
    unit = "septets" if is_gsm else "units"
    # Padding at a border can make a part more of what would fit by its units alone.
    return f"{size.encoding.value} · {parts} · {size.units} of {room} {unit}, {room - size.units} left"
