"""The documentation as a site: links lead somewhere, options that start pages name exist, and their Python runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hotline_host.commands.main import app

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[2]
COMMAND: Any = get_command(app)
START = sorted((ROOT / "docs" / "start").glob("*.md"))
MINIMAL = """
site_name: small
docs_dir: docs
strict: true
hooks: [{hook}]
not_in_nav: files/**
nav: [index.md]
validation: {{anchors: warn, unrecognized_links: warn}}
"""


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", config, "--site-dir", out]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_the_site_builds_with_strict_links(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "site" / "reference" / "hotline.html").read_text()
    assert "num_embeddings" in reference, "docstrings are missing from the reference"
    assert "has not run on a board" in " ".join((tmp_path / "site" / "limits.html").read_text().split())


@pytest.mark.parametrize(("link", "good"), [("../examples/adopt.py", True), ("../examples/NOTHING.py", False)])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str, good: bool) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Here\n\n[there]({link})\n")
    (tmp_path / "mkdocs.yml").write_text(MINIMAL.format(hook=ROOT / "docs" / "site_pages.py"))
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    if not good:
        assert "NOTHING.py" in done.stdout + done.stderr


COMMANDS = [
    (page.name, line)
    for page in START
    for line in re.findall(r"^\.venv/bin/hotline (.*?)(?:\s+#.*)?$", page.read_text(), flags=re.MULTILINE)
]
PYTHON = [
    (page.name, code)
    for page in START
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
]


def test_the_start_pages_show_something() -> None:
    assert {page for page, _ in COMMANDS} == {"fpga.md", "training.md"}
    assert {page for page, _ in PYTHON} == {"verification.md"}


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_options_of_the_start_pages_exist(page: str, line: str) -> None:
    name, *arguments = shlex.split(line)
    known = {option for parameter in COMMAND.commands[name].params for option in parameter.opts}
    unknown = [word for word in arguments if word.startswith("--") and word not in known]
    assert not unknown, f"{page}: hotline {name} has no {', '.join(unknown)}"


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python_of_the_start_pages_runs(page: str, code: str) -> None:
    exec(compile(code, page, "exec"), {})
