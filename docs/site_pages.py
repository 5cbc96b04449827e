"""MkDocs hook: files outside docs/ that a page links to become pages of the site, so that every link leads somewhere.

A Markdown file becomes a page as it is, any other file a page with its text. A folder leads to its README.
Pages are written for the checkout, where links are paths between files; this keeps both true.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
SUFFIXES = {".py": "python", ".c": "c", ".h": "c", ".v": "verilog", ".sv": "systemverilog"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each file outside docs/ that a page, or such a file, links to."""
    pages = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    while pages:
        uri, text = pages.pop()
        for target in _links(text):
            outside = _outside(normpath(join(dirname(uri), target)))
            if outside is None or files.get_file_from_path(_page(outside)):
                continue
            content = (ROOT / outside).read_text()
            if not outside.endswith(".md"):
                content = f"# {outside}\n\n```{SUFFIXES.get(Path(outside).suffix, '')}\n{content}```\n"
            else:
                pages.append((outside, content))
            files.append(File.generated(config, _page(outside), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the checkout into links between pages."""
    here = page.file.src_uri
    source = here.removeprefix("files/") if here.startswith("files/") else f"docs/{here}"

    def follow(match: re.Match[str]) -> str:
        path = normpath(join(dirname(source), match[1]))
        outside = _outside(path)
        target = _page(outside) if outside else path.removeprefix("docs/") if path.startswith("docs/") else None
        if target is None:
            return match[0]  # MkDocs reports it
        return relpath(target, dirname(here) or ".") + (match[2] or "")

    pieces, end = [], 0
    for code in CODE.finditer(markdown):
        pieces += [LINK.sub(follow, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, LINK.sub(follow, markdown[end:])])


def _links(text: str) -> list[str]:
    return [match[1] for match in LINK.finditer(CODE.sub("", text))]


def _outside(path: str) -> str | None:
    """The file that a path of the checkout leads to, if it is outside docs/."""
    if path.startswith(("docs/", "..")):
        return None
    if (ROOT / path).is_dir():
        path = join(path, "README.md")
    return path if os.path.isfile(ROOT / path) else None


def _page(path: str) -> str:
    """Where the page of a file outside docs/ is."""
    return f"files/{path}" if path.endswith(".md") else f"files/{path}.md"
