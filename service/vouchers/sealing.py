"""Codes and contacts in the forms in which they are stored: found by index, told again by opening. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from uuid import UUID

from service.channels.operations.outbox import contact_context
from service.channels.suppressions import PURPOSE
from service.crypto import Keys
from service.ids import new_id
from service.vouchers.codes import last_four, make_code
from service.vouchers.model import Beneficiary, Contact
from service.vouchers.queries.issuing import SealedCode, SealedContact

CODE_PURPOSE = "code"
PHONE_PURPOSE, EMAIL_PURPOSE = PURPOSE["sms"], PURPOSE["email"]


def draw_code(keys: Keys, digits: int, code_id: UUID | None = None) -> SealedCode:
    """A random code, under a new id unless one is given, ready to be stored. Nobody ever holds it open."""
    return seal_code(keys, code_id or new_id(), make_code(secrets.randbelow, digits))


def seal_code(keys: Keys, code_id: UUID, code: str) -> SealedCode:
    return SealedCode(
        code_id=code_id,
        code_index=keys.index.current(CODE_PURPOSE, code),
        previous_index=keys.index.previous(CODE_PURPOSE, code),
        index_key=keys.index.key_id,
        sealed=keys.sealer.seal(code, code_context(code_id)),
        sealed_key=keys.sealer.key_id,
        last_four=last_four(code),
    )


def open_code(keys: Keys, code_id: UUID, sealed: bytes) -> str:
    """Raises SealBroken."""
    return keys.sealer.open(sealed, code_context(code_id))


def seal_contact(keys: Keys, organiser_id: UUID, contact: Contact) -> SealedContact:
    context = contact_context(organiser_id)
    return SealedContact(
        language=contact.language,
        phone_sealed=keys.sealer.seal(contact.phone, context) if contact.phone else None,
        phone_index=keys.index.current(PHONE_PURPOSE, contact.phone) if contact.phone else None,
        email_sealed=keys.sealer.seal(contact.email, context) if contact.email else None,
        email_index=keys.index.current(EMAIL_PURPOSE, contact.email) if contact.email else None,
        preferred=contact.preferred,
    )


def open_contact(keys: Keys, organiser_id: UUID, beneficiary: Beneficiary) -> Contact:
    """Raises SealBroken."""
    context = contact_context(organiser_id)
    phone, email = beneficiary.phone_sealed, beneficiary.email_sealed
    return Contact(
        phone=keys.sealer.open(phone, context) if phone else None,
        email=keys.sealer.open(email, context) if email else None,
        language=beneficiary.language,
        preferred=beneficiary.preferred,
    )


def seal_fingerprint(keys: Keys, organiser_id: UUID, decision_ref: str, content: str) -> bytes:
    """What a decision's content was, in a form that only says "the same" or "another".

    A digest, because the content has contacts in it; sealed, because anybody could try phone numbers against a bare
    digest. Not a blind index: nothing is looked up by it, and a sealed value can be moved to a new key without the
    content, which is not kept.
    """
    digest = hashlib.sha256(content.encode()).hexdigest()
    return keys.sealer.seal(digest, decision_context(organiser_id, decision_ref))


def is_same_content(keys: Keys, organiser_id: UUID, decision_ref: str, fingerprint: bytes, content: str) -> bool:
    """Raises SealBroken."""
    digest = keys.sealer.open(fingerprint, decision_context(organiser_id, decision_ref))
    return hmac.compare_digest(digest, hashlib.sha256(content.encode()).hexdigest())


def decision_context(organiser_id: UUID, decision_ref: str) -> bytes:
    return b"decision" + organiser_id.bytes + decision_ref.encode()


def code_context(code_id: UUID) -> bytes:
    return b"code" + code_id.bytes
