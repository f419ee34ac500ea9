"""The page of a report in a real browser: no network, no error, sound, tables, widths, light and dark, keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import open_browser
from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

pytestmark = pytest.mark.slow

WIDTHS = (400, 1280)
SCHEMES = ("light", "dark")
PAIRS = 5  # three mixtures and two effects
# What a reader sees of each piece of text: its colour on the colour behind it, as WCAG 2.1 counts contrast.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const box = one.tagName === "text" && one.parentElement.querySelector(":scope > rect");
      const colour = parse(box ? getComputedStyle(box).fill : getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || ["SCRIPT", "title"].includes(element.tagName)) continue;
    const isSvg = element.namespaceURI.endsWith("svg");
    const [a, b] = [light(parse(isSvg ? style.fill : style.color)), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim()]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Page]:
    """The page from a file, in light colours, 1,280 px wide; whatever it asks for or complains of fails the test."""
    asked: list[str] = []
    said: list[str] = []
    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light") as context:
        view = context.new_page()
        view.set_default_timeout(1000 * LIMIT_SECONDS)
        view.on("request", lambda request: asked.append(request.url))
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.goto(page.as_uri())
        yield view
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert said == []


def column(frame: Page | Frame, number: int) -> list[str]:
    """The texts of a column of the table of corpora."""
    return frame.locator("table.sorts").first.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_every_recording_decodes_and_plays_and_only_one_at_a_time(opened: Page) -> None:
    lengths = opened.evaluate(
        """() => Promise.all([...document.querySelectorAll("audio")].map(async (audio) => {
          if (audio.readyState < 1) await new Promise((done) => audio.addEventListener("loadedmetadata", done));
          return audio.duration;
        }))"""
    )
    assert lengths == [2.0] * (2 * PAIRS)
    opened.evaluate("() => { document.querySelectorAll('audio')[0].loop = true; }")  # it does not end by itself
    for number in (0, 1):
        opened.evaluate("(number) => document.querySelectorAll('audio')[number].play()", number)
        opened.wait_for_function("(number) => document.querySelectorAll('audio')[number].currentTime > 0.1", arg=number)
    opened.wait_for_function("() => document.querySelectorAll('audio')[0].paused")
    assert opened.locator("audio").first.get_attribute("aria-label") == "00000-utt, clean"


def test_tables_sort_by_mouse_and_by_keyboard_with_the_unknown_last(opened: Page) -> None:
    head = opened.locator("table.sorts").first.locator("thead th")
    names = column(opened, 1)
    assert names == ["speech-00", "speech-01", "speech-02", "bangs"]
    hours = head.nth(2)
    hours.get_by_role("button").click()
    assert hours.get_attribute("aria-sort") == "ascending"
    assert column(opened, 1) == ["bangs", *names[:3]]
    hours.get_by_role("button").focus()
    opened.keyboard.press("Enter")
    assert hours.get_attribute("aria-sort") == "descending"
    assert column(opened, 3) == ["5.94", "3.96", "1.98", "0.02"]
    share = head.nth(7)
    for direction in ("ascending", "descending"):  # the noise has no share of a sample of speech
        share.get_by_role("button").click()
        assert share.get_attribute("aria-sort") == direction
        assert column(opened, 1)[-1] == "bangs"
    assert hours.get_attribute("aria-sort") is None
    # What was not measured is neither the smallest nor the greatest: only of the mixtures it is known how many.
    sets = opened.get_by_role("region", name="Last figures of the training curve")
    for _ in ("ascending", "descending"):
        sets.get_by_role("button", name="utterances").click()
        assert sets.locator("tbody th").first.inner_text() == "the fixed mixtures"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window_and_all_text_is_readable(opened: Page, width: int, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened.set_viewport_size({"width": width, "height": 900})
    opened.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert opened.evaluate("() => document.documentElement.scrollWidth") == width
    found = opened.evaluate(CONTRASTS)
    assert len(found) > 500
    assert [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5] == []


def test_dark_and_light_pages_differ_plots_included(opened: Page) -> None:
    script = """() => [
      getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("figure svg text")).fill
    ]"""
    colours = []
    for scheme in SCHEMES:
        opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        colours.append(opened.evaluate(script))
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]


def test_the_keyboard_reaches_everything_and_the_focus_is_seen(opened: Page) -> None:
    opened.keyboard.press("Tab")
    assert opened.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    opened.keyboard.press("Tab")
    assert opened.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reached = set()
    for _ in range(200):
        reached.add(opened.evaluate("() => document.activeElement.tagName"))
        opened.keyboard.press("Tab")
    assert {"A", "BUTTON", "SUMMARY", "DIV", "AUDIO", "PRE"} <= reached


def test_a_screen_reader_has_names_for_what_it_meets(opened: Page) -> None:
    assert opened.locator("html").get_attribute("lang") == "en"
    assert [opened.get_by_role(role).count() for role in ("main", "navigation", "banner", "contentinfo")] == [1] * 4  # type: ignore[arg-type]
    assert opened.get_by_role("heading", level=1).inner_text() == "wavlm-small iteration 2"
    nameless = opened.evaluate(
        """() => [...document.querySelectorAll("svg[role=img], audio, [role=region], table, pre")].filter((one) => {
          const other = one.getAttribute("aria-labelledby");
          return !one.getAttribute("aria-label") && !(other && document.getElementById(other)?.textContent.trim());
        }).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert opened.evaluate("() => [...document.querySelectorAll('th')].filter((one) => !one.scope).length") == 0
    tags = opened.evaluate("() => [...document.querySelectorAll('h1, h2, h3, h4')].map((one) => one.tagName)")
    levels = [int(tag[1]) for tag in tags]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    words = opened.locator(".pair svg").first.get_attribute("aria-label")
    assert words == (
        "Spectrograms of 00000-utt, 2.0 s, clean above and mixed below. The mixed part, from 1.50 to 2.00 s, is marked."
    )


def test_texts_from_corpora_run_nothing(opened: Page) -> None:
    assert opened.evaluate("() => window.pwned") is None
    assert opened.get_by_text("speaker <script>window.pwned = 1</script>").count() == 3


def test_a_script_that_got_into_the_page_would_not_run(browser: Browser, page: Path) -> None:
    """Its policy runs one script alone."""
    view = browser.new_page()
    view.goto(page.as_uri())
    refused = view.evaluate(
        """() => new Promise((done) => {
          document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
          const script = document.createElement("script");
          script.textContent = "window.pwned = 4";
          document.body.append(script);
        })"""
    )
    assert refused == "script-src-elem"
    assert view.evaluate("() => window.pwned") is None
    view.close()


def test_it_works_in_the_frame_in_which_mlflow_shows_a_page(browser: Browser, page: Path) -> None:
    """A blob in a sandbox that allows scripts and nothing else, as MLflow's view of HTML artifacts."""
    with browser.new_context(viewport={"width": 900, "height": 900}) as context:
        view = context.new_page()
        view.set_default_timeout(1000 * LIMIT_SECONDS)
        said: list[str] = []
        view.on("console", lambda message: said.append(message.text))
        view.set_content("<iframe sandbox='allow-scripts' width='800' height='800'></iframe>")
        view.evaluate(
            """(html) => {
              const blob = new Blob([html], { type: "text/html" });
              document.querySelector("iframe").src = URL.createObjectURL(blob);
            }""",
            page.read_text(),
        )
        frame = view.frame_locator("iframe")
        frame.locator("table.sorts th button").nth(2).click()
        assert frame.locator("table.sorts tbody th").first.inner_text() == "bangs"
        frame.get_by_role("link", name="Listen").click()
        top = "(section) => Math.abs(section.getBoundingClientRect().top) < 100"
        assert frame.locator("#listen").evaluate(top)
        frame.locator("audio").first.evaluate("(audio) => audio.play()")
        assert frame.locator("audio").first.evaluate("(audio) => audio.duration") == 2.0
    assert said == []
