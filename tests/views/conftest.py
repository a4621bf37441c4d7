"""A video of ten seconds whose frames show their own number, and runs about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import moment_sample, write_run
from support.videos import write_counter_video

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "counter & <b>.mp4"
    write_counter_video(path, [250 * k for k in range(40)], rate=4)
    return path


@pytest.fixture
def runs_folder(tmp_path: Path, video: Path) -> Path:
    """Two runs of the same three queries: the second one finds more, and one of its requests failed."""
    evil = "</script><script>window.broken = true</script> שלום 日本語"
    first = [
        moment_sample("q1", str(video), "a door", truth=(2, 6), span=(2, 4)),
        moment_sample("q2", str(video), evil, truth=(0, 3), span=None),
        moment_sample("q3", str(video), "a cat", truth=(5, 9), span=(5, 9)),
    ]
    second = [
        moment_sample("q1", str(video), "a door", truth=(2, 6), span=(2, 6)),
        moment_sample("q2", str(video), evil, truth=(0, 3), span=(1, 3)),
        moment_sample("q3", str(video), "a cat", truth=(5, 9), span=None, filtered_resps="[LMMS_EVAL_REQUEST_FAILED] timeout"),
    ]
    write_run(tmp_path / "first", "numpro_custom", first, model_args="pretrained=org/base,api_key=verysecret")
    write_run(tmp_path / "second", "numpro_custom", second, model_args="pretrained=org/base,adapter=runs/tuned")
    return tmp_path
