"""How the directory says when, for how long, in which languages and for how much, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping

from babel import Locale

from service.directory.model import Listing, Offer
from service.money import Unit, format_amount
from service.web.pages import N_, PageCall

HOURS_NAMES: Mapping[str, str] = {
    "weekday": N_("On weekdays"),
    "evening": N_("In the evening"),
    "saturday": N_("On Saturdays"),
    "sunday": N_("On Sundays"),
    "holiday": N_("On public holidays"),
}
BAND_NAMES: Mapping[str, str] = {
    "weekday": N_("On weekdays"),
    "evening": N_("In the evening"),
    "saturday": N_("On Saturdays"),
    "sunday": N_("On Sundays and holidays"),
}
VISITS: Mapping[str, str] = {
    "weekday": N_("%(size)s on a weekday"),
    "evening": N_("%(size)s on a weekday evening"),
    "saturday": N_("%(size)s on a Saturday"),
    "sunday": N_("%(size)s on a Sunday or a holiday"),
}
PER: Mapping[Unit, str] = {
    Unit.MINUTES: N_("%(price)s an hour"),
    Unit.CENTS: N_("%(price)s an hour"),
    Unit.VISITS: N_("%(price)s a visit"),
    Unit.SESSIONS: N_("%(price)s a session"),
}
SIGN_LANGUAGES: Mapping[str, str] = {
    "fse": N_("Finnish Sign Language"),
    "fss": N_("Finland-Swedish Sign Language"),
}
SORT_NAMES: Mapping[str, str] = {
    "own": N_("What you pay yourself"),
    "price": N_("The provider’s price"),
    "name": N_("Name"),
}


class Words:
    """For templates, which have it as `say`."""

    def __init__(self, call: PageCall) -> None:
        self._call = call
        self._languages = Locale.parse(call.language).languages

    def when(self, hours: str) -> str:
        return self._call.gettext(HOURS_NAMES[hours])

    def band(self, band: str, offer: Offer) -> str:
        """With its hours where it has some: In the evening, 18:00–22:00."""
        name = self._call.gettext(BAND_NAMES[band])
        if band == "evening" and offer.evening_from and offer.evening_to:
            return f"{name}, {offer.evening_from:%H:%M}–{offer.evening_to:%H:%M}"
        return name

    def visit(self, band: str, offer: Offer) -> str:
        """2 h on a weekday."""
        size = format_amount(offer.example, offer.example_unit, self._call.language)
        return self._call.gettext(VISITS[band], size=size)

    def price(self, cents: int | None, offer: Offer) -> str:
        """An hour's, a visit's or a session's."""
        if cents is None:
            return "–"
        return self._call.gettext(PER[offer.unit], price=self.money(cents))

    def money(self, cents: int) -> str:
        """On one line: a sum that is broken before its € reads like another one."""
        return format_amount(cents, Unit.CENTS, self._call.language).replace(" ", "\N{NO-BREAK SPACE}")

    def estimate(self, listing: Listing, band: str) -> str:
        """2 h on a weekday: the voucher pays 67.00 €, you pay 5.00 €."""
        gettext, offer = self._call.gettext, listing.offer
        found, visit = listing.estimate_of(band), self.visit(band, offer)
        if found.is_refused:
            return gettext(
                "This provider’s price is higher than what the voucher pays, and this service must be free for you. "
                "Ask the organiser before you order."
            )
        if found.pays_cents is None or found.own_cents is None:
            return gettext("The voucher is a sum of money. It pays for visits as long as there is money left.")
        if found.own_cents == 0:
            return gettext(
                "%(visit)s: the voucher pays %(pays)s. You pay nothing.", visit=visit, pays=self.money(found.pays_cents)
            )
        return gettext(
            "%(visit)s: the voucher pays %(pays)s. You pay %(own)s.",
            visit=visit,
            pays=self.money(found.pays_cents),
            own=self.money(found.own_cents),
        )

    def own(self, listing: Listing, band: str) -> str:
        """What the family pays of the example alone, for a table."""
        found = listing.estimate_of(band)
        return "–" if found.own_cents is None or found.is_refused else self.money(found.own_cents)

    def pays(self, listing: Listing, band: str) -> str:
        found = listing.estimate_of(band)
        return "–" if found.pays_cents is None or found.is_refused else self.money(found.pays_cents)

    def hours(self, hours: Mapping[str, str]) -> list[tuple[str, str]]:
        """On weekdays, 08:00–16:00; the times are empty where none are told."""
        return [(self.when(kind), told.replace("-", "–")) for kind, told in hours.items()]

    def language(self, code: str) -> str:
        if code in SIGN_LANGUAGES:
            return self._call.gettext(SIGN_LANGUAGES[code])
        return str(self._languages.get(code) or code)
