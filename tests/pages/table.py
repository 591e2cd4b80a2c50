"""Every page in its states: a new page joins with a line here, and is then looked at in every way.

`test_every_page.py` asks of each that axe-core finds nothing to complain of, that it fits a narrow screen, weighs
little, waits for no script and breaks no policy. A route that GET shows and that is neither here nor in NOT_LOOKED_AT
fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page

Act = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One page in one state.

    `path` is the route's, as in the table of pages. `at` is the address, its {names} filled in from the world; without
    one it is `path`. `who` is a role, or halfway to one; None is anybody, "support" has a support
    key and a "stranger" a wrong one. `act` is what
    is done there before it is looked at: most errors are seen by sending a form.
    """

    path: str
    who: str | None = None
    state: str = ""
    at: str = ""
    status: int = 200
    act: Act | None = None

    @property
    def address(self) -> str:
        return self.at or self.path

    @property
    def name(self) -> str:
        path = self.path.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "home"
        return f"{path}{'-' if self.state else ''}{self.state.replace(' ', '-')}"


def send(fields: dict[str, str] | None = None, *, button: str = "main form button.main", opens: str = "") -> Act:
    """Fill fields in, by the ids of their inputs, and press a button. What the browser would check, it does not."""

    async def act(page: Page) -> None:
        if opens:
            await page.locator(opens).click()
        for name, value in (fields or {}).items():
            await page.locator(f"[id='{name}']").first.fill(value)
        await page.evaluate("for (const form of document.forms) form.noValidate = true")
        async with page.expect_navigation():
            await page.locator(button).first.click()

    return act


def unfold() -> Act:
    async def act(page: Page) -> None:
        await page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")

    return act


DECISION = {
    "granted": "12",
    "valid_to": "2099-01-01",
    "phone": "040 123 4567",
    "decision_ref": "KH-x",
    "client_ref": "p-x",
}
SIGNING_IN = (
    Visit("/sign-in"),
    Visit("/sign-in", state="wrong", act=send({"email": "aino@seteli.test", "password": "väärin meni"})),
    Visit("/sign-in", state="ended", at="/sign-in?ended=1"),
    Visit("/sign-in/second-step", "second step", act=unfold()),
    Visit(
        "/sign-in/second-step",
        "second step",
        state="wrong",
        act=send({"code": "000000"}, button="main form button"),
    ),
    Visit("/sign-in/set-up", "enrolling"),
    Visit("/sign-in/forgotten"),
    Visit("/sign-in/forgotten", state="asked", act=send({"email": "aino@seteli.test"})),
    Visit("/sign-in/new-password/{token}", at="/sign-in/new-password/{recovery}"),
    Visit(
        "/sign-in/new-password/{token}",
        state="short",
        at="/sign-in/new-password/{recovery}",
        act=send({"password": "lyhyt"}),
    ),
    Visit("/sign-in/new-password/{token}", state="gone", at="/sign-in/new-password/x", status=404),
    Visit("/invitation/{token}", at="/invitation/{invitation}"),
    Visit("/invitation/{token}", state="short", at="/invitation/{invitation}", act=send({"password": "lyhyt"})),
)
ACCOUNTS = (
    Visit("/people", "provider_admin"),
    Visit("/people/invite", "provider_admin"),
    Visit("/people/invite", "provider_admin", state="wrong", act=send({"name": "Aino", "email": "nobody"})),
    Visit("/people/{person_id}", "provider_admin", at="/people/{person}"),
    Visit("/account", "provider_admin"),
    Visit("/account/password", "office"),
    Visit("/account/password", "office", state="wrong", act=send({"old": "x", "password": "lyhyt"})),
    Visit("/account/app", "office"),
    Visit("/account/passkey", "office"),
    Visit("/account/recovery-codes", "office"),
)
PROVIDER = (
    Visit("/provider"),
    Visit("/provider", "worker", state="code"),
    Visit("/provider", "worker", state="unknown", act=send({"code": "4827 0315 9268"})),
    Visit("/provider/visits/{lookup_id}", "worker", at="/provider/visits/{lookup}", act=unfold()),
    Visit("/provider/visits/{lookup_id}", "worker", state="sessions", at="/provider/visits/{therapy_lookup}"),
    Visit("/provider/visits/{lookup_id}", "worker", state="suspended", at="/provider/visits/{dead_lookup}"),
    Visit("/provider/visits/{lookup_id}/book", "worker", at="/provider/visits/{lookup}/book"),
    Visit("/provider/visits/{lookup_id}/confirm", "worker", at="/provider/visits/{lookup}/confirm?day={today}&hours=1"),
    Visit(
        "/provider/visits/{lookup_id}/confirm",
        "worker",
        state="too much",
        at="/provider/visits/{lookup}/confirm?day={today}&hours=20",
    ),
    Visit(
        "/provider/visits/{lookup_id}/confirm",
        "worker",
        state="unclear",
        status=400,
        at="/provider/visits/{lookup}/confirm?day=x",
    ),
    Visit(
        "/provider/visits/{lookup_id}/receipt",
        "worker",
        at="/provider/visits/{therapy_lookup}/confirm?day={today}&count=1&duplicate=yes",
        act=send(),
    ),
    Visit("/provider/bookings", "office"),
    Visit("/provider/bookings/{hold_id}", "office", at="/provider/bookings/{hold}", act=unfold()),
    Visit("/provider/history", "office"),
    Visit("/provider/history", "worker", state="of a worker"),
    Visit("/provider/history", "office", state="nothing", at="/provider/history?last_four=0000"),
    Visit("/provider/history/{debit_id}", "office", at="/provider/history/{debit}", act=unfold()),
    Visit("/provider/history/{debit_id}", "office", state="taken back", at="/provider/history/{reversed_debit}"),
    Visit("/provider/workers", "provider_admin"),
)
DESK = (
    Visit("/desk", "caseworker", act=unfold()),
    Visit("/desk", "caseworker", state="wrong", act=send({"granted": "much", "phone": "014 555 0101"})),
    Visit("/desk", "caseworker", state="preview", act=send(DECISION)),
    Visit("/desk/vouchers", "caseworker"),
    Visit("/desk/vouchers", "caseworker", state="found", act=send({"text": "KH-voucher"})),
    Visit("/desk/vouchers/{voucher_id}", "supervisor", at="/desk/vouchers/{voucher}", act=unfold()),
    Visit("/desk/vouchers/{voucher_id}", "caseworker", state="suspended", at="/desk/vouchers/{dead}", act=unfold()),
    Visit("/desk/vouchers/{voucher_id}/delivery", "caseworker", at="/desk/vouchers/{voucher}/delivery"),
    Visit(
        "/desk/vouchers/{voucher_id}/delivery", "caseworker", state="arrived", at="/desk/vouchers/{reached}/delivery"
    ),
    Visit("/desk/vouchers/{voucher_id}/log", "supervisor", at="/desk/vouchers/{voucher}/log"),
    Visit(
        "/desk/vouchers/{voucher_id}/do/{action}", "caseworker", state="cancel", at="/desk/vouchers/{voucher}/do/cancel"
    ),
    Visit(
        "/desk/vouchers/{voucher_id}/do/{action}",
        "caseworker",
        state="contact",
        at="/desk/vouchers/{voucher}/do/contact",
    ),
    Visit(
        "/desk/vouchers/{voucher_id}/do/{action}",
        "caseworker",
        state="no reason",
        at="/desk/vouchers/{voucher}/do/suspend",
        act=send(button="main form button"),
    ),
    Visit(
        "/desk/vouchers/{voucher_id}/holds/{hold_id}/void",
        "caseworker",
        at="/desk/vouchers/{voucher}/holds/{hold}/void",
    ),
    Visit(
        "/desk/vouchers/{voucher_id}/visits/{debit_id}/{action}",
        "caseworker",
        at="/desk/vouchers/{voucher}/visits/{debit}/resolve",
    ),
    Visit(
        "/desk/vouchers/{voucher_id}/visits/{debit_id}/{action}",
        "caseworker",
        state="nothing left",
        at="/desk/vouchers/{voucher}/visits/{reversed_debit}/dispute",
    ),
    Visit("/desk/attention", "caseworker", act=unfold()),
    Visit("/desk/import", "caseworker"),
    Visit("/desk/import", "caseworker", state="no file", act=send()),
    Visit("/desk/import/{import_id}", "caseworker", at="/desk/import/{waiting_file}", act=unfold()),
    Visit("/desk/import/{import_id}", "caseworker", state="begun", at="/desk/import/{begun_file}"),
    Visit("/desk/import/{import_id}", "caseworker", state="done", at="/desk/import/{done_file}"),
    Visit("/desk/import/{import_id}", "caseworker", state="failed", at="/desk/import/{failed_file}"),
    Visit("/desk/programmes", "organiser_admin"),
    Visit("/desk/programmes/{programme}", "organiser_admin", at="/desk/programmes/kotipalvelu", act=unfold()),
    Visit(
        "/desk/programmes/{programme}",
        "organiser_admin",
        state="what changes",
        at="/desk/programmes/kotipalvelu",
        act=send({"weekday_cents": "35"}, opens=":nth-match(main details summary, 1)", button="main form button.main"),
    ),
    Visit(
        "/desk/programmes/{programme}",
        "organiser_admin",
        state="withdrawing rules",
        at="/desk/programmes/kotipalvelu",
        act=send(button="form[action$='/withdraw'] button"),
    ),
    Visit("/desk/programmes/_new", "organiser_admin", act=unfold()),
    Visit("/desk/programmes/_new", "organiser_admin", state="wrong", act=send({"programme": "Äiti"})),
    Visit("/desk/providers", "supervisor", act=unfold()),
    Visit("/desk/providers", "organiser_admin", state="of an admin", act=unfold()),
    Visit("/desk/providers/{business_id}", "supervisor", at="/desk/providers/9000101-4", act=unfold()),
    Visit(
        "/desk/providers/{business_id}",
        "organiser_admin",
        state="nobody yet",
        at="/desk/providers/9000202-5",
        act=unfold(),
    ),
    Visit(
        "/desk/providers/{business_id}",
        "supervisor",
        state="ending approvals",
        at="/desk/providers/9000101-4",
        act=send(
            {"reason": "lopettaa toimintansa"},
            opens="details:has(form[action$='/end']) summary",
            button="form[action$='/end'] button",
        ),
    ),
    Visit("/desk/overview", "caseworker", act=unfold()),
    Visit("/desk/overview", "supervisor", state="nothing", at="/desk/overview?period=4w&programme=pariterapia"),
    Visit("/desk/overview/region", "supervisor", act=unfold()),
)
_HOME_HELP = "organiser=leppalahti&programme=kotipalvelu"
DIRECTORY = (
    Visit("/directory"),
    Visit("/directory", state="nowhere", at="/directory?area=Utsjoki"),
    Visit("/directory", state="list", at=f"/directory?{_HOME_HELP}", act=unfold()),
    Visit("/directory", state="nobody", at=f"/directory?{_HOME_HELP}&name=x&when=evening"),
    Visit("/directory", state="unknown", at="/directory?organiser=x&programme=y", status=404),
    Visit("/directory/providers/{business_id}", at=f"/directory/providers/9000101-4?{_HOME_HELP}"),
    Visit("/directory/providers/{business_id}", state="money", at="/directory/providers/9000505-8"),
    Visit(
        "/directory/compare",
        at=f"/directory/compare?{_HOME_HELP}&provider=9000101-4&provider=9000202-5&provider=9000404-7",
    ),
    Visit("/directory/compare", state="nobody", at=f"/directory/compare?{_HOME_HELP}"),
    Visit("/how-it-works"),
    Visit("/provider/profile", "office"),
    Visit("/provider/profile", "office", state="one service", at="/provider/profile?programme=kotipalvelu"),
    Visit("/provider/profile", "office", state="preview", act=send(button="button.second")),
    Visit("/provider/profile", "office", state="wrong", act=send({"web": "http://x", "phone": "x"})),
)
SUPPORT = (
    Visit("/support", "support"),
    Visit("/support", "support", state="no reason", act=send(button="main form button")),
    Visit("/support", "stranger", state="closed", status=401),
)
FAMILY = (
    Visit("/f/{link}", at="/f/{link}?lang={language}"),
    Visit("/f/{link}", state="unused", at="/f/{unused_link}?lang={language}"),
    Visit("/f/{link}", state="suspended", at="/f/{suspended_link}?lang={language}"),
    Visit("/f/{link}", state="dead", at="/f/x?lang={language}", status=404),
    Visit("/f/{link}/visits/{debit_id}", at="/f/{link}/visits/{asked_debit}?lang={language}"),
    Visit("/f/{link}/visits/{debit_id}", state="said", at="/f/{link}/visits/{debit}?lang={language}"),
    Visit("/f/{link}/visits/{debit_id}", state="taken back", at="/f/{link}/visits/{reversed_debit}?lang={language}"),
)
ELSEWHERE = (
    Visit("/nowhere", state="not found", status=404),
    Visit("/desk/nowhere", "caseworker", state="not found", status=404),
    Visit("/desk/vouchers/{voucher_id}", "caseworker", state="not found", at="/desk/vouchers/x", status=404),
    Visit("/desk", "worker", state="forbidden", status=403),
)

VISITS = (*SIGNING_IN, *ACCOUNTS, *PROVIDER, *DESK, *DIRECTORY, *SUPPORT, *FAMILY, *ELSEWHERE)

NOT_LOOKED_AT = {
    "/": "leads on to where one begins",
    "/provider/history.csv": "a file",
    "/d": "leads on to the directory",
    "/d/{organiser}": "leads on to the directory",
    "/desk/overview/region.csv": "a file",
    "/desk/overview/{table}.csv": "a file",
    "/sign-in/organisation": "leads on to the organisation's own page",
    "/sign-in/organisation/back": "leads on, or shows the page of signing in with an error",
    "/desk/import/{import_id}/part": "a part of a page that is looked at",
    "/desk/import/{import_id}/rejected.csv": "a file",
    "/desk/vouchers/{voucher_id}/delivery/part": "a part of a page that is looked at",
    "/assets/{name}": "no page",
    "/assets/third-party/{digest}/{package}/{name}": "no page",
}
