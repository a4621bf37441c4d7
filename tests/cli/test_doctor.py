"""`numpro doctor` finds what will fail, and says what to do."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from support.videos import write_counter_video

from numpro_plugin.cli import doctor
from numpro_plugin.cli.doctor import examine
from numpro_plugin.cli.main import main


def by_subject(findings):
    return {finding.subject: finding for finding in findings}


@pytest.fixture
def prepared(tmp_path):
    """A custom benchmark of two videos."""
    for name in ("one", "two"):
        write_counter_video(tmp_path / f"{name}.mp4", [0, 500, 1000], rate=2)
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(json.dumps({"video": name, "query": "a door", "spans": [[0, 1]]}) + "\n" for name in ("one", "two")))
    assert main(["prepare", "custom", "--annotations", str(queries), "--videos", str(tmp_path)]) == 0
    return tmp_path


def test_a_sound_installation(prepared, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 queries, 2 of 2 videos" in out
    assert out.rstrip().endswith("no problem found")
    findings = by_subject(examine())
    assert findings["lmms-eval"].state == "ok"
    assert "numpro_hf" in findings["lmms-eval"].found


def test_videos_that_moved(prepared, capsys):
    (prepared / "two.mp4").rename(prepared / "elsewhere.mp4")
    assert main(["doctor", "--json", "-"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["problems"] == 1
    (problem,) = [finding for finding in content["findings"] if finding["state"] == "problem"]
    assert problem["subject"] == "custom test"
    assert "1 of 2 videos are no longer there" in problem["found"]
    assert "two.mp4" in problem["found"]
    assert problem["remedy"].startswith("numpro prepare custom")


def test_a_wrong_variable(monkeypatch):
    monkeypatch.setenv("NUMPRO_FPS", "fast")
    assert by_subject(examine())["settings"].state == "problem"


def test_an_automatic_rate_is_not_shown_as_a_number(monkeypatch):
    monkeypatch.setenv("NUMPRO_FPS", "auto")
    (finding,) = doctor._settings()
    assert finding.found.startswith("as many numbers a second as fit, 336x336")


def test_packages_that_are_missing_or_not_tested(monkeypatch):
    versions = {"torch": "99.0"}

    def version(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or metadata.distribution(name).version

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["torch<3", "scipy<2", 'gradio; extra == "app"'])
    findings = by_subject(doctor._versions())
    assert findings["torch"].state == "note"
    assert "99.0 is outside what was tested" in findings["torch"].found
    assert findings["scipy"].state == "problem"
    assert findings["scipy"].remedy == "pip install scipy"


def test_records_of_adapters(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "numpro.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    findings = by_subject(examine([tmp_path / "damaged", tmp_path / "foreign", tmp_path / "gone"]))
    assert findings["record of damaged"].state == "problem"
    assert findings["foreign"].state == "note"
    assert findings["gone"].state == "problem"


def test_an_examination_that_fails_is_a_finding(monkeypatch):
    def broken():
        raise ImportError("libcuda.so: not found")

    monkeypatch.setattr(doctor, "_gpu", broken)
    finding = by_subject(examine())["GPU"]
    assert (finding.state, finding.found) == ("problem", "ImportError: libcuda.so: not found")
