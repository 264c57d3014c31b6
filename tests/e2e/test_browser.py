"""What people see: a real browser on a real stack."""

import pytest

from tests.e2e.square import running_square
from tests.services import require

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a square without a simulator: its bins change when the test says so."""
    with running_square(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    """Give the system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=require("chromium"), args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()
