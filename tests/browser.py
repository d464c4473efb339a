"""Pages in a headless Chromium: the text of a page after a script of the test's own, and pictures of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000",
)  # fmt: skip
_PROBE = """<script>window.addEventListener("load", () => {{
  const told = {{}};
  {steps}
  const out = document.createElement("pre"); out.id = "told"; out.textContent = JSON.stringify(told);
  document.body.append(out);
}});</script>"""


def told_by(text: str, steps: str, folder: Path, width: int = 1280, listen: str = "") -> tuple[dict[str, Any], str]:
    """What ``steps``, a script that fills the object ``told``, found in a page, and what the browser logged.

    The page allows its own scripts alone. For the probe that is lifted, and everything else stays forbidden. The test
    is skipped where no browser is installed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)})")
    probed = re.sub(r"script-src( 'sha256-[^']*')+", "script-src 'unsafe-inline'", text)
    assert probed != text
    page = folder / "page.html"
    page.write_text(
        probed.replace("<title>", listen + "<title>", 1).replace("</body>", _PROBE.format(steps=steps) + "</body>")
    )
    log = folder / "log"
    command = [browser, *QUIET, f"--window-size={width},900", "--enable-logging=stderr"]
    command += [f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    with log.open("w") as errors:
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=60, check=True)
    told = re.search(r'<pre id="told">(.*?)</pre>', found.stdout, re.DOTALL)[1]
    return json.loads(html.unescape(told)), log.read_text()
