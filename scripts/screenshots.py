"""Takes the pictures of the README: a busy simulated square, seen on a desktop and on a phone.

Usage: ``.venv/bin/python scripts/screenshots.py [FOLDER]``. Needs Chromium; the folder defaults to docs/img.
"""

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from resik.folder import DataFolder
from resik.ports import free_port
from resik.screen import poll
from resik.stack import Stack, StackSettings

ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
RUN_S = 55
"""Long enough at x30 for tasks in every state [s]."""


def picture(browser: Browser, url: str, file: Path, width: int, height: int) -> None:
    """Save one page as a PNG; phones at double density."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, device_scale_factor=1 if width > 600 else 2, color_scheme="light"
    )
    page.goto(url)
    page.wait_for_timeout(5000)
    page.screenshot(path=file)
    page.close()


def _crews(stack: Stack) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{stack.address}api/v1/state", timeout=10) as reply:  # noqa: S310 - loopback
        state: dict[str, Any] = json.load(reply)
    return [crew for crew in state["crews"] if crew["on_shift"]]


def main() -> None:
    """Run the square and take the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/img")
    folder.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="resik-pictures-"))
    simulate = {"seed": "4", "initial_fill_min_pct": "15", "initial_fill_max_pct": "95"}
    stack = Stack(
        StackSettings(port=free_port(), start="16:20"), DataFolder(room / "data", "simulated"), simulate=simulate
    )
    with stack.running(), sync_playwright() as driver:
        chromium = shutil.which("chromium") or "chromium"
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        until = time.monotonic() + RUN_S
        while time.monotonic() < until:
            stack.supervise()
            poll(stack)
            time.sleep(0.2)
        links = json.loads(stack.folder.crew_links.read_text(encoding="utf-8"))
        picture(browser, stack.address, folder / "map-desktop.png", 1440, 900)
        picture(browser, stack.address, folder / "map-phone.png", 390, 844)
        busiest = max(_crews(stack), key=lambda crew: crew["open_tasks"])
        picture(browser, f"{stack.address}petugas/{links[busiest['id']]}", folder / "crew-phone.png", 390, 844)
        browser.close()
    shutil.rmtree(room)


if __name__ == "__main__":
    main()
