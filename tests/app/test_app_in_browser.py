"""The page of `numpro app` in a real browser, with the included tiny model: from the upload to the answer and the downloads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.videos import write_counter_video

from numpro_plugin.app.finding import find
from numpro_plugin.app.models import load_models
from numpro_plugin.app.uploads import Uploads

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")]
pytest.importorskip("gradio", reason="needs gradio: pip install '.[app]'")

EVIL = "<script>window.broken = 1</script> שלום 日本語"


class Gate:
    """Asks the model, but waits for permission while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.at_work = 0
        self.most_at_work = 0

    def __call__(self, *arguments):
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        self.open.wait(60)
        try:
            return find(*arguments)
        finally:
            self.at_work -= 1


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        yield browser
        browser.close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # serving() sets them; the test takes them back
    from numpro_plugin.app.demo_videos import DemoVideo
    from numpro_plugin.app.server import serving

    uploads, gate = Uploads(), Gate()
    made = uploads.folder / "demo" / "circle.mp4"
    made.parent.mkdir()
    write_counter_video(made, [250 * k for k in range(40)], rate=4)
    demo = [DemoVideo("1: a circle", made, ("a green circle",))]
    with serving(load_models([], demo=True), uploads, demo, max_upload_mb=1, finder=gate) as address:
        yield address, uploads, gate
    uploads.remove()


def open_page(browser, address: str, problems: list[str], *, width: int = 1280, scheme: str = "light"):
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:")) else problems.append(request.url))
    page.goto(address)
    page.wait_for_selector("#find")
    return page


def wait_until(is_so) -> None:
    for _ in range(300):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("it never was")


def upload(page, path: Path) -> None:
    if page.locator("#video button[aria-label='Clear']").count():
        page.click("#video button[aria-label='Clear']")
    page.set_input_files("#video input[type=file]", str(path))
    page.wait_for_selector("#video .file-preview")


def ask(page, queries: str) -> None:
    page.fill("#queries textarea", queries)
    page.click("#find")


def test_from_the_upload_to_the_answer(browser, served, tmp_path: Path):
    address, uploads, gate = served
    problems: list[str] = []
    page = open_page(browser, address, problems)

    ask(page, "a door")
    page.wait_for_selector(".np-problem >> text=Drop a video first")
    video = tmp_path / "שלום 日本語 <script>.mp4"
    write_counter_video(video, [250 * k for k in range(40)], rate=4)
    upload(page, video)
    ask(page, " \n ")
    page.wait_for_selector(".np-problem >> text=Say what to look for")

    ask(page, f"a yellow circle\n{EVIL}")
    page.wait_for_selector(".np-found")
    assert [row.inner_text() for row in page.locator(".np-query").all()] == ["1 a yellow circle", f"2 {EVIL}"]
    assert page.locator(".np-frame").count() == 5
    names = page.locator("#downloads a[download]").evaluate_all("links => links.map(link => link.download)")
    assert {"moments.csv", "moments.edl", "moments.srt"} <= set(names)
    with page.expect_download() as started:
        page.locator("#downloads a[download='moments.csv']").click()
    assert EVIL in Path(started.value.path()).read_text(encoding="utf-8")
    page.wait_for_function("document.querySelector('#player video')?.currentTime > 0")  # the moment plays

    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8)
    upload(page, broken)
    ask(page, "a door")
    page.wait_for_selector(".np-problem >> text=broken.mp4: ")
    assert str(uploads.folder) not in page.locator(".np-problem").inner_text()
    assert page.locator(".np-frame").count() == 0
    assert problems == []
    assert page.evaluate("window.broken === undefined")

    # One answers at a time, and the other visitor sees the place in the queue.
    second = open_page(browser, address, problems, width=390, scheme="dark")
    assert second.evaluate("document.body.classList.contains('dark')")
    for one in (page, second):
        upload(one, video)
    gate.open.clear()
    ask(page, "a yellow circle")
    page.wait_for_function("document.querySelector('#timeline').innerText.includes('processing')")
    ask(second, "a blue square")
    second.wait_for_function("document.querySelector('#timeline').innerText.includes('queue: 1/1')")
    gate.open.set()
    for one in (page, second):
        one.wait_for_selector(".np-found")
    assert gate.most_at_work == 1
    assert second.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out sideways
    second.evaluate(
        "document.querySelector('.np-times').textContent = 'no moment found: no range between the numbers of the answer (frame 6)'"
    )
    assert second.locator(".np-query").bounding_box()["width"] > 200  # a long reason does not press the query into a column of letters
    assert problems == []

    # A visitor who leaves takes the upload along, but not the demo's video, which the next one can choose.
    page.close()
    second.reload()
    second.wait_for_selector("#find")
    wait_until(lambda: not list(uploads.visitors.rglob("*.mp4")))
    for _ in range(2):
        third = open_page(browser, address, problems)
        third.click("#demo input")
        third.click("[role=option] >> text=a circle")
        third.wait_for_selector("#video >> text=circle")
        third.click("#find")
        third.wait_for_selector(".np-found >> text=a green circle")
        third.close()
    assert problems == []

    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(1_200_000))
    second.set_input_files("#video input[type=file]", str(large))
    second.wait_for_selector("text=/maximum/i")


@pytest.fixture
def listening_to_ctrl_c():
    """What a shell runs in the background ignores Ctrl-C, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("when", ["loading", "idle", "answering"])
def test_ctrl_c_ends_it_and_leaves_nothing(browser, listening_to_ctrl_c, tmp_path: Path, when: str):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "numpro_plugin.cli", "app", "--demo", "--port", "0"]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading ...\n"
        if when != "loading":
            words = process.stdout.readline().split()
            assert words[0] == "open"
        if when == "answering":
            page = open_page(browser, words[1], [])
            video = tmp_path / "video.mp4"
            write_counter_video(video, [250 * k for k in range(40)], rate=4)
            upload(page, video)
            ask(page, "a yellow circle\n" * 20)
            page.wait_for_function("document.querySelector('#timeline').innerText.includes('processing')")
            assert list(tmp_path.glob("numpro-app-*/visitors/*/video.mp4"))
        assert len(list(tmp_path.glob("numpro-app-*"))) == 1
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.stdout.read() == "stopped; all uploads are removed\n"
    assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("numpro-app-", "gradio"))] == []
