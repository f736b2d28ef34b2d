"""Hook of mkdocs: pages from outside of docs/, and links that hold on GitHub and on the site."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
FROM_THE_REPOSITORY = ("CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")
TARGET = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    for name in FROM_THE_REPOSITORY:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """What is on the site is linked there, everything else in the repository."""
    uri = page.file.src_uri
    source = ROOT / uri if uri in FROM_THE_REPOSITORY else ROOT / "docs" / uri

    def on_site(found: re.Match[str]) -> str:
        file = (source.parent / found[1]).resolve()
        if not file.exists() or not file.is_relative_to(ROOT):
            return found[1]  # mkdocs says so
        path = file.relative_to(ROOT).as_posix()
        is_page = path in FROM_THE_REPOSITORY or (path.startswith("docs/") and file.is_file())
        if is_page:
            return os.path.relpath(path.removeprefix("docs/"), os.path.dirname(uri) or ".")
        return f"{config.extra['repository']}/{'tree' if file.is_dir() else 'blob'}/main/{path}"

    return TARGET.sub(on_site, markdown)
