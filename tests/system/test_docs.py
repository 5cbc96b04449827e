"""What the documents say of the code is true: named files exist, the picture of the rooms is current."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def _picture():
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs" / "picture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_rooms_is_of_this_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert text == _picture().with_picture(text), "imports have changed: run `make picture`"


def test_arrows_that_go_in_a_circle_are_refused() -> None:
    arrows = {"a.x": {"a.y"}, "a.y": {"a.z"}, "a.z": {"a.x"}, "a.w": {"a.x"}}
    with pytest.raises(ValueError, match=r"circle: a\.x, a\.y, a\.z"):
        _picture().reduced(arrows)


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    arrows = {"a.x": {"a.y", "a.z"}, "a.y": {"a.z"}, "a.z": set()}
    assert _picture().reduced(arrows) == {"a.x": {"a.y"}, "a.y": {"a.z"}, "a.z": set()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(document: Path) -> None:
    """Checks paths in backquotes that begin at the root. contributing.md proposes new files, which it marks `new`."""
    missing = []
    for line in document.read_text().splitlines():
        for path in re.findall(r"`((?:hotline_hw|host|sim|tests|docs|rtl)/[\w./-]+)`", line):
            if not (ROOT / path).exists() and "| new" not in line:
                missing.append(path)
    assert not missing, f"{document.name} names {', '.join(missing)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{document.name} links to {', '.join(missing)}"
