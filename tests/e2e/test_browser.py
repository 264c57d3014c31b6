"""What people see: a real browser on a real stack."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.e2e.square import running_square
from tests.services import require, wait_until

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
DEVICE = "rsk-b001"


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a square without a simulator: its bins change when the test says so."""
    with running_square(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    """Give the system's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=require("chromium"), args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """Give a page of desktop size; any error of the page's own script fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


def count_near(png, colour, tolerance=12):
    """Count the pixels of a screenshot that have a colour, give or take what blending does."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((np.abs(pixels - colour) <= tolerance).all(axis=2).sum())


VERMILION = (0xD2, 0x43, 0x2A)
"""The colour of a full bin, see dashboard_api/web/src/map/palette.ts."""


def row(page, asset):
    return page.locator(f'[data-testid="asset-row"][data-asset="{asset}"]').first


def test_a_bin_changes_colour_on_the_map(square, browser, page):
    """A bin that fills turns vermilion on the drawn map, in its list twin and in words, without a reload."""
    asset = square.stack.registry.device(DEVICE).asset
    device = square.device(DEVICE, boot=900)
    device.send({"seq": 1, "ts": square.now_s() - 60, "fill_pct": 12, "quality": 4})
    wait_until(lambda: square.bin_state(asset)["fill_pct"] == 12, 10, "the first reading")
    page.goto(square.stack.address)
    page.wait_for_selector('[data-testid="map"][data-bins-drawn="48"]', timeout=30_000)
    assert row(page, asset).get_attribute("data-level") == "empty"
    drawing = page.locator('[data-testid="map"] canvas').first
    page.wait_for_timeout(1500)
    calm = drawing.screenshot()
    assert count_near(calm, VERMILION) == 0
    device.send({"seq": 2, "ts": square.now_s() - 30, "fill_pct": 93, "quality": 4})
    device.send({"seq": 3, "ts": square.now_s(), "fill_pct": 93, "quality": 4})
    page.wait_for_selector(f'[data-testid="asset-row"][data-asset="{asset}"][data-level="full"]', state="attached")
    page.wait_for_timeout(1500)
    assert count_near(drawing.screenshot(), VERMILION) > 60
    device.close()


def test_a_crew_member_does_the_work(square, browser):
    """A task is accepted and done on a phone-sized page, and the office sees both."""
    asset = square.stack.registry.device("rsk-b002").asset
    device = square.device("rsk-b002", boot=901)
    for seq in (1, 2, 3):
        device.send({"seq": seq, "ts": square.now_s() - 30 + seq, "fill_pct": 95, "quality": 4})

    def task():
        tasks = [item for item in square.get("/api/v1/state")["tasks"] if item["asset_id"] == asset]
        return tasks[0] if tasks else {}

    wait_until(lambda: bool(task().get("crew_id")), 15, "the task to be given out")
    token = json.loads(square.stack.folder.crew_links.read_text())[task()["crew_id"]]
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(f"{square.stack.address}petugas/{token}")
    card = phone.locator(f'[data-testid="task"][data-task="{task()["id"]}"]')
    card.locator('[data-testid="accept"]').click()
    wait_until(lambda: task()["state"] == "accepted", 10, "the acceptance")
    card.locator('[data-testid="done"]').click()
    card.locator('[data-testid="confirm-done"]').click()
    wait_until(lambda: task()["state"] == "claimed", 10, "the claim")
    for seq in (4, 5, 6):
        device.send({"seq": seq, "ts": square.now_s() + seq - 3, "fill_pct": 4, "quality": 4})
    wait_until(lambda: task()["state"] == "verified", 15, "the sensor to agree")
    phone.close()
    device.close()


def test_nothing_is_asked_of_the_internet(square, page):
    """The map works with no internet: every request stays on this machine."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(square.stack.address)
    page.wait_for_selector('[data-testid="map"][data-bins-drawn="48"]', timeout=30_000)
    foreign = [url for url in asked if not url.startswith((square.stack.address, "blob:", "data:"))]
    assert not foreign


def test_a_wrong_crew_link_says_so(square, browser):
    """A link that nobody has is explained on the page, and shows no task."""
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(f"{square.stack.address}petugas/not-a-real-token")
    phone.wait_for_selector('[data-testid="invalid-link"]')
    assert phone.locator('[data-testid="task"]').count() == 0
    phone.close()
