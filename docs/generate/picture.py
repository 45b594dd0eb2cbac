"""The picture of README.md: the first screen of the demo's report.

    python -m docs.generate.picture [--report FILE]

Runs the demo, unless a report is given, and lets a Chromium without a window draw the page as a browser shows it. The picture
has a palette, so that it is small.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from ecmt_deploy.verbs.demo import demo

PICTURE = Path(__file__).parents[1] / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT, COLOURS = 1280, 1000, 64
#: what the file may have at most
MOST_BYTES = 200_000


def draw(report: Path, out: Path = PICTURE) -> None:
    """Draw the first screen of a page.

    Raises
    ------
    FileNotFoundError
        if there is no such page, or no Chromium.
    ValueError
        if the picture is larger than ``MOST_BYTES``.
    """
    if not report.is_file():  # the browser would draw a page that says so
        raise FileNotFoundError(f"{report}: no such page")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(f"no Chromium is installed; one of {', '.join(BROWSERS)} on the PATH draws the picture")
    with TemporaryDirectory() as directory:
        shot = Path(directory) / "shot.png"
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        asked = [f"--user-data-dir={directory}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        subprocess.run([browser, *quiet, *asked, report.resolve().as_uri()], check=True, capture_output=True, timeout=120)
        small = Path(directory) / "small.png"
        Image.open(shot).convert("RGB").quantize(COLOURS).save(small, optimize=True)
        if small.stat().st_size > MOST_BYTES:
            raise ValueError(f"the picture has {small.stat().st_size:,} byte, expected at most {MOST_BYTES:,}")
        out.write_bytes(small.read_bytes())


def main() -> None:
    """Run the demo and draw its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="page to draw; without it the demo makes one")
    report = parser.parse_args().report
    with TemporaryDirectory() as directory:
        if report is None:
            demo(Path(directory) / "demo")
            report = Path(directory) / "demo" / "report.html"
        try:
            draw(report)
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f"docs.generate.picture: {error}")
    print(PICTURE, f"{PICTURE.stat().st_size:,} byte")


if __name__ == "__main__":
    main()
