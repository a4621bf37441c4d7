"""The report as a file: one page, nothing from outside, strangers' text inert."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from support.logs import SMALL, highlight_sample, moment_sample, write_run
from support.videos import write_counter_video

from numpro_plugin.errors import NumProError
from numpro_plugin.views import report as report_module
from numpro_plugin.views.export import write_export
from numpro_plugin.views.report import write_report
from numpro_plugin.views.runs import read_runs
from numpro_plugin.views.sheet import sheet_pages, text_of_sample, write_sheet


@pytest.fixture
def runs(runs_folder):
    return read_runs([str(runs_folder / "first"), str(runs_folder / "second")])


def data_of(page: str, name: str = "data"):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_is_whole_and_asks_nobody(runs, tmp_path):
    made = write_report(runs, tmp_path / "report.html")
    page = made.path.read_text(encoding="utf-8")
    assert (made.queries, made.pictures, made.videos) == (3, 1, 1)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert page.count("<script") == page.count("</script>") == 4  # data, frames, one sprite, the script
    assert "&lt;/script&gt;" not in page  # queries are only in the data
    assert "verysecret" not in page
    assert data_of(page)["rows"][1][2].startswith("</script>")
    assert data_of(page)["videos"][0]["url"].endswith("counter%20%26%20%3Cb%3E.mp4")
    assert made.path.stat().st_size < 200_000


def test_intervals_differences_and_failures_are_shown(runs, tmp_path):
    page = write_report(runs, tmp_path / "report.html", pictures="none").path.read_text(encoding="utf-8")
    assert "tuned − base" in page
    assert "no range between the numbers of the answer" in page
    assert page.count("<svg") == 6


def test_what_does_not_fit_lies_beside_the_page(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_BYTES", 0)
    made = write_report(runs, tmp_path / "report.html", pictures="all")
    assert (tmp_path / "report_files" / "frames-0-0.jpg").stat().st_size > 1000
    assert data_of(made.path.read_text(encoding="utf-8"), "frames")["frames"]["0"][0]["url"] == "report_files/frames-0-0.jpg"
    made = write_report(runs, tmp_path / "small.html")
    assert made.pictures == 0
    assert any("frames are shown for 0 of 1 videos" in note for note in made.notes)


def test_missing_videos_are_placeholders(tmp_path, caplog):
    write_run(tmp_path, "numpro_custom", [moment_sample("q", "/gone/away.mp4", "a door", truth=(0, 1), span=(0, 1))])
    made = write_report(read_runs([str(tmp_path)]), tmp_path / "report.html")
    page = made.path.read_text(encoding="utf-8")
    assert "away.mp4" in data_of(page, "frames")["reasons"]["0"]
    assert data_of(page)["videos"][0] == {"name": "/gone/away.mp4", "url": None, "note": "the video is not here: /gone/away.mp4"}


def test_videos_are_copied_and_transcoded(tmp_path, video):
    import av

    avi = tmp_path / "old.avi"
    with av.open(str(video)) as source, av.open(str(avi), "w") as out:
        stream = out.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = source.streams.video[0].width, source.streams.video[0].height, "yuv420p"
        for frame in source.decode(video=0):
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    samples = [moment_sample(path.name, str(path), "a door", truth=(0, 1), span=(0, 1)) for path in (avi, video)]
    write_run(tmp_path, "numpro_custom", samples)
    runs = read_runs([str(tmp_path)])
    linked = write_report(runs, tmp_path / "linked.html", pictures="none").path.read_text(encoding="utf-8")
    assert "browsers cannot play mpeg4 in .avi" in data_of(linked)["videos"][0]["note"]
    write_report(runs, tmp_path / "report.html", pictures="none", videos="copy")
    copies = sorted((tmp_path / "report_files" / "videos").iterdir())
    assert [copy.suffix for copy in copies] == [".mp4", ".mp4"]
    with av.open(str(next(copy for copy in copies if copy.name.startswith("old-")))) as copy:
        assert copy.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in copy.decode(video=0)) == 40


def test_highlights_and_moments_in_one_report(tmp_path, video):
    write_run(tmp_path / "a", "numpro_qvhighlights_hd", [highlight_sample("q", str(video), "a goal")])
    write_run(tmp_path / "b", "numpro_custom", [moment_sample("q", str(video), "a door", truth=(0, 1), span=(0, 1))])
    made = write_report(read_runs([str(tmp_path / "a"), str(tmp_path / "b")]), tmp_path / "report.html", pictures="none")
    assert made.queries == 2
    assert data_of(made.path.read_text(encoding="utf-8"))["benchmarks"] == ["qvhighlights_hd", "custom"]


def test_no_query_at_all(tmp_path):
    write_run(tmp_path, "numpro_custom", [])
    made = write_report(read_runs([str(tmp_path)]), tmp_path / "report.html")
    assert made.queries == 0
    assert any("holds no sample" in note for note in made.notes)


def test_too_many_runs_are_refused(runs, tmp_path):
    with pytest.raises(NumProError, match="at most 6 runs, got 8"):
        write_report(runs * 4, tmp_path / "report.html")


def test_parts_of_a_video_are_played_and_pictured_by_themselves(tmp_path, video):
    """Two queries about two parts of one file, scored as a set."""
    rows = []
    for key, start_s in (("a", 0.0), ("b", 4.0)):
        row = moment_sample(key, str(video), "a door", truth=(0, 1), span=(0, 1))
        row["numpro"] |= {"duration_s": 4.0, "start_s": start_s, "end_s": start_s + 4.0, "set_iou": 0.5}
        del row["numpro"]["iou"]
        rows.append(row)
    write_run(tmp_path, "numpro_tvgbench", rows)
    made = write_report(read_runs([str(tmp_path)]), tmp_path / "report.html")
    page = made.path.read_text(encoding="utf-8")
    assert (made.videos, made.pictures) == (2, 2)
    assert [one.get("start") for one in data_of(page)["videos"]] == [None, 4]
    assert [row[5] for row in data_of(page)["rows"]] == [4, 4]
    assert [look["times"] for (look,) in data_of(page, "frames")["frames"].values()] == [[0, 1, 2, 3]] * 2
    assert [row[6][0][0] for row in data_of(page)["rows"]] == [50, 50]


def test_a_run_without_numbers_has_frames_without_numbers(tmp_path, video):
    """Beside the numbered frames of the other runs, which share theirs."""
    sample = moment_sample("q", str(video), "a door", truth=(0, 1), span=(0, 1))
    for name in ("a", "b"):
        write_run(tmp_path / name, "numpro_custom", [sample])
    plain = moment_sample("q", str(video), "a door", truth=(0, 1), span=(1, 2))
    plain["numpro"]["settings"] = {**plain["numpro"]["settings"], "numbers": False}
    write_run(tmp_path / "c", "numpro_custom_plain", [plain])
    made = write_report(read_runs([str(tmp_path / name) for name in "abc"]), tmp_path / "report.html")
    page = made.path.read_text(encoding="utf-8")
    assert (made.videos, made.pictures) == (1, 1)
    looks = data_of(page, "frames")["frames"]["0"]
    assert [look["runs"] for look in looks] == [[0, 1], [2]]
    numbered, plain_frames = (picture_of(page, look["name"]) for look in looks)
    is_red = lambda picture: (picture[..., 0] - np.maximum(picture[..., 1], picture[..., 2]) > 120).mean()  # noqa: E731
    assert is_red(numbered) > 0.001
    assert is_red(plain_frames) == 0


def picture_of(page: str, name: str) -> np.ndarray:
    found = re.search(rf'<script type="text/plain" id="sprite-{name}">(.*?)</script>', page, re.DOTALL)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))), dtype=int)


def test_an_answer_about_all_moments_has_a_bar_for_each(tmp_path, video):
    row = moment_sample("q", str(video), "a door", truth=(0, 1), span=(0, 1))
    row["numpro"] |= {"truth_s": [[0, 1], [5, 7]], "spans_s": [[0, 1], [4, 6], [8, 9]], "set_iou": 0.4}
    del row["numpro"]["iou"]
    none = moment_sample("none", str(video), "a ghost", truth=(0, 1), span=None, parse_fail=0.0)
    none["numpro"] |= {"truth_s": [], "spans_s": [], "set_iou": 1.0, "reason": "the answer is an empty list"}
    write_run(tmp_path, "numpro_vue_tr", [row, none])
    runs = read_runs([str(tmp_path)])
    rows = data_of(write_report(runs, tmp_path / "report.html").path.read_text(encoding="utf-8"))["rows"]
    assert [one[6][0][1] for one in rows] == [[[0, 1], [4, 6], [8, 9]], []]
    assert [one[6][0][0] for one in rows] == [40, 100]
    assert runs[0].samples["q"].span_s == (0.0, 1.0)
    count = write_export(runs, tmp_path / "coco.json", "coco")
    assert count == 2 + 3
    assert [one["segment"] for one in json.loads((tmp_path / "coco.json").read_text())["predictions"]] == [[0, 1], [4, 6], [8, 9]]
    (page,) = sheet_pages(video, SMALL, text_of_sample(runs[0].samples["q"]))
    is_answer = (np.abs(np.asarray(page).astype(int) - (0x0B, 0x62, 0xB0)).sum(axis=2) == 0)[-150:]
    assert len(np.flatnonzero(np.diff(np.concatenate([[0], is_answer[:, 110:].sum(axis=0) > 8])) > 0)) == 3
    assert text_of_sample(runs[0].samples["none"]).reading.is_read


@pytest.mark.slow
def test_a_video_of_three_hours(tmp_path):
    video = write_counter_video(tmp_path / "long.mp4", [60_000 * k for k in range(180)], rate=1, size=(64, 32), options={"g": "20"})
    row = moment_sample("q", str(video), "a door", truth=(7000, 7200.5), span=(6998, 7300))
    row["numpro"] |= {"duration_s": 10800.0, "fps": 0.5, "settings": {**SMALL.to_dict(), "fps": 0.5}}
    write_run(tmp_path, "numpro_custom", [row])
    runs = read_runs([str(tmp_path)])
    made = write_report(runs, tmp_path / "report.html")
    (look,) = data_of(made.path.read_text(encoding="utf-8"), "frames")["frames"]["0"]
    assert len(look["times"]) == 16
    for time_s in (7000, 7200.5):
        assert min(abs(shown - time_s) for shown in look["times"]) <= 10800 / 240
    pages = write_sheet(video, tmp_path / "sheet.png", runs[0].samples["q"].settings, text_of_sample(runs[0].samples["q"]))
    assert len(pages) == 8  # 240 frames


def test_a_log_that_ends_within_a_character(runs_folder):
    log = next((runs_folder / "first").glob("*samples*"))
    lines = log.read_text(encoding="utf-8").splitlines()
    content = "\n".join([lines[0], json.dumps(json.loads(lines[1]), ensure_ascii=False)]).encode()
    assert content.count("日".encode()) >= 1
    for cut in range(1, 5):
        log.write_bytes(content[: content.index("日".encode()) + 5 - cut])
        (run,) = read_runs([str(runs_folder / "first")])
        assert list(run.samples) == ["q1"]
