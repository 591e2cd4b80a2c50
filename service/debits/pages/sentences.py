"""What a refusal says on a page, where the sentences that the API has for programs would not help a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from service.debits.model import (
    AmountDiffersFromTimes,
    AmountRequired,
    CaptureAboveHold,
    CaptureOnAnotherDay,
    CredentialBlocked,
    DebitNotFound,
    HoldEnded,
    HoldNotFound,
    PossibleDuplicate,
    RulesChanging,
    TimesRequired,
)
from service.debits.tariffs import VisitTimeAmbiguous, VisitTimesIncomplete, VisitTimeSkipped
from service.errors import DatabaseUnavailable, InvalidRequest, OutcomeUnknown, RequestInFlight, SeteliError
from service.problems import Problem, catalogue, fill_in
from service.web.pages import N_, PageCall
from service.web.pages.calls import errors_by_field

_DETAILS: Mapping[str, str] = {
    InvalidRequest.code: N_("Something is missing, or is not possible."),
    CredentialBlocked.code: N_("Too many unknown codes were tried. You can go on from {retry_at}."),
    CaptureAboveHold.code: N_("{held_text} is booked; you asked for {requested_text}."),
    CaptureOnAnotherDay.code: N_("The booking is for {service_date}, and the times are of another day."),
    HoldEnded.code: N_("This booking is no longer open: it is {state}."),
    HoldNotFound.code: N_("There is no such booking here."),
    DebitNotFound.code: N_("There is no such visit here."),
    VisitTimeAmbiguous.code: N_("The clocks went back that night, and showed this time twice."),
    VisitTimeSkipped.code: N_("The clocks went forward that night, and never showed this time."),
    OutcomeUnknown.code: N_("The connection broke, and it is not certain yet whether it was done."),
    RequestInFlight.code: N_("Somebody is charging this same voucher at this moment."),
}
_NEXT_STEPS: Mapping[str, str] = {
    InvalidRequest.code: N_("Correct what is marked below."),
    CredentialBlocked.code: N_("Check the codes with the families. The service's support can lift the stop earlier."),
    CaptureAboveHold.code: N_("Charge at most what is booked, and the rest as a visit of its own with the code."),
    CaptureOnAnotherDay.code: N_("Charge a visit of another day with the code, and cancel the booking."),
    HoldNotFound.code: N_("Look at the list of bookings."),
    DebitNotFound.code: N_("Look at the list of visits."),
    VisitTimeAmbiguous.code: N_("Leave the times out and fill in how long the visit was."),
    VisitTimeSkipped.code: N_("Correct the time."),
    VisitTimesIncomplete.code: N_("Fill in both times, or leave both empty."),
    TimesRequired.code: N_("Fill in when the visit began and when it ended."),
    AmountRequired.code: N_("Fill in how much is charged, or when the visit began and ended."),
    AmountDiffersFromTimes.code: N_("Correct one of them, or leave one of them empty."),
    PossibleDuplicate.code: N_("Look at the list of visits. If there were two visits, you can charge this one, too."),
    RulesChanging.code: N_("Try again in a moment."),
    OutcomeUnknown.code: N_("Press the button again. It is charged once, however often you press."),
    RequestInFlight.code: N_("Press the button again in a moment. It is charged once, however often you press."),
    DatabaseUnavailable.code: N_("Press the button again in a moment. It is charged once, however often you press."),
}


def explain(call: PageCall, error: SeteliError) -> Problem:
    """The error's sentences for a person, in the visitor's language."""
    usual = catalogue(call.language)[error.code]
    detail, next_step = _DETAILS.get(error.code), _NEXT_STEPS.get(error.code)
    entry = {
        **usual,
        **({} if detail is None else {"detail": call.gettext(detail)}),
        **({} if next_step is None else {"next_step": call.gettext(next_step)}),
    }
    return fill_in(entry, error.details, call.language)


def refused(call: PageCall, error: SeteliError) -> PageCall:
    """The call with why it was refused, for the page that is shown again."""
    return replace(call, problem=explain(call, error), errors=errors_by_field(error, call.language))
