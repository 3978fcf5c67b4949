"""One stage for all browser tests: starting it costs more than most of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.stage import Stage, a_stage
from tests.browser.tour import Tour, a_tour
from tests.browser.visit import chromium_path

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and run them on the event loop that the stage lives on."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Run a whole Linkferry with its console, and a browser."""
    if chromium_path() is None:
        message = "Chromium is not installed: apt-get install chromium fonts-dejavu-core"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    async with a_stage(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tour(stage: Stage) -> Tour:
    """Make one of each thing that the console shows."""
    return await a_tour(stage)
