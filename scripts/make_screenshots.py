"""Writes the pictures of docs/images that show the report of an audit. Needs chromium and Pillow.

Usage: badllmtg audit examples/reviews.csv --victim minilm --out RUN; python scripts/make_screenshots.py RUN
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTH = 960
SHOTS = {
    "report-verdict": ("", 780),
    "report-rows": ("header, nav, #verdict, .tiles, [aria-labelledby=trigger] { display: none }", 560),
}
"""Picture: what is hidden of the page, and the height that is shown."""


def main(run: Path) -> None:
    """Makes each picture from a copy of the page."""
    page = (run / "report.html").read_text(encoding="utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it forbids a second style sheet
    for name, (hidden, height) in SHOTS.items():
        with TemporaryDirectory() as folder:
            copy, picture = Path(folder) / "page.html", IMAGES / f"{name}.png"
            copy.write_text(page.replace("</head>", f"<style>{hidden}</style></head>"), encoding="utf-8")
            subprocess.run(
                ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                 "--blink-settings=preferredColorScheme=1", f"--window-size={WIDTH},{height}",
                 f"--screenshot={picture}", copy.as_uri()],
                check=True, capture_output=True,
            )  # fmt: skip
            Image.open(picture).quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
