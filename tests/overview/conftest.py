"""An installation with the sample data for the tests of the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation
