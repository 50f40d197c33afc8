"""The overview of many tickers in a real browser: until every row is painted, and how evenly it scrolls then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.processes import running_api
from tests.bench.registry import seed
from tests.bench.registry.fill import Size, fill
from tests.bench.rows import Row, measured, once

SIZE = Size(tickers=1000, versions=1000, forecasts=30_000)
ROUNDS = 5
MOST_SECONDS = 1.0
MOST_TIMES = 1.5  # as long as a frame of plain text: how long that is depends on the machine

# Runs before the page's own scripts, and notes when a frame first shows a row, and when one shows them all.
_WATCH = """
window.painted = {};
const look = (now) => {
  const rows = document.querySelectorAll("#rows tr").length;
  if (rows && !painted.first) painted.first = now;
  if (rows >= %d) painted.all = now;
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
_SCROLL = """
() => new Promise((resolve) => {
  const frames = [];
  const step = (before) => requestAnimationFrame((now) => {
    frames.push(now - before);
    scrollBy(0, 120);
    const isDown = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
    isDown || frames.length > 2000 ? resolve(frames) : step(now);
  });
  requestAnimationFrame(step);
})
"""


def section(home: Path) -> Iterator[Row]:
    """Open the page again and again: the first time nobody has asked the API for anything yet."""
    from playwright.sync_api import sync_playwright  # a machine without it can measure all the rest

    version = seed.train(home / "seed")
    fill(home / "state", SIZE, version=version, forecast=seed.forecast_of(home / "seed", version))
    with running_api("app", "api", home=home / "state") as (api, _, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visits = [_visit(browser, api.url) for _ in range(ROUNDS + 1)]
        plain = [_frames_of_text(browser) for _ in range(ROUNDS)]
        browser.close()
    (cold, _), warm = visits[0], visits[1:]
    what = f"Overview of {SIZE.tickers} tickers"
    for seen, name in (("first", "first row"), ("all", "all rows")):
        goal = MOST_SECONDS if seen == "all" else None
        yield Row(what=f"{what}, {name}, nothing hot", ours=once(cold[seen] / 1000, "s"), at_most=goal)
        yield Row(what=f"{what}, {name}", ours=measured([one[seen] / 1000 for one, _ in warm], "s"), at_most=goal)
    ours, theirs = (once(_high(frames), "ms") for frames in ([frames for _, frames in warm], plain))
    ratio = ours.value / theirs.value
    frame = "  a frame while it scrolls, p99"
    yield Row(what=frame, ours=ours, peer="plain text", theirs=theirs, ratio=ratio, at_most=MOST_TIMES)


def _visit(browser: Any, url: str) -> tuple[dict[str, float], list[float]]:
    """Return when rows were painted, in ms since the navigation began, and the frames of a way down, in ms."""
    page = _opened(browser)
    page.add_init_script(_WATCH % SIZE.tickers)
    page.goto(url)
    page.locator("#rows tr").nth(SIZE.tickers - 1).wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(200)  # for the frame that shows it
    painted, frames = page.evaluate("painted"), page.evaluate(_SCROLL)
    page.context.close()
    return painted, frames


def _frames_of_text(browser: Any) -> list[float]:
    """Return the frames of a way down as many lines of plain text, in ms."""
    page = _opened(browser)
    page.set_content("<p>A line of words that nobody has to read.</p>" * SIZE.tickers)
    frames: list[float] = page.evaluate(_SCROLL)
    page.context.close()
    return frames


def _opened(browser: Any) -> Any:
    return browser.new_context(viewport={"width": 1280, "height": 900}).new_page()  # with a cache of its own


def _high(rounds: list[list[float]]) -> float:
    frames = sorted(frame for frames in rounds for frame in frames)
    return frames[len(frames) * 99 // 100]
