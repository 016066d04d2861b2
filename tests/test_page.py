"""The page in a real browser: draw, look, attack."""

import contextlib
import pathlib
import re
import shutil
import socket
import threading

import pytest
import uvicorn

from dim_tf import models
from dim_tf.models import saving
from dim_tf.serving import app
from dim_tf.serving.models import Limits
from dim_tf.serving.repository import Repository

playwright = pytest.importorskip("playwright.sync_api")
screenshots = pytest.importorskip("screenshots")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium; install Debian's `chromium`"
    ),
]
LIMITS = Limits(body_bytes=8 << 20, rows=64, waiting=64, seconds=60.0)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a service of the committed models."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("dim", "bi_dim", "cnn"):
        card = saving.read_card(models.find(name))
        saving.export(models.load_outputs(name), card, folder / name)
    repository = Repository(folder)
    repository.refresh()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            app.make(repository, LIMITS, 1000.0), port=port, log_level="error"
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        with contextlib.closing(browser):
            yield browser


@pytest.fixture
def page(browser, url):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda said: said.type == "error" and errors.append(said.text),
    )
    page.goto(url)
    page.wait_for_selector("html[data-ready=true]")
    yield page
    page.close()
    assert not errors


def check_answers(page, digit, *models):
    expect = playwright.expect(page.locator("#answers"))
    for model in models:
        # A slow machine shows answers to unfinished drawings on the way.
        said = re.compile(rf"\b{model} says {digit}")
        expect.to_have_text(said, timeout=20_000)


def test_a_seven_is_drawn_seen_and_attacked(page):
    screenshots.draw_seven(page)
    check_answers(page, 7, "DIM", "biDIM", "CNN")
    winner = page.locator("#classes li.winner")
    assert re.match(r"7\s", winner.inner_text())
    assert "wins" in winner.inner_text()
    assert page.locator("#classes li").count() == 10
    page.select_option("#attack", "linf_pgd")
    page.get_by_role("button", name="Attack").click()
    expect = playwright.expect(page.locator("#outcome"))
    expect.to_have_text(re.compile("CNN falls at 0"), timeout=60_000)
    page.locator("#frame").press("End")
    cnn = page.locator("#targets article", has_text="CNN")
    assert "which is wrong" in cnn.inner_text()
    page.locator("#frame").press("Home")
    assert "CNN says 7" in cnn.inner_text()


def test_a_test_image_by_keyboard(page):
    page.get_by_role("button", name="Test image of a 3").press("Enter")
    check_answers(page, 3, "DIM")
    assert page.locator("#label").input_value() == "3"


def test_drawing_by_keyboard(page):
    pad = page.locator("#pad")
    pad.press(" ")
    for _ in range(20):
        pad.press("ArrowDown")
    check_answers(page, 1, "DIM", "CNN")
    assert "pen down" in pad.get_attribute("aria-label")


def test_a_late_answer_to_an_older_drawing_is_not_shown(page):
    held = []
    page.route("**/demo/digit", lambda route: held.append(route))
    with page.expect_request("**/demo/digit"):
        screenshots.draw_seven(page)
    page.get_by_role("button", name="Test image of a 3").click()
    check_answers(page, 3, "DIM")
    with page.expect_response("**/demo/digit") as late:
        held[0].continue_()
    assert late.value.ok
    page.wait_for_timeout(500)
    check_answers(page, 3, "DIM")


def test_errors_are_said_in_words(page, url):
    page.get_by_role("button", name="Attack").click()
    playwright.expect(page.locator("#outcome")).to_have_text(
        "Draw or choose a digit first."
    )


def test_on_a_phone_nothing_is_cut_off(browser, url):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(url)
    page.wait_for_selector("html[data-ready=true]")
    page.get_by_role("button", name="Test image of a 5").click()
    check_answers(page, 5, "DIM")
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    content, window = page.evaluate(widths)
    assert content <= window
    page.close()


def test_nothing_comes_from_elsewhere():
    static = pathlib.Path(app.__file__).with_name("static")
    for path in static.iterdir():
        assert not re.search(r"https?:|[\"'(]//", path.read_text())
