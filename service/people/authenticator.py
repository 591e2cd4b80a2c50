"""What the app on a person's phone is told, and how long each of its codes lasts (RFC 6238). Pure."""

from __future__ import annotations

import pyotp

ISSUER = "Seteli"
STEP_S = 30


def app_address(secret: str, name: str) -> str:
    """What the app reads from the QR code. Names the person, not their address."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
