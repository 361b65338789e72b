"""English and Chinese: by the browser's language and by the switch, with no word of the other language left."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from server_process import PROJECT
from visitor import Visitor, sync_api
from web import picture

expect = sync_api.expect
HAN = re.compile(r"[\u4e00-\u9fff]")
# What is the same in every language: names of models and formats, what a file is called, units and signs.
NAMES = re.compile(r"Real-?ESR[\w-]*|realesr-[\w-]+|[\w-]+\.(png|jpg|mkv)|zip|\b[kM]?B\b|\bcpu\b", re.I)

# Every text that is seen or read aloud: text nodes, names, tooltips and values in words. The button for the other
# language is in the other language.
TEXTS = """() => {
  const found = [];
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, noscript, #language") || !isShown(parent)) continue;
    if (parent.closest("option:not([value=auto]), .remarks")) continue; // names, and the server's sentences
    found.push(node.data.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [title], [aria-valuetext], [placeholder]")) {
    if (!isShown(element)) continue;
    for (const name of ["aria-label", "title", "aria-valuetext", "placeholder"]) {
      if (element.hasAttribute(name)) found.push(element.getAttribute(name));
    }
  }
  return found;
}"""


def keys_of(name: str) -> set[str]:
    text = (PROJECT / "realesrgan/web/page" / name).read_text(encoding="utf-8")
    return set(re.findall(r'^  "?([\w.-]+)"?:', text, re.MULTILINE))


KEYS = {key for key in keys_of("words.en.js") if "." in key}


def check_language(page: Any, language: str) -> None:
    """Fail if anything on the screen is in the other language, or is a key instead of words."""
    texts = page.evaluate(TEXTS)
    assert len(texts) > 5
    for words in texts:
        assert words not in KEYS, "a key instead of its words"
        assert "undefined" not in words
        assert "NaN" not in words
        if language == "en":
            assert not HAN.search(words), words
        else:
            assert not re.search(r"[a-z]{2,}", NAMES.sub("", words)), words


def test_both_languages_have_the_same_keys_and_every_key_is_used_and_known() -> None:
    english, chinese = keys_of("words.en.js"), keys_of("words.zh.js")
    assert english == chinese
    page = PROJECT / "realesrgan/web/page"
    html = "".join(file.read_text(encoding="utf-8") for file in page.glob("*.html"))
    asked = set(re.findall(r'data-word(?:-label)?="([\w.]+)"', html))
    assert asked <= english, asked - english


@pytest.mark.parametrize(
    ("locale", "language"), [("en-GB", "en"), ("zh-CN", "zh-CN"), ("zh-TW", "zh-CN"), ("de-DE", "en")]
)
def test_the_browsers_language_is_spoken(visit: Callable[..., Visitor], locale: str, language: str) -> None:
    page = visit(locale=locale).open().page
    assert page.evaluate("document.documentElement.lang") == language
    check_language(page, language)


def test_nothing_stays_in_the_other_language_wherever_one_is(visitor: Visitor) -> None:
    page = visitor.page
    visitor.watch.expect(r"status of 4\d\d")
    visitor.choose({"name": "chosen.png", "mimeType": "image/png", "buffer": picture()})
    visitor.choose(PROJECT / "inputs" / "video" / "clip.mkv")
    visitor.submit(picture(), "done.png")
    visitor.expect_state("done.png", "done")
    visitor.submit(picture(1000, 900), "long.png", model_name="RealESRGAN_x4plus")
    visitor.expect_state("long.png", "running")
    for language in ("zh-CN", "en", "zh-CN"):
        page.locator("#language").click()
        assert page.evaluate("document.documentElement.lang") == language
        expect(page.locator("#chosen")).to_contain_text("64 × 48")
        check_language(page, language)
    visitor.press("long.png", "cancel")
    visitor.expect_state("long.png", "cancelled")
    check_language(page, "zh-CN")
    visitor.compare("done.png")
    check_language(page, "zh-CN")
    page.reload()
    page.locator("#page").wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-CN", "the choice is not kept"
