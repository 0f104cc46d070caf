"""Every page has its picture in the documents, in both languages and small, and the index says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_app import RealApp
from visits import page_routes

from tools.pictures import BYTES_MAX, FOLDER, LANGUAGES, PAGES, index, index_file

# Steps of signing in that lead on by themselves or need an outside service; a file; an answer for machines.
NO_PICTURE = {"/", "/sign-in/code", "/outside", "/outside/back", "/audit/export", "/health"}


def test_every_page_has_its_picture(tmp_path: Path) -> None:
    real = RealApp(tmp_path)
    try:
        pages = {path for path, _ in page_routes(real.app.routes)}
    finally:
        real.close()
    assert pages - {where for _, where, _, _ in PAGES} - NO_PICTURE == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pictures_are_there_and_small(language: str) -> None:
    for name, *_ in PAGES:
        assert 4_000 < (FOLDER / f"page-{name}-{language}.png").stat().st_size <= BYTES_MAX, name
    assert index_file(language).read_text(encoding="utf-8") == index(language)
