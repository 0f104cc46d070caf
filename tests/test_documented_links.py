"""Every link and picture of a document stands where the document says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md")
                   if not {".venv", "var", "dist", "build", "node_modules"} & set(path.relative_to(ROOT).parts))
LINK = re.compile(r"\]\(<?([^)\s>]+)>?[^)]*\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    missing = [link for link in LINK.findall(text)
               if not re.match(r"[a-z]+:|#", link) and not (document.parent / link.split("#")[0]).exists()]
    assert not missing


def test_documents_are_found() -> None:
    assert {ROOT / "README.md", ROOT / "docs/STATUS.md"} <= set(DOCUMENTS)
