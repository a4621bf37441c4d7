"""The report as a file: one page, nothing from outside, strangers' text inert."""

from __future__ import annotations

import json
import re

import pytest
from support.logs import highlight_sample, moment_sample, write_run

from numpro_plugin.errors import NumProError
from numpro_plugin.views import report as report_module
from numpro_plugin.views.report import write_report
from numpro_plugin.views.runs import read_runs


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
    assert (tmp_path / "report_files" / "frames-0.jpg").stat().st_size > 1000
    assert data_of(made.path.read_text(encoding="utf-8"), "frames")["frames"]["0"]["url"] == "report_files/frames-0.jpg"
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
    assert [frames["times"] for frames in data_of(page, "frames")["frames"].values()] == [[0, 1, 2, 3]] * 2
    assert [row[6][0][0] for row in data_of(page)["rows"]] == [50, 50]
