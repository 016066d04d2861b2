"""Takes pictures of the page and of TensorBoard; see screenshots.sh."""

import pathlib
import shutil
import sys
import time
import urllib.error
import urllib.request

from playwright import sync_api

_PATIENCE = 120  # seconds until a server answers
# Strokes of a seven, in shares of the pad.
_SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]


def wait_for(url: str) -> None:
    for _ in range(_PATIENCE):
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except urllib.error.URLError:
            time.sleep(1)
    raise TimeoutError(f"{url} does not answer")


def draw_seven(page: sync_api.Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box
    points = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"])
        for x, y in _SEVEN
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()


def draw_and_attack(page: sync_api.Page) -> None:
    page.wait_for_selector("html[data-ready=true]")
    draw_seven(page)
    sync_api.expect(page.locator("#answers")).to_contain_text("CNN says")
    page.get_by_role("button", name="Attack").click()
    outcome = sync_api.expect(page.locator("#outcome"))
    outcome.to_contain_text("CNN", timeout=60_000)
    page.locator("#frame").press("End")


def main(service: str, page_file: str, board: str, board_file: str) -> None:
    with sync_api.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        wait_for(service)
        page.goto(service)
        draw_and_attack(page)
        page.screenshot(path=pathlib.Path(page_file), full_page=True)
        wait_for(board)
        page.goto(f"{board}/#timeseries")
        page.wait_for_selector("card-view", timeout=60_000)
        time.sleep(5)  # its curves are drawn one after the other
        page.screenshot(path=pathlib.Path(board_file))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
