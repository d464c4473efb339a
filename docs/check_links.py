"""Check every link inside built pages: the page and the anchor that it names have to be there.

``python docs/check_links.py FOLDER`` prints the broken ones, and ends with 1 where there are any. No network is used.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag


class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the anchors and targets of one element."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def broken(folder: Path) -> list[str]:
    """One line for each link that leads nowhere."""
    pages = {path: Page(path) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}
    found = []
    for path, page in pages.items():
        for target in page.targets:
            if ":" in target.split("/")[0]:
                continue  # another scheme: https, mailto, data
            name, anchor = urldefrag(target)
            other = (path.parent / unquote(name.split("?")[0])).resolve() if name else path
            where = f"{path.relative_to(folder)}: {target}"
            if not other.exists():
                found.append(f"{where}: no such file")
            elif anchor and other in pages and unquote(anchor) not in pages[other].anchors:
                found.append(f"{where}: no such anchor")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    lines = broken(folder)
    print("\n".join(lines) or "every link leads somewhere")
    sys.exit(bool(lines))
