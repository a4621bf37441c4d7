"""Every test runs offline, with a data folder and a cache of its own; tests marked ``shared`` need the folder of real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

SHARED = Path(os.environ.get("NUMPRO_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if (SHARED / "videos").is_dir():
        return
    skip = pytest.mark.skip(reason=f"needs the folder of real data: {SHARED} (or $NUMPRO_SHARED) is absent")
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos, annotations and golden outputs."""
    return SHARED


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NUMPRO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NUMPRO_DATA", str(tmp_path / "numpro-data"))
    monkeypatch.setenv("NUMPRO_CACHE", str(tmp_path / "numpro-cache"))
    monkeypatch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path / "datasets-cache"))
