"""Links of the documentation lead somewhere, on GitHub and on the site."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT, headings, links, text_of


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_exist(page: str):
    dead = []
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(Path(page).parent / path) if path else page
        if not (ROOT / target).is_file() or (anchor and anchor not in headings(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_pages_of_the_site_link_to_the_site_alone(page: str):
    """The site has nothing but docs/, so a link to a file beside it would be dead there."""
    assert [link for link in links(page) if link.startswith("../")] == []


def test_every_page_is_linked_and_has_its_place_on_the_site():
    pages = [page for page in PAGES if page.startswith("docs/") and page != "docs/index.md"]
    assert [page for page in pages if page not in links("README.md")] == []
    assert [page for page in pages if page.removeprefix("docs/") not in links("docs/index.md")] == []
    assert [page for page in pages if f'"{page.removeprefix("docs/")}"' not in text_of("zensical.toml")] == []


def test_headings_are_unique():
    repeated = {page: [one for one in headings(page) if headings(page).count(one) > 1] for page in PAGES}
    assert {page: found for page, found in repeated.items() if found} == {}


def test_the_front_page_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zensical") is None, reason="needs zensical: pip install '.[docs]'")
def test_the_site_builds_in_strict_mode(tmp_path: Path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "metrics" / "index.html").is_file()
