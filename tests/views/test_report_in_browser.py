"""The report in a real browser: it opens without an error, and search, sorting, filters, keys and the player work."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image
from support.layout import differs
from support.logs import highlight_sample, moment_sample, write_run

from numpro_plugin.views.report import write_report
from numpro_plugin.views.runs import read_runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        yield browser
        browser.close()


@pytest.mark.slow
def test_looking_at_two_runs(browser, runs_folder):
    made = write_report(read_runs([str(runs_folder / "first"), str(runs_folder / "second")]), runs_folder / "report.html")
    problems: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(made.path.as_uri())
        _look(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out sideways
        assert not problems
        assert page.evaluate("window.broken === undefined")


def _look(page) -> None:
    queries = lambda: [row.inner_text() for row in page.locator(".row .query").all()]  # noqa: E731
    page.wait_for_selector(".row")
    assert len(queries()) == 3
    assert page.locator("#detail h3").inner_text() == "a door"
    assert page.locator("#detail .frame").count() == 10
    assert page.locator("#detail video").count() == 1

    page.keyboard.press("j")
    assert page.locator("#detail h3").inner_text().startswith("</script>")
    page.keyboard.press("k")
    page.keyboard.press("/")
    page.keyboard.type("CAT")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('1 of 3')")
    assert queries() == ["a cat"]
    page.keyboard.press("Escape")
    assert len(queries()) == 3

    page.select_option("#sort", "best")
    assert queries()[0] == "a cat"
    page.select_option("#of", "1")
    assert queries()[0] == "a door"
    page.select_option("#filter", "failed")
    assert queries() == ["a cat"]
    page.select_option("#filter", "better")
    assert sorted(queries(), key=len)[0] == "a door"
    assert len(queries()) == 2
    page.select_option("#filter", "all")
    page.fill("#low", "60")
    page.locator("#low").dispatch_event("change")
    assert len(queries()) == 2  # 100 and 66.7
    page.fill("#low", "0")
    page.locator("#low").dispatch_event("change")

    page.locator(".row", has_text="a door").click()
    page.locator("#detail .span.run0").click()
    page.wait_for_function("document.querySelector('#detail video').currentTime >= 2")


@pytest.mark.slow
def test_runs_of_two_tasks_and_without_numbers_keep_their_layout(browser, tmp_path, video):
    moment = moment_sample("q1", str(video), "a door", truth=(2, 6), span=(2, 4))
    moment["numpro"] |= {"truth_s": [[2, 4], [7, 9]], "spans_s": [[2, 4], [6, 9]]}
    plain = moment_sample("q1", str(video), "a door", truth=(2, 6), span=None)
    plain["numpro"]["settings"] = {**plain["numpro"]["settings"], "numbers": False}
    write_run(tmp_path / "a", "numpro_custom", [moment])
    write_run(tmp_path / "b", "numpro_custom_plain", [plain])
    write_run(tmp_path / "c", "numpro_qvhighlights_hd", [highlight_sample("h1", str(video), "a goal")])
    made = write_report(read_runs([str(tmp_path / name) for name in "abc"]), tmp_path / "report.html")
    problems: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(made.path.as_uri())
        page.wait_for_selector(".row")
        assert page.locator("#detail .strip").count() == 2  # with numbers and without
        assert [note.inner_text() for note in page.locator("#detail .look").all()] == [
            "frames of model-7b (custom)",
            "frames of model-7b without numbers",
        ]
        assert page.locator("#detail .span.run0").count() == 2
        page.locator("video").evaluate("video => video.replaceWith(Object.assign(document.createElement('div'), {style: 'height:250px'}))")
        page.evaluate("document.querySelector('.queries').scrollIntoView()")
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.save(tmp_path / f"{width}.png")
        assert differs(shot, f"report_{width}_{scheme}") < 10
        page.keyboard.press("j")
        assert page.locator("#detail h3").inner_text() == "a goal"
        assert page.locator("#detail .span.run2").count() == 2
        assert page.locator("#detail .strip").count() == 1
        page.select_option("#benchmark", "0")
        assert page.locator(".row").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not problems
