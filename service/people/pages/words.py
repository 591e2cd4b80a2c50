"""What roles and events are called on the pages."""

from __future__ import annotations

from service.people.model import ROLES, Owner
from service.web.pages import N_, PageCall

ROLE_NAMES = {
    "worker": N_("Worker"),
    "office": N_("Office"),
    "provider_admin": N_("Provider’s admin"),
    "caseworker": N_("Caseworker"),
    "supervisor": N_("Supervisor"),
    "organiser_admin": N_("Organiser’s admin"),
}
EVENT_NAMES = {
    "invited": N_("Invited"),
    "invitation_accepted": N_("Accepted the invitation"),
    "password_refused": N_("Wrong password"),
    "password_changed": N_("Changed the password"),
    "password_recovered": N_("Chose a new password by a mailed link"),
    "recovery_asked": N_("Asked for a new password"),
    "app_added": N_("Set up an authenticator app"),
    "app_removed": N_("Removed the authenticator app"),
    "passkey_added": N_("Added a passkey"),
    "passkey_removed": N_("Removed a passkey"),
    "recovery_codes_made": N_("Made new recovery codes"),
    "second_factors_reset": N_("Second step reset by an admin"),
    "signed_in_with_app": N_("Signed in with the app"),
    "signed_in_with_passkey": N_("Signed in with a passkey"),
    "signed_in_with_recovery_code": N_("Signed in with a recovery code"),
    "signed_in_with_organisation": N_("Signed in with the organisation’s account"),
    "organisation_linked": N_("Linked the organisation’s account"),
    "removed": N_("Removed"),
    **{f"role_{role}": N_("Role changed") for roles in ROLES.values() for role in roles},
}


def role_name(call: PageCall, role: str) -> str:
    return call.gettext(ROLE_NAMES[role])


def role_options(call: PageCall, owner: Owner) -> list[tuple[str, str]]:
    """The roles of an owner's people, as a choice."""
    return [(role, role_name(call, role)) for role in ROLES[owner]]


def event_name(call: PageCall, action: str) -> str:
    return call.gettext(EVENT_NAMES.get(action, action))
