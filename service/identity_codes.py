"""Finnish personal identity codes, to keep them out: no text that somebody sends us may hold one. Pure.

They are never stored (docs/api.md): an opaque reference of the case system identifies the family.
"""

from __future__ import annotations

import re

from stdnum.fi import hetu

from service.errors import Invalid

# Century signs: + - and letters (those in use since 2023 too), with the dashes that word processors make of a hyphen.
_SHAPE = re.compile(r"\d{6}[-+‐‑–−A-FU-Y]\d{3}[0-9A-Y]", re.ASCII | re.IGNORECASE)


class PersonalIdentityCode(Invalid):
    """`field` holds a Finnish personal identity code. Those are never stored; an opaque reference belongs there."""

    code = "personal_identity_code"


def refuse_identity_code(field: str, text: str) -> None:
    """Raises PersonalIdentityCode when a valid code stands anywhere in the text; temporary ones (900–999) count."""
    found = _SHAPE.search(text)
    while found is not None:
        if hetu.is_valid(found[0], allow_temporary=True):
            raise PersonalIdentityCode(field=field)
        found = _SHAPE.search(text, found.start() + 1)
