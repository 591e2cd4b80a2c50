"""What is said of an environment that does not fit together."""

from __future__ import annotations

import pytest

from service.settings import MissingSettings, load_settings
from tests.organisers.test_commands import ENVIRONMENT


def test_what_is_wrong_with_two_settings_together_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {"DATABASE_URL": "postgresql://127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1/0"}
    for name, value in {**ENVIRONMENT, **urls, "LEASE_S": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MissingSettings) as refusal:
        load_settings()
    assert "\n  LEASE_S must be at least GATEWAY_TIMEOUT_S" in str(refusal.value)
