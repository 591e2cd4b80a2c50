"""What the sample's providers tell of themselves in the public directory. No such company, address or number exists."""

from __future__ import annotations

from collections.abc import Mapping

from service.db import Connection
from service.directory.model import GENERAL, Profile
from service.directory.operations import profiles_of, set_profile
from service.providers.operations import find_provider

AROUND = ("Kuusiranta", "Leppälahti", "Haapajärvenpää", "Koivuniemi", "Mäntykoski")
PROFILES: Mapping[str, Mapping[str, Profile]] = {
    "9000101-4": {
        GENERAL: Profile(
            {
                "fi": "Olemme lapsiperheiden oma palveluyritys. Autamme arjessa, kun voimat ovat vähissä: hoidamme "
                "lapsia, laitamme ruokaa ja kuuntelemme.\n\nSama työntekijä käy teillä koko setelin ajan.",
                "sv": "Vi är barnfamiljernas eget serviceföretag. Vi hjälper i vardagen när krafterna tryter: vi "
                "sköter barn, lagar mat och lyssnar.\n\nSamma person besöker dig så länge sedeln gäller.",
                "en": "We work for families with children. We help when there is too much to do: we look after "
                "children, cook, and listen.\n\nThe same person comes to you for as long as your voucher lasts.",
            },
            areas=AROUND,
            hours={
                "weekday": "07:00-17:00",
                "evening": "17:00-21:00",
                "saturday": "09:00-18:00",
                "sunday": "10:00-16:00",
                "holiday": "",
            },
            languages=("fi", "sv", "en"),
            phone="014 555 0311",
            email="info@pihlajanmarja.example",
            web="https://pihlajanmarja.example/perheille",
            takes_new=True,
        ),
        "pariterapia": Profile(
            {
                "fi": "Kaksi pariterapeuttia, joilla on pitkä kokemus pikkulapsiperheistä. Ensimmäinen aika järjestyy "
                "yleensä viikossa. Lapset saa tuoda mukaan leikkihuoneeseen.",
                "sv": "Två parterapeuter med lång erfarenhet av småbarnsfamiljer. En första tid ordnas vanligen inom "
                "en vecka. Barnen får leka i rummet intill.",
                "en": "Two couple therapists with long experience of families with small children. A first meeting is "
                "usually possible within a week. Your children may play in the room next door.",
            },
            areas=("Kuusiranta", "Leppälahti"),
            hours={"weekday": "09:00-16:00", "evening": "16:00-20:00"},
        ),
    },
    "9000202-5": {
        GENERAL: Profile(
            {
                "fi": "Kotiapu Käpylintu tulee nopeasti, usein jo seuraavana päivänä. Hoidamme lapset, ruoan ja "
                "pyykin. Hintamme on setelin arvoa pienempi, joten teille ei jää maksettavaa.",
                "sv": "Kotiapu Käpylintu kommer snabbt, ofta redan nästa dag. Vi sköter barnen, maten och tvätten. "
                "Vårt pris är lägre än sedelns värde, så du betalar inget själv.",
                "en": "Kotiapu Käpylintu comes quickly, often the next day. We look after children, food and laundry. "
                "Our price is below the value of the voucher, so there is nothing left for you to pay.",
            },
            areas=("Kuusiranta", "Koivuniemi", "Mäntykoski"),
            hours={"weekday": "08:00-16:00", "saturday": "10:00-14:00"},
            languages=("fi", "en", "ru", "et"),
            phone="014 555 0322",
            email="kotiapu@kapylintu.example",
            web="https://kapylintu.example",
            takes_new=True,
        ),
        "siivousapu": Profile(
            {
                "fi": "Viikkosiivous, ikkunat ja suursiivous. Omat aineet ja välineet, tuoksuttomina.",
                "sv": "Veckostädning, fönster och storstädning. Egna parfymfria medel och redskap.",
                "en": "Weekly cleaning, windows and spring cleaning. We bring our own, unscented products.",
            },
            hours={"weekday": "08:00-17:00"},
            takes_new=False,
        ),
    },
    "9000303-6": {
        GENERAL: Profile(
            {
                "fi": "Rauhallinen terapiahuone satamassa ja etävastaanotto videolla. Puhumme parisuhteesta, erosta, "
                "uusperheestä ja väsymyksestä. Terapeuttimme ovat Valviran rekisterissä.",
                "sv": "Ett lugnt terapirum vid hamnen, och mottagning på distans per video. Vi talar om "
                "parförhållandet, skilsmässa, nyfamiljer och trötthet. Våra terapeuter finns i Valviras register.",
                "en": "A calm room at the harbour, and meetings by video. We talk about your relationship, separation, "
                "new families and tiredness. Our therapists are in Valvira's register.",
            },
            areas=("Kuusiranta", "Leppälahti"),
            hours={"weekday": "10:00-18:00", "evening": "18:00-20:30", "saturday": "10:00-15:00"},
            languages=("fi", "sv", "en", "so", "fse"),
            phone="014 555 0333",
            email="ajanvaraus@tyynesatama.example",
            web="https://tyynesatama.example/pariterapia",
            takes_new=True,
        ),
    },
    "9000404-7": {
        GENERAL: Profile(
            {
                "fi": "Pieni leppälahtelainen yritys, kolme työntekijää. Tunnemme paikat ja ihmiset. Autamme lasten, "
                "ruoan ja siivouksen kanssa, myös illalla ja viikonloppuna.",
                "sv": "Ett litet företag i Leppälahti med tre anställda. Vi känner trakten och människorna. Vi hjälper "
                "med barn, mat och städning, också på kvällar och veckoslut.",
                "en": "A small company in Leppälahti, three of us. We know the place and its people. We help with "
                "children, food and cleaning, in the evening and at weekends, too.",
            },
            areas=("Leppälahti",),
            hours={"weekday": "08:00-18:00", "evening": "18:00-21:00", "saturday": "", "sunday": ""},
            languages=("fi", "uk", "ru"),
            phone="014 555 0344",
            email="arjenapu@leppalahti.example",
            takes_new=False,
        ),
    },
    "9000505-8": {
        GENERAL: Profile(
            {
                "fi": "Siivoamme perheiden kodit kerran viikossa, kahdessa tai kuussa. Sama siivooja, sama päivä.",
                "sv": "Vi städar familjers hem varje vecka, varannan vecka eller en gång i månaden. Samma städare, "
                "samma dag.",
                "en": "We clean families' homes once a week, a fortnight or a month. The same cleaner, the same day.",
            },
            areas=AROUND,
            hours={"weekday": "07:30-16:30"},
            languages=("fi", "en", "vi", "th"),
            phone="014 555 0355",
            email="siivous@kirkaskuura.example",
            web="https://kirkaskuura.example",
            takes_new=True,
        ),
    },
}


async def load_profiles(conn: Connection, *, actor: str) -> None:
    """Tell what is told of nobody yet; what somebody has written since stays."""
    for business_id, wanted in PROFILES.items():
        provider = await find_provider(conn, business_id)
        kept = await profiles_of(conn, provider_id=provider.provider_id)
        if kept.is_empty:
            for programme, profile in wanted.items():
                await set_profile(
                    conn, provider_id=provider.provider_id, programme=programme, profile=profile, actor=actor
                )
