"""The rule book of charging: each rule with what it allows, what it refuses, and what is then said.

A line is one request to a voucher of home help, made the way providers' programs make it. What a line does not tell is
as in `USUAL`: Wednesday 18 November 2026, twelve hours granted, valid from 1 October to 31 December, and the tariffs of
a real county: 33.50 € an hour by day, 41.00 in the evening from six to ten, 46.00 on Saturdays, 55.80 on Sundays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import pytest
import pytest_asyncio

from service.db import Pool, close_pool, open_pool
from service.debits.model import OUTCOMES
from service.debits.operations import Verdict
from service.errors import SeteliError
from service.problems import LANGUAGES, problem
from tests.conftest import Addresses
from tests.debits.rule_desk import CLOCK, COUNTY, Desk, Line
from tests.debits.rule_worlds import connect_to, make_database

DEAR = {"weekday": 3900, "evening": 4500, "saturday": 4600, "sunday": 6000}
CHEAP = dict.fromkeys(COUNTY, 3000)
HOUR = {"amount": 60, "service_date": "2026-11-15"}  # a Sunday: its tariff is known without times
SUNDAY_HOUR = (60, 5580, 0)


def visit(begins: str, ends: str, **more: Any) -> dict[str, Any]:
    return {"starts_at": begins, "ends_at": ends} | more


SUNDAY_VISIT = visit("2026-11-15T09:00", "2026-11-15T10:00")


def on(day: str, **more: Any) -> dict[str, Any]:
    return {"amount": 60, "service_date": day} | more


LINES = (
    # The state of the voucher.
    Line("an issued voucher pays", "a visit on a Sunday", HOUR, SUNDAY_HOUR, tells={"available": 660}),
    Line("a suspended voucher pays nothing", "", HOUR, refused="voucher_suspended",
         says=(
             "Seteli on toistaiseksi pysäytetty. → Ota yhteys järjestäjään ennen käyntiä.",
             "Sedeln är tills vidare stoppad. → Kontakta arrangören före besöket.",
             "The voucher is suspended for now. → Contact the organiser before the visit.",
         ), voucher={"state": "suspended"}),
    Line("a closed voucher pays nothing", "", HOUR, refused="voucher_closed",
         says=(
             "Seteli on päättynyt, ja sen arvo on palautunut järjestäjälle. → Ota yhteys järjestäjään.",
             "Sedeln är avslutad och värdet har återgått till arrangören. → Kontakta arrangören.",
             "The voucher has ended and its value has gone back to the organiser. → Contact the organiser.",
         ), voucher={"state": "closed"}),
    Line(
        "a cancelled voucher pays for what was before",
        "the day before the cancelling",
        on("2026-11-15"), SUNDAY_HOUR,
        voucher={"state": "cancelled", "cancelled_from": date(2026, 11, 16)},
    ),
    Line(
        "a cancelled voucher pays for what was before",
        "the day of the cancelling itself",
        on("2026-11-15"), refused="voucher_cancelled",
         says=(
             "Seteli on peruttu 15.11.2026 alkaen. → Vain sitä aiemmat käynnit voi veloittaa. Ota tarvittaessa "
             "yhteys järjestäjään.",
             "Sedeln är annullerad från och med 15.11.2026. → Endast tidigare besök kan debiteras. Kontakta "
             "arrangören vid behov.",
             "The voucher is cancelled from 15 November 2026 on. → Only earlier visits can be charged. Contact "
             "the organiser if need be.",
         ),
        voucher={"state": "cancelled", "cancelled_from": date(2026, 11, 15)},
    ),
    Line(
        "cancelling breaks no hold for a visit before it",
        "captured afterwards",
        does="capture", charged=SUNDAY_HOUR,
        before=(("hold", HOUR), ("set", {"state": "cancelled", "cancelled_from": date(2026, 11, 16)})),
    ),
    Line(
        "suspending keeps a hold, and its capture waits",
        "captured while suspended",
        does="capture", refused="voucher_suspended", before=(("hold", HOUR), ("set", {"state": "suspended"})),
    ),
    Line("what was cancelled while it was suspended stays shut", "a visit before both", on("2026-11-15"),
         refused="voucher_suspended",
         voucher={"state": "cancelled", "cancelled_from": date(2026, 11, 16), "late_entry_stopped": True}),
    Line("what was cancelled while it was suspended stays shut", "what is held waits, too", does="capture",
         refused="voucher_suspended",
         before=(("hold", HOUR), ("set", {"state": "cancelled", "cancelled_from": date(2026, 11, 16),
                                          "late_entry_stopped": True}))),
    # The day of the visit.
    Line("a visit is charged when it was made", "today", visit("2026-11-18T09:00", "2026-11-18T10:00"), (60, 3350, 0)),
    Line("a visit is charged when it was made", "tomorrow's", on("2026-11-19"), refused="service_date_in_future",
         says=(
             "Käyntipäivä 19.11.2026 on tulevaisuudessa. → Veloita käynti, kun se on tehty.",
             "Besöksdagen 19.11.2026 ligger i framtiden. → Debitera besöket när det är gjort.",
             "The visit's date 19 November 2026 is in the future. → Charge a visit when it has been made.",
         )),
    Line("a visit is charged when it was made", "one that goes on", visit("2026-11-18T23:00", "2026-11-18T23:59"),
         refused="visit_not_over", at="2026-11-18T23:30",
         says=(
             "Käynti ei ole vielä ohi. → Veloita käynti, kun se on tehty. Tulevaa käyntiä varten voi tehdä varauksen.",
             "Besöket är inte över ännu. → Debitera besöket när det är gjort. För ett kommande besök kan man göra "
             "en reservering.",
             "The visit is not over yet. → Charge a visit when it has been made. A visit to come can be held.",
         )),
    Line("a visit is charged when it was made", "ten minutes early", visit("2026-11-18T10:00", "2026-11-18T11:00"),
         (60, 3350, 0), at="2026-11-18T10:50"),
    Line("a hold is for tomorrow, too", "", visit("2026-11-19T09:00", "2026-11-19T10:00"), (60, 3350, 0), does="hold"),
    Line("a voucher pays from its first day on", "on it", on("2026-10-04"), SUNDAY_HOUR,
         voucher={"valid_from": date(2026, 10, 4)}),
    Line("a voucher pays from its first day on", "the day before", on("2026-10-04"), refused="voucher_not_yet_valid",
         says=(
             "Seteli on voimassa 5.10.2026 alkaen; käyntipäivä on 4.10.2026. → Tarkista käyntipäivä.",
             "Sedeln gäller från och med 5.10.2026; besöksdagen är 4.10.2026. → Kontrollera besöksdagen.",
             "The voucher is valid from 5 October 2026; the visit's date is 4 October 2026. → Check the visit's "
             "date.",
         ),
         voucher={"valid_from": date(2026, 10, 5)}),
    Line("a voucher pays until its last day's midnight", "on it", on("2026-11-15"), SUNDAY_HOUR,
         voucher={"valid_to": date(2026, 11, 15)}),
    Line("a voucher pays until its last day's midnight", "a minute before it, to the day after",
         visit("2026-11-15T23:59", "2026-11-16T00:14"), (15, 875, 0),
         voucher={"valid_to": date(2026, 11, 15)}),
    Line("a voucher pays until its last day's midnight", "the day after", on("2026-11-15"), refused="voucher_expired",
         says=(
             "Seteli oli voimassa 14.11.2026 asti; käyntipäivä on 15.11.2026. → Tarkista käyntipäivä. Perhe voi "
             "kysyä järjestäjältä uutta seteliä.",
             "Sedeln gällde till och med 14.11.2026; besöksdagen är 15.11.2026. → Kontrollera besöksdagen. "
             "Familjen kan fråga arrangören om en ny sedel.",
             "The voucher was valid until 14 November 2026; the visit's date is 15 November 2026. → Check the "
             "visit's date. The family can ask the organiser for a new voucher.",
         ),
         voucher={"valid_to": date(2026, 11, 14)}),
    Line("late entry: thirty days after the end", "on the thirtieth", HOUR, SUNDAY_HOUR,
         at="2026-12-15T23:59", voucher={"valid_to": date(2026, 11, 15), "state": "expired"}),
    Line("late entry: thirty days after the end", "on the thirty-first", HOUR, refused="late_entry_closed",
         says=(
             "Käynnit piti kirjata viimeistään 15.12.2026. → Ota yhteys järjestäjään.",
             "Besöken skulle ha registrerats senast 15.12.2026. → Kontakta arrangören.",
             "Visits had to be entered by 15 December 2026. → Contact the organiser.",
         ),
         at="2026-12-16T00:00", voucher={"valid_to": date(2026, 11, 15), "state": "expired"}),
    Line("late entry: thirty days after a cancelling, too", "on the thirty-first", HOUR, refused="late_entry_closed",
         at="2026-12-17T00:00", voucher={"state": "cancelled", "cancelled_from": date(2026, 11, 16)}),
    # What the programme pays for.
    Line("a no-show is paid where the programme says so", "it does", HOUR | {"visit_type": "no_show"}, SUNDAY_HOUR,
         rules={"no_show_allowed": True}, tells={"visit_type": "no_show"}),
    Line("a no-show is paid where the programme says so", "it does not", HOUR | {"visit_type": "no_show"},
         refused="no_show_not_allowed",
         says=(
             "Tästä palvelusta ei makseta käyntiä, joka ei toteutunut. → Veloita vain tehdyt käynnit.",
             "För den här tjänsten betalas inte besök som inte blev av. → Debitera bara besök som har gjorts.",
             "This service does not pay for visits that did not take place. → Charge only visits that were made.",
         )),
    Line("a programme may say what its visits are for", "one of those", HOUR | {"task_type": "cooking"}, SUNDAY_HOUR,
         rules={"task_types": frozenset({"cooking", "cleaning"})}),
    Line("a programme may say what its visits are for", "something else", HOUR | {"task_type": "walking-the-dog"},
         refused="task_type_unknown",
         says=(
             "Tässä palvelussa ei ole tällaista tehtävää. Tehtävät: cleaning, cooking. → Valitse jokin näistä "
             "tai jätä tehtävä pois.",
             "Den här tjänsten har ingen sådan uppgift. Uppgifter: cleaning, cooking. → Välj en av dem, eller "
             "lämna uppgiften bort.",
             "This service has no such task. Its tasks: cleaning, cooking. → Choose one of them, or leave the "
             "task out.",
         ), rules={"task_types": frozenset({"cooking", "cleaning"})}),
    # Times and amounts.
    Line("where evenings have another tariff, a weekday's times are told", "they are not", on("2026-11-18"),
         refused="times_required",
         says=(
             "Käynnin alkamis- ja päättymisaika tarvitaan, koska illan hinta on toinen kuin päivän. → Anna "
             "käynnin alku (starts_at) ja loppu (ends_at).",
             "Besökets början och slut behövs, eftersom kvällens pris är ett annat än dagens. → Ange när besöket"
             " började (starts_at) och slutade (ends_at).",
             "The beginning and end of the visit are needed, because the evening has another price than the day."
             " → Give when the visit began (starts_at) and ended (ends_at).",
         )),
    Line("where evenings have another tariff, a weekday's times are told", "on a Saturday they need not be",
         on("2026-11-14"), (60, 4600, 0)),
    Line("money is charged by amount or by hours", "by amount", on("2026-11-18", amount=2500), (2500, 2500, None),
         unit="cents", rules={"step": 1}, voucher={"granted": 10_000}),
    Line("money is charged by amount or by hours", "by hours", visit("2026-11-18T17:00", "2026-11-18T19:00"),
         (7450, 7450, 950), unit="cents", rules={"step": 1}, prices=DEAR, voucher={"granted": 10_000}),
    Line("money is charged by amount or by hours", "by neither", {"service_date": "2026-11-18"},
         refused="amount_required",
         says=(
             "Käynnin pituus tai summa puuttuu. → Anna määrä (amount) tai käynnin alku ja loppu.",
             "Besökets längd eller belopp saknas. → Ange mängden (amount), eller när besöket började och "
             "slutade.",
             "The length or the sum of the visit is missing. → Give the amount, or when the visit began and "
             "ended.",
         ), unit="cents", rules={"step": 1}, voucher={"granted": 10_000}),
    Line("an amount told beside times says the same", "it does",
         visit("2026-11-18T09:00", "2026-11-18T10:00", amount=60), (60, 3350, 0)),
    Line("an amount told beside times says the same", "it does not",
         visit("2026-11-18T09:00", "2026-11-18T10:00", amount=75), refused="amount_differs_from_times",
         says=(
             "Määrä (1 t 15 min) ei ole sama kuin käynnin ajoista laskettu. → Korjaa toinen niistä tai jätä "
             "määrä pois.",
             "Mängden (1 h 15 min) är inte den som räknas ur besökets tider. → Rätta endera, eller lämna mängden"
             " bort.",
             "The amount (1 h 15 min) is not what the times of the visit come to. → Correct one of them, or "
             "leave the amount out.",
         )),
    Line("amounts are whole steps", "four of a quarter", HOUR, SUNDAY_HOUR),
    Line("amounts are whole steps", "fifty minutes without times", HOUR | {"amount": 50},
         refused="amount_not_in_steps",
         says=(
             "Määrä annetaan 15 min välein. → Korjaa määrä.",
             "Mängden anges i steg om 15 min. → Rätta mängden.",
             "The amount goes in steps of 15 min. → Correct the amount.",
         )),
    Line("times are rounded up to the step, once", "fifty minutes with times",
         visit("2026-11-18T09:00", "2026-11-18T09:50"), (60, 3350, 0)),
    # Tariffs, with the county's own figures: 33.50 to 55.80 € an hour.
    Line("a visit is paid by the tariff of its hours", "by day", visit("2026-11-18T12:00", "2026-11-18T14:00"),
         (120, 6700, 0)),
    Line("a visit is paid by the tariff of its hours", "in the evening", visit("2026-11-17T18:00", "2026-11-17T20:00"),
         (120, 8200, 0)),
    Line("a visit is paid by the tariff of its hours", "over the evening's border",
         visit("2026-11-17T16:30", "2026-11-17T19:20"), (180, 3350 * 3 // 2 + 4100 * 3 // 2, 0)),
    Line("a visit is paid by the tariff of its hours", "over midnight to a Saturday",
         visit("2026-11-13T23:00", "2026-11-14T01:00"), (120, 3350 + 4600, 0), tells={"service_date": "2026-11-13"}),
    Line("a visit is paid by the tariff of its hours", "over midnight from Saturday to Sunday",
         visit("2026-11-14T23:00", "2026-11-15T01:00"), (120, 4600 + 5580, 0)),
    Line("public holidays are Sundays", "Christmas Day, a Friday", visit("2026-12-25T12:00", "2026-12-25T13:00"),
         SUNDAY_HOUR, at="2026-12-26T12:00"),
    Line("public holidays are Sundays", "Boxing Day, a Saturday", on("2026-12-26"), SUNDAY_HOUR, at="2026-12-26T12:00"),
    Line("public holidays are Sundays", "Midsummer Day, a Saturday", on("2026-06-20"), SUNDAY_HOUR,
         at="2026-06-22T12:00", voucher={"valid_from": date(2026, 6, 1)}),
    Line("public holidays are Sundays", "the evening before Midsummer Day, into it",
         visit("2026-06-19T21:00", "2026-06-20T01:00"), (240, 4100 + 2 * 3350 + 5580, 0),
         at="2026-06-22T12:00", voucher={"valid_from": date(2026, 6, 1)}),
    Line("eves are Sundays where the rules say so", "they do not", visit("2026-12-24T12:00", "2026-12-24T13:00"),
         (60, 3350, 0), at="2026-12-26T12:00"),
    Line("eves are Sundays where the rules say so", "Christmas Eve", visit("2026-12-24T12:00", "2026-12-24T13:00"),
         SUNDAY_HOUR, at="2026-12-26T12:00", rules={"eves_are_holidays": True}),
    Line("eves are Sundays where the rules say so", "Midsummer Eve", on("2026-06-19"), SUNDAY_HOUR,
         at="2026-06-22T12:00", rules={"eves_are_holidays": True}, voucher={"valid_from": date(2026, 6, 1)}),
    Line("the time that passed counts", "the night with an hour more", visit("2026-10-25T02:00", "2026-10-25T05:00"),
         (240, 4 * 5580, 0)),
    Line("the time that passed counts", "the night with an hour less", visit("2027-03-28T02:00", "2027-03-28T05:00"),
         (120, 2 * 5580, 0), at="2027-03-28T12:00", voucher={"valid_to": date(2027, 4, 30)}),
    Line("a time that clocks showed twice needs an offset", "without", visit("2026-10-25T03:30", "2026-10-25T05:00"),
         refused="visit_time_ambiguous",
         says=(
             "”starts_at”: kello oli sinä yönä tämän verran kahdesti. → Anna aika aikaeron kanssa: +03:00 ennen "
             "kellojen siirtoa, +02:00 sen jälkeen.",
             "”starts_at”: klockorna visade den tiden två gånger den natten. → Ge tiden med tidsskillnad: +03:00"
             " innan klockorna ställdes tillbaka, +02:00 efteråt.",
             "“starts_at”: the clocks showed this time twice that night. → Give it with its offset: +03:00 "
             "before the clocks went back, +02:00 after.",
         )),
    Line("a time that clocks showed twice needs an offset", "with", visit("2026-10-25T03:30+02:00", "2026-10-25T05:00"),
         (90, 5580 * 3 // 2, 0)),
    Line("a time that no clock showed is no time", "", visit("2027-03-28T03:30", "2027-03-28T05:00"),
         refused="visit_time_skipped",
         says=(
             "”starts_at”: tällaista kellonaikaa ei ollut. Kelloja siirrettiin sinä yönä kolmesta neljään. → "
             "Tarkista aika tai anna se aikaeron kanssa, esimerkiksi +02:00.",
             "”starts_at”: ingen klocka visade den tiden. Klockorna ställdes den natten från tre till fyra. → "
             "Kontrollera tiden, eller ge den med tidsskillnad, till exempel +02:00.",
             "“starts_at”: no clock showed this time. The clocks went from three to four that night. → Check the"
             " time, or give it with its offset, such as +02:00.",
         ), at="2027-03-28T12:00"),
    # What the family pays.
    Line("the family pays what the price is above the value", "dearer", on("2026-11-15"), (60, 5580, 420), prices=DEAR),
    Line("the family pays what the price is above the value", "cheaper", on("2026-11-15"), (60, 3000, 0), prices=CHEAP),
    Line("the family pays what the price is above the value", "a quarter of an hour: cents are rounded once",
         visit("2026-11-18T09:00", "2026-11-18T09:15"), (15, 838, 137), prices=DEAR),
    Line("what is free by law costs the family nothing", "at the county's price", HOUR, SUNDAY_HOUR,
         rules={"free_by_law": True}),
    Line("what is free by law costs the family nothing", "at a dearer one", HOUR,
         refused="own_contribution_not_allowed",
         says=(
             "Palvelu on perheelle lain mukaan maksuton, mutta hinnastosi mukaan perhe maksaisi 4,20 €. → "
             "Veloita hinta, jonka seteli kattaa, tai ota yhteyttä järjestäjään.",
             "Tjänsten är enligt lag avgiftsfri för familjen, men enligt din prislista skulle familjen betala "
             "4,20 €. → Debitera ett pris som sedeln täcker, eller kontakta arrangören.",
             "By law this service is free for the family, but by your price list it would pay €4.20. → Charge a "
             "price that the voucher covers, or contact the organiser.",
         ), rules={"free_by_law": True}, prices=DEAR),
    # Double entries.
    Line("a visit that begins when another began is asked about", "it is",
         visit("2026-11-18T09:00", "2026-11-18T10:00"),
         refused="possible_duplicate",
         says=(
             "Samanlainen käynti samalta päivältä on jo veloitettu tai varattu. → Tarkista historia. Jos käyntejä oli "
             "kaksi, lähetä uudelleen: allow_duplicate.",
             "Ett likadant besök samma dag är redan debiterat eller reserverat. → Kontrollera historiken. Om "
             "besöken var två, sänd på nytt med allow_duplicate.",
             "A visit like this one is charged or held already for the same day. → Check the history. If there were"
             " two visits, send it again with allow_duplicate.",
         ), before=(("debit", visit("2026-11-18T09:00", "2026-11-18T09:30")),)),
    Line("a visit that begins when another began is asked about", "a hold is another, too",
         visit("2026-11-18T09:00", "2026-11-18T10:00"), refused="possible_duplicate",
         before=(("hold", visit("2026-11-18T09:00", "2026-11-18T09:30")),)),
    Line("a visit that begins when another began is asked about", "unless it is said to be another",
         visit("2026-11-18T09:00", "2026-11-18T10:00", duplicate_ok=True), (60, 3350, 0),
         before=(("debit", visit("2026-11-18T09:00", "2026-11-18T09:30")),)),
    Line("a visit that begins when another began is asked about", "not when that one was taken back",
         visit("2026-11-18T09:00", "2026-11-18T10:00"), (60, 3350, 0),
         before=(("debit", visit("2026-11-18T09:00", "2026-11-18T09:30")), ("reverse", {}))),
    Line("without times, a visit like another one is asked about", "entered again within half a day", HOUR,
         refused="possible_duplicate", before=(("debit", HOUR), ("clock", {"at": "2026-11-19T07:59"}))),
    Line("without times, a visit like another one is asked about", "not half a day later", HOUR, SUNDAY_HOUR,
         before=(("debit", HOUR), ("clock", {"at": "2026-11-19T08:00"}))),
    Line("without times, a visit like another one is asked about", "a hold is another, too", HOUR,
         refused="possible_duplicate", before=(("hold", HOUR), ("clock", {"at": "2026-11-19T08:00"}))),
    Line("without times, a visit like another one is asked about", "unless it is said to be another",
         HOUR | {"duplicate_ok": True}, SUNDAY_HOUR, before=(("debit", HOUR),)),
    Line("without times, a visit like another one is asked about", "not with a reference of its own",
         HOUR | {"reference": "evening"}, SUNDAY_HOUR, before=(("debit", HOUR | {"reference": "morning"}),)),
    Line("without times, a visit like another one is asked about", "not by another worker",
         HOUR | {"worker": "Sari"}, SUNDAY_HOUR, before=(("debit", HOUR | {"worker": "Leena"}),)),
    Line("without times, a visit like another one is asked about", "not by another provider",
         HOUR | {"provider": "koti"}, SUNDAY_HOUR, before=(("debit", HOUR),)),
    Line("without times, a visit like another one is asked about", "not a longer one", on("2026-11-15", amount=30),
         (30, 2790, 0), before=(("debit", HOUR),)),
    Line("without times, a visit like another one is asked about", "not when that one was taken back", HOUR,
         SUNDAY_HOUR, before=(("debit", HOUR), ("reverse", {}))),
    Line("without times, a visit like another one is asked about", "not a no-show beside a visit",
         HOUR | {"visit_type": "no_show"}, SUNDAY_HOUR, rules={"no_show_allowed": True}, before=(("debit", HOUR),)),
    Line("without times, a visit like another one is asked about", "not when what was held is charged", {},
         SUNDAY_HOUR, does="capture", before=(("hold", HOUR), ("debit", HOUR | {"duplicate_ok": True}))),
    Line("without times, a visit like another one is asked about", "when less of the same can be taken",
         HOUR | {"partial": True}, refused="possible_duplicate", voucher={"granted": 90},
         before=(("debit", HOUR | {"partial": True}),)),
    Line("without times, a visit like another one is asked about", "when less of what is held can be taken",
         HOUR | {"partial": True}, refused="possible_duplicate", voucher={"granted": 90},
         before=(("hold", HOUR | {"partial": True}),)),
    Line("without times, a visit like another one is asked about", "when more of the same can be taken",
         on("2026-11-15", amount=120, partial=True), refused="possible_duplicate", voucher={"granted": 90},
         before=(("debit", on("2026-11-15", amount=120, partial=True)), ("set", {"granted": 720, "available": 630}))),
    Line("of a visit with times and one of as many hours, the second is asked about", "it has the times",
         SUNDAY_VISIT, refused="possible_duplicate", before=(("debit", HOUR),)),
    Line("of a visit with times and one of as many hours, the second is asked about", "it has the hours",
         HOUR, refused="possible_duplicate", before=(("debit", SUNDAY_VISIT),)),
    Line("of a visit with times and one of as many hours, the second is asked about", "the first is a hold",
         SUNDAY_VISIT, refused="possible_duplicate", before=(("hold", HOUR),)),
    Line("of a visit with times and one of as many hours, the second is asked about", "not when they are another's",
         HOUR | {"worker": "Sari"}, SUNDAY_HOUR, before=(("debit", SUNDAY_VISIT | {"worker": "Leena"}),)),
    Line("of a visit with times and one of as many hours, the second is asked about", "not a longer one",
         on("2026-11-15", amount=30), (30, 2790, 0), before=(("debit", SUNDAY_VISIT),)),
    Line("of a visit with times and one of as many hours, the second is asked about", "not what is held",
         SUNDAY_VISIT, SUNDAY_HOUR, does="capture", before=(("hold", HOUR),)),
    Line("a text tells so little that as much is enough", "the office charged it",
         HOUR | {"texted": True, "worker": "Leena"}, refused="possible_duplicate",
         before=(("debit", HOUR | {"worker": "office", "task_type": "cleaning", "reference": "0042"}),)),
    Line("a text tells so little that as much is enough", "the office booked it",
         HOUR | {"texted": True, "worker": "Leena"}, refused="possible_duplicate",
         before=(("hold", HOUR | {"worker": "office", "reference": "0042"}),)),
    Line("a text tells so little that as much is enough", "not what is longer",
         on("2026-11-15", amount=90, texted=True), (90, 8370, 0), before=(("debit", HOUR),)),
    Line("what is certain is told before what is asked", "nothing is in the way: the question", on("2026-11-14"),
         refused="possible_duplicate", voucher={"caps": (2, None)}, before=(("debit", on("2026-11-14")),)),
    Line("what is certain is told before what is asked", "and who answers it is charged",
         on("2026-11-14", duplicate_ok=True), (60, 4600, 0), voucher={"caps": (2, None)},
         before=(("debit", on("2026-11-14")),)),
    Line("what is certain is told before what is asked", "the week's visits are used", on("2026-11-14"),
         refused="weekly_visits_used", voucher={"caps": (1, None)}, before=(("debit", on("2026-11-14")),),
         says=(
             "Samanlainen käynti samalta päivältä on jo veloitettu tai varattu. Käyntejä viikossa 1, käytetty tai "
             "varattu 1. → Tarkista ensin historia. Jos käyntejä oli kaksi, seuraava mahdollinen päivä: 16.11.2026.",
             "Ett likadant besök samma dag är redan debiterat eller reserverat. Besök i veckan: 1, använda eller "
             "reserverade: 1. → Kontrollera först historiken. Om besöken var två, nästa möjliga dag: 16.11.2026.",
             "A visit like this one is charged or held already for the same day. Visits a week: 1; used or held: 1. → "
             "Check the history first. If there were two visits, the next possible day: 16 November 2026.",
         ),
         tells={"used_visits": 1, "next_allowed_date": "2026-11-16", "similar_debit": True}),
    Line("what is certain is told before what is asked", "to whoever says that it is another, without the question",
         on("2026-11-14", duplicate_ok=True), refused="weekly_visits_used", voucher={"caps": (1, None)},
         before=(("debit", on("2026-11-14")),), tells={"used_visits": 1, "similar_debit": None}),
    Line("what is certain is told before what is asked", "the week's hours are used",
         visit("2026-11-18T09:00", "2026-11-18T10:00"), refused="weekly_minutes_used", voucher={"caps": (None, 90)},
         before=(("debit", visit("2026-11-18T09:00", "2026-11-18T10:00")),),
         says=(
             "Samanlainen käynti samalta päivältä on jo veloitettu tai varattu. Viikon ajasta on käytetty tai varattu "
             "1 t, kun sitä on 1 t 30 min; pyysit 1 t. → Tarkista ensin historia. Jos käyntejä oli kaksi, seuraava "
             "mahdollinen päivä: 23.11.2026.",
             "Ett likadant besök samma dag är redan debiterat eller reserverat. Av veckans tid är 1 h använd eller "
             "reserverad; den är 1 h 30 min, och du bad om 1 h. → Kontrollera först historiken. Om besöken var två, "
             "nästa möjliga dag: 23.11.2026.",
             "A visit like this one is charged or held already for the same day. 1 h of the week's time is used or "
             "held; there is 1 h 30 min, and you asked for 1 h. → Check the history first. If there were two visits, "
             "the next possible day: 23 November 2026.",
         ),
         tells={"used_minutes": 60, "similar_debit": True}),
    Line("what is certain is told before what is asked", "too little is left", on("2026-11-14"),
         refused="insufficient_value", voucher={"granted": 90}, before=(("debit", on("2026-11-14")),),
         says=(
             "Samanlainen käynti samalta päivältä on jo veloitettu tai varattu. Setelissä on jäljellä 30 min; pyysit "
             "1 t. → Tarkista ensin historia. Jos käyntejä oli kaksi, veloita enintään se, mitä on jäljellä, tai sovi "
             "lopusta perheen kanssa.",
             "Ett likadant besök samma dag är redan debiterat eller reserverat. På sedeln återstår 30 min; du begärde "
             "1 h. → Kontrollera först historiken. Om besöken var två, debitera högst det som återstår, eller kom "
             "överens om resten med familjen.",
             "A visit like this one is charged or held already for the same day. 30 min is left on the voucher; you "
             "asked for 1 h. → Check the history first. If there were two visits, charge at most what is left, or "
             "agree on the rest with the family.",
         ),
         tells={"available": 30, "similar_debit": True}),
    Line("what is certain is told before what is asked", "nothing is left, for all was taken as a part",
         on("2026-11-14", amount=120, partial=True), refused="insufficient_value", voucher={"granted": 90},
         before=(("debit", on("2026-11-14", amount=120, partial=True)),),
         tells={"available": 0, "similar_debit": True}),
    Line("what is certain is told before what is asked", "a hold of one moment, and the week is full",
         visit("2026-11-20T09:00", "2026-11-20T10:00"), refused="weekly_visits_used", does="hold",
         voucher={"caps": (1, None)}, before=(("hold", visit("2026-11-20T09:00", "2026-11-20T10:00")),)),
    # The week, from Monday to Sunday.
    Line("so many visits a week", "the second of two", on("2026-11-15"), SUNDAY_HOUR,
         voucher={"caps": (2, None)}, before=(("debit", on("2026-11-14")),)),
    Line("so many visits a week", "the third of two", on("2026-11-15"), refused="weekly_visits_used",
         says=(
             "Käyntejä viikossa 2, käytetty tai varattu 2. → Seuraava mahdollinen päivä: "
             "16.11.2026.",
             "Besök i veckan: 2, använda eller reserverade: 2. → Nästa möjliga dag: 16.11.2026.",
             "Visits a week: 2; used or held: 2. → Next possible day: 16 November 2026.",
         ),
         voucher={"caps": (2, None)},
         before=(("debit", on("2026-11-14")), ("debit", on("2026-11-14", reference="evening"))),
         tells={"used_visits": 2, "weekly_visits": 2, "next_allowed_date": "2026-11-16", "similar_debit": None}),
    Line("so many visits a week", "what another provider charged counts", on("2026-11-15"),
         refused="weekly_visits_used",
         voucher={"caps": (1, None)}, before=(("debit", on("2026-11-14", provider="koti")),)),
    Line("so many visits a week", "what is held counts", on("2026-11-14"), refused="weekly_visits_used",
         voucher={"caps": (1, None)}, before=(("hold", on("2026-11-15")),)),
    Line("so many visits a week", "what was dropped does not", on("2026-11-15"), SUNDAY_HOUR,
         voucher={"caps": (1, None)}, before=(("hold", on("2026-11-15")), ("void", {}))),
    Line("so many visits a week", "what was taken back does not", on("2026-11-15"), SUNDAY_HOUR,
         voucher={"caps": (1, None)}, before=(("debit", on("2026-11-14")), ("reverse", {}))),
    Line("so many visits a week", "a late entry counts in its own week", on("2026-11-08"), SUNDAY_HOUR,
         voucher={"caps": (1, None)}, before=(("debit", on("2026-11-15")),)),
    Line("week 53 goes over the New Year", "Sunday the 3rd is in the week of the 31st", on("2027-01-03"),
         refused="weekly_visits_used", at="2027-01-05T12:00",
         voucher={"caps": (1, None), "valid_to": date(2027, 1, 31)},
         before=(("debit", visit("2026-12-31T10:00", "2026-12-31T11:00")),), tells={"next_allowed_date": "2027-01-04"}),
    Line("week 53 goes over the New Year", "Epiphany on Wednesday is in the next", on("2027-01-06"), SUNDAY_HOUR,
         at="2027-01-06T12:00", voucher={"caps": (1, None), "valid_to": date(2027, 1, 31)},
         before=(("debit", visit("2026-12-31T10:00", "2026-12-31T11:00")),)),
    Line("week 53 goes over the New Year", "in a voucher's last week there is no next day", on("2027-01-03"),
         refused="weekly_visits_used", at="2027-01-03T12:00",
         voucher={"caps": (1, None), "valid_to": date(2027, 1, 3)},
         before=(("debit", on("2027-01-02")),), tells={"next_allowed_date": None}),
    Line("so many hours a week", "up to them", on("2026-11-15"), SUNDAY_HOUR,
         voucher={"caps": (None, 120)}, before=(("debit", on("2026-11-14")),)),
    Line("so many hours a week", "a quarter more", on("2026-11-15", amount=75), refused="weekly_minutes_used",
         says=(
             "Viikon ajasta on käytetty tai varattu 1 t, kun sitä on 2 t; pyysit 1 t 15 min. → Seuraava "
             "mahdollinen päivä: 16.11.2026.",
             "Av veckans tid är 1 h använd eller reserverad; den är 2 h, och du bad om 1 h 15 min. → Nästa "
             "möjliga dag: 16.11.2026.",
             "1 h of the week's time is used or held; there is 2 h, and you asked for 1 h 15 min. → Next "
             "possible day: 16 November 2026.",
         ),
         voucher={"caps": (None, 120)}, before=(("debit", on("2026-11-14")),),
         tells={"used_minutes": 60, "weekly_minutes": 120, "next_allowed_date": "2026-11-16"}),
    Line("a cap may change in mid-week", "from its day on", on("2026-11-15"), SUNDAY_HOUR, voucher={"caps": (1, None)},
         before=(("debit", on("2026-11-14")), ("cap", {"starts_on": date(2026, 11, 15), "visits": 2}))),
    Line("a cap may change in mid-week", "not before, and the day is told", on("2026-11-14", reference="evening"),
         refused="weekly_visits_used", voucher={"caps": (1, None)},
         before=(("debit", on("2026-11-14")), ("cap", {"starts_on": date(2026, 11, 15), "visits": 2})),
         tells={"next_allowed_date": "2026-11-15"}),
    # What is left.
    Line("a voucher pays what is left", "all of it", on("2026-11-15"), SUNDAY_HOUR, voucher={"granted": 60},
         tells={"available": 0}),
    Line("a voucher pays what is left", "a quarter more", on("2026-11-15", amount=75), refused="insufficient_value",
         says=(
             "Setelissä on jäljellä 1 t; pyysit 1 t 15 min. → Veloita enintään se, mitä on jäljellä, tai sovi "
             "lopusta perheen kanssa.",
             "På sedeln återstår 1 h; du begärde 1 h 15 min. → Debitera högst det som återstår, eller kom "
             "överens om resten med familjen.",
             "1 h is left on the voucher; you asked for 1 h 15 min. → Charge at most what is left, or agree on "
             "the rest with the family.",
         ),
         voucher={"granted": 60}, tells={"available": 60, "requested": 75}),
    Line("a voucher pays what is left", "part of it, when that will do", on("2026-11-15", amount=120, partial=True),
         (60, 5580, 5580), voucher={"granted": 70}, tells={"not_covered": 60, "available": 10}),
    Line("a voucher pays what is left", "nothing is no part", on("2026-11-15", amount=15, partial=True),
         refused="insufficient_value", voucher={"granted": 14}),
    # Holds.
    Line("a hold keeps value", "nobody else has it", on("2026-11-14", provider="koti"), refused="insufficient_value",
         voucher={"granted": 60}, before=(("hold", on("2026-11-15")),)),
    Line("a capture is as much as the hold or less", "as much", does="capture", charged=SUNDAY_HOUR,
         before=(("hold", HOUR),), tells={"available": 660}),
    Line("a capture is as much as the hold or less", "less, and the rest is free", {"amount": 15}, (15, 1395, 0),
         does="capture", before=(("hold", HOUR),), tells={"available": 705}),
    Line("a capture is as much as the hold or less", "more", {"amount": 75}, refused="capture_above_hold",
         says=(
             "Varattuna on 1 t; pyysit 1 t 15 min. → Veloita enintään varattu määrä ja loput omana "
             "veloituksenaan.",
             "1 h är reserverat; du bad om 1 h 15 min. → Debitera högst det som är reserverat, och resten som en"
             " egen debitering.",
             "1 h is held; you asked for 1 h 15 min. → Charge at most what is held, and the rest as a debit of "
             "its own.",
         ),
         does="capture", before=(("hold", HOUR),), tells={"held": 60}),
    Line("a capture is as much as the hold or less", "the beginning of the hours that were booked", {"amount": 60},
         (60, 3350, 550), does="capture", prices=DEAR,
         before=(("hold", visit("2026-11-17T17:00", "2026-11-17T19:00")),)),
    Line("a hold is charged as it was promised", "a part of the visit", does="capture", charged=(60, 5580, 5580),
         voucher={"granted": 60}, before=(("hold", on("2026-11-15", amount=120, partial=True)),),
         tells={"not_covered": 60}),
    Line("a hold keeps its prices", "where its provider had none, and has set some since", does="capture",
         charged=SUNDAY_HOUR, before=(("hold", HOUR), ("ask-for", DEAR))),
    Line("a hold keeps its prices", "those that were replaced before they began",
         visit("2026-11-22T09:00", "2026-11-22T10:00"), (60, 5580, 420), does="capture",
         before=(("ask-for", DEAR | {"starts_on": date(2026, 11, 20)}), ("hold", on("2026-11-22")),
                 ("ask-for", DEAR | {"sunday": 9900, "starts_on": date(2026, 11, 20)}),
                 ("clock", {"at": "2026-11-22T20:00"}))),
    Line("a hold keeps its prices", "for a part of the visit, too", {"amount": 30}, (30, 2790, 210), does="capture",
         before=(("ask-for", DEAR), ("hold", HOUR), ("ask-for", CHEAP | {"starts_on": date(2026, 11, 10)}))),
    Line("a hold is for its own day", "another", visit("2026-11-16T09:00", "2026-11-16T10:00"),
         refused="capture_on_another_day",
         says=(
             "Varaus on käynnille 15.11.2026, ja annetut ajat ovat toiselta päivältä. → Veloita toisen päivän "
             "käynti koodilla ja vapauta varaus.",
             "Reserveringen gäller ett besök 15.11.2026, och tiderna är från en annan dag. → Debitera ett besök "
             "på en annan dag med koden, och frigör reserveringen.",
             "The hold is for a visit on 15 November 2026, and the times are of another day. → Charge a visit of"
             " another day with the code, and void the hold.",
         ), does="capture", before=(("hold", HOUR),)),
    Line("a hold ends once", "dropped before", does="capture", refused="hold_ended",
         says=(
             "Varaus ei ole enää voimassa, se on peruttu. → Katso historiasta, onko käynti veloitettu; jos ei ole, "
             "veloita se koodilla.",
             "Reserveringen gäller inte längre, den är borttagen. → Se i historiken om besöket är debiterat; om det "
             "inte är det, debitera det med koden.",
             "The hold is no longer open, it is voided. → See in the history whether the visit is charged; if it is "
             "not, charge it with the code.",
         ),
         before=(("hold", HOUR), ("void", {})), tells={"state": "voided"}),
    Line("a hold ends once", "three days after the visit it has lapsed", does="capture", refused="hold_ended",
         before=(("hold", HOUR), ("clock", {"at": "2026-11-19T00:00"})), tells={"state": "lapsed"}),
    Line("a hold belongs to its provider", "another one's", {"provider": "koti"}, refused="hold_not_found",
         says=(
             "Et ole tehnyt tällaista varausta. → Katso varauksen tunnus varausten luettelosta.",
             "Du har inte gjort någon sådan reservering. → Se reserveringens id i listan över reserveringar.",
             "You have made no such hold. → Look the hold's id up in the list of holds.",
         ),
         does="capture", before=(("hold", HOUR),)),
    Line("no hold for what is long over", "", on("2026-11-08"), refused="hold_too_late",
         says=(
             "Varaus päivälle 8.11.2026 olisi jo rauennut. → Jos käynti on tehty, veloita se.",
             "En reservering för 8.11.2026 skulle redan ha förfallit. → Om besöket är gjort, debitera det.",
             "A hold for 8 November 2026 would have lapsed already. → If the visit was made, charge it.",
         ), does="hold"),
    # Taking back.
    Line("a debit is taken back", "all of it", {}, (60, None, None), does="reverse", before=(("debit", HOUR),),
         tells={"available": 720, "left": 0}),
    Line("a debit is taken back", "a part", {"amount": 15}, (15, None, None), does="reverse", before=(("debit", HOUR),),
         tells={"available": 675, "left": 45}),
    Line("a debit is taken back", "more than it was", {"amount": 75}, refused="reversal_above_debit",
         says=(
             "Veloituksesta on jäljellä 1 t; pyysit perumaan 1 t 15 min. → Peru enintään se, mikä on jäljellä.",
             "Av debiteringen återstår 1 h; du bad att ta tillbaka 1 h 15 min. → Ta tillbaka högst det som "
             "återstår.",
             "1 h is left of the debit; you asked to take back 1 h 15 min. → Take back at most what is left.",
         ), does="reverse",
         before=(("debit", HOUR),), tells={"left": 60}),
    Line("a debit is taken back", "a part that is no whole step", {"amount": 10}, refused="amount_not_in_steps",
         does="reverse", before=(("debit", HOUR),)),
    Line("a debit is taken back", "twice", {}, refused="already_reversed",
         says=(
             "Veloitus on jo peruttu. → Mitään ei tarvitse tehdä.",
             "Debiteringen är redan återtagen. → Inget behöver göras.",
             "The debit has been reversed already. → There is nothing to do.",
         ), does="reverse",
         before=(("debit", HOUR), ("reverse", {}))),
    Line("a debit is taken back", "another provider's", {"provider": "koti"}, refused="debit_not_found",
         says=(
             "Yritykselläsi ei ole tällaista veloitusta. → Tarkista veloituksen tunnus historiasta.",
             "Ditt företag har ingen sådan debitering. → Kontrollera debiteringens id i historiken.",
             "You have made no such debit. → Look the debit's id up in the history.",
         ), does="reverse",
         before=(("debit", HOUR),)),
    Line("what is settled is credited, not taken back", "", {}, refused="debit_settled",
         says=(
             "Veloitus on jo tilitetty, joten sitä ei voi enää perua. → Ota yhteyttä järjestäjään: maksettu "
             "korjataan hyvityksellä.",
             "Debiteringen är redan redovisad och kan inte längre tas tillbaka. → Kontakta arrangören: det "
             "betalda rättas med en kreditering.",
             "The debit is settled already and can no longer be reversed. → Contact the organiser: what was paid"
             " is corrected by a credit.",
         ), does="reverse",
         before=(("debit", HOUR), ("settle", {}))),
    # Under which decision.
    Line("a debit names the decision in force on its day", "before a renewal", on("2026-11-14"), (60, 4600, 0),
         before=(("renew", {"starts_on": date(2026, 11, 15), "decision_ref": "second"}),),
         tells={"decision_ref": "first"}),
    Line("a debit names the decision in force on its day", "from its day on", HOUR, SUNDAY_HOUR,
         before=(("renew", {"starts_on": date(2026, 11, 15), "decision_ref": "second"}),),
         tells={"decision_ref": "second"}),
    Line("a debit names the decision in force on its day", "the latest of them", HOUR, SUNDAY_HOUR,
         before=(("renew", {"starts_on": date(2026, 11, 15), "decision_ref": "third"}),
                 ("renew", {"starts_on": date(2026, 11, 14), "decision_ref": "second"})),
         tells={"decision_ref": "third"}),
    Line("a debit names the decision in force on its day", "not one that was dropped", HOUR, SUNDAY_HOUR,
         before=(("renew", {"starts_on": date(2026, 11, 15), "decision_ref": "second", "outcome": "dropped"}),),
         tells={"decision_ref": "first"}),
    # Whose business it is.
    Line("a code is the business of approved providers", "one that is not", HOUR | {"provider": "muu"},
         refused="code_unknown",
         says=(
             "Tällä koodilla ei löydy seteliä, jota voit veloittaa. → Pyydä perhettä lukemaan koodi uudelleen."
             " Tarkista, että yrityksesi on hyväksytty tähän palveluun.",
             "Det finns ingen sedel med denna kod som du kan debitera. → Be familjen läsa koden igen. "
             "Kontrollera att ditt företag är godkänt för tjänsten.",
             "There is no voucher with this code that you can charge. → Ask the family to read the code again. "
             "Check that you are approved for this service.",
         )),
    Line("a code is the business of approved providers", "not yet on the day of the visit", HOUR,
         refused="not_approved_on_date",
         says=(
             "Yritystäsi ei ollut hyväksytty tähän palveluun käyntipäivänä. → Tarkista käyntipäivä, tai ota yhteys "
             "järjestäjään.",
             "Ditt företag var inte godkänt för tjänsten på besöksdagen. → Kontrollera besöksdagen, eller kontakta "
             "arrangören.",
             "You were not approved for this service on the day of the visit. → Check the visit's date, or "
             "contact the organiser.",
         ), before=(("approve", {"valid_from": date(2026, 11, 16)}),)),
    Line("a code is the business of approved providers", "no longer on the day of a visit to come",
         visit("2026-11-20T09:00", "2026-11-20T10:00"), refused="not_approved_on_date", does="hold",
         before=(("approve", {"valid_to": date(2026, 11, 19)}),)),
    Line("a code is the business of approved providers", "no longer when a hold is captured", does="capture",
         refused="not_approved_on_date", before=(("hold", HOUR), ("approve", {"valid_to": date(2026, 11, 14)}))),
    Line("a replaced code is answered as such", "", HOUR, refused="code_superseded",
         says=(
             "Koodi on korvattu uudella. → Pyydä perheeltä uusin koodi: se on heidän viimeisimmässä viestissään.",
             "Koden har ersatts av en ny. → Be familjen om den nyaste koden: den finns i deras senaste "
             "meddelande.",
             "The code has been replaced by a newer one. → Ask the family for the newest code: it is in their "
             "latest message.",
         ), before=(("replace-code", {}),)),
    Line("five misses in an hour stop a key", "the sixth request", HOUR, refused="credential_blocked",
         says=(
             "Avaimella on kysytty liian monta tuntematonta koodia. Se on pysäytetty 18.11.2026 21.00 asti. → "
             "Odota, tai ota yhteys ylläpitoon.",
             "För många okända koder har frågats med nyckeln. Den är spärrad till 18.11.2026 21:00. → Vänta, "
             "eller kontakta administratören.",
             "Too many unknown codes were tried with this key. It is stopped until 18 November 2026 21:00. → "
             "Wait, or contact the operator.",
         ),
         before=(("miss", {}),) * 5),
    Line("five misses in an hour stop a key", "not the fifth", HOUR, SUNDAY_HOUR, before=(("miss", {}),) * 4),
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def book_pool(servers: Addresses) -> AsyncIterator[Pool]:
    """One database and its sessions for all lines: each has an organiser of its own, and sets the clock."""
    url = make_database(servers, "rule_book")
    conn = await connect_to(url)
    await conn.execute(CLOCK)
    name = await conn.fetchval("SELECT current_database()")
    await conn.execute(f'ALTER DATABASE "{name}" SET search_path = clock, public, pg_catalog')
    await conn.close()
    pool = await open_pool(url, size=2)
    yield pool
    await close_pool(pool)


async def answer_to(line: Line, pool: Pool) -> Verdict | SeteliError:
    desk = Desk(pool, line)
    await desk.open()
    for what, about in line.before:
        await desk.prepare(what, about)
    try:
        verdict = await desk.do(line.does, line.ask)
    except SeteliError as refused:
        return refused
    return verdict if verdict.is_success else verdict.error()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name.strip(": "))
async def test_the_rule_book(line: Line, book_pool: Pool) -> None:
    answer = await answer_to(line, book_pool)
    if line.refused is not None:
        assert isinstance(answer, SeteliError), answer
        assert answer.code == line.refused
        assert {name: answer.details.get(name) for name in line.tells} == line.tells
        sentences = tuple(said(answer))
        assert line.says in (None, sentences)
        assert not any("…" in sentence or "{" in sentence for sentence in sentences), "a gap in a sentence"
    else:
        assert isinstance(answer, Verdict), (answer.code, answer.details)
        body = json.loads(answer.answer)
        money = (body.get("voucher_pays_cents"), body.get("family_pays_cents"))
        assert (body["amount"], *money) == line.charged
        assert {name: body[name] for name in line.tells} == line.tells


def said(error: SeteliError) -> Iterator[str]:
    for language in LANGUAGES:
        sentences = problem(error.code, error.details, language)
        yield f"{sentences.detail} → {sentences.next_step}"


def test_the_rule_book_has_every_refusal_and_what_is_allowed_beside_it() -> None:
    refused = {line.refused for line in LINES if line.refused}
    not_a_rule = {"idempotency_key_reused"}
    assert {error.code for error in OUTCOMES} - not_a_rule <= refused
    assert {line.refused for line in LINES if line.says} == refused - {None}
    assert len({line.name for line in LINES}) == len(LINES)
