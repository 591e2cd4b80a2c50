from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from service.people import passwords


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password takes some 20 ms to check, on purpose; test_passwords.py looks at how they are really kept."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
