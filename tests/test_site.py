"""The built site: links, anchors, texts of pictures, layout and accessibility, without a network.

.ci/run builds it and names its folder in MINIDECONV_SITE. Everywhere else the checks are tried on
small pages that are wrong. ``MINIDECONV_SITE_PAGES=all`` looks at every page in the browser, in
light and dark, at 390 and at 1280 pixels; without it at one page of each kind.
"""

from __future__ import annotations

import os
from pathlib import Path

import browser
import check_site
import pytest

pytestmark = pytest.mark.cpu

KINDS = [
    "index",
    "howto",
    "backward",
    "glossary",
    "gallery",
    "coming_from",
    "tutorials/index",
    "tutorials/01_*",
    "tutorials/12_*",
    "api/generated/minideconv.optim",
    "source/minideconv/ops/conv",
]
# What is shown on the left edge of the page, or scrolls in a box of its own, cuts nothing off.
CUT_OFF = """() => {
  const wide = innerWidth + 1;
  const article = document.querySelector('article') || document.body;
  const held = element => {
    for (let box = element.parentElement; box && box !== article; box = box.parentElement) {
      const way = getComputedStyle(box).overflowX;
      if (['auto', 'scroll', 'hidden'].includes(way) && box.getBoundingClientRect().right <= wide)
        return true;
    }
    return false;
  };
  return [...article.querySelectorAll('*')]
    .filter(element => element.getBoundingClientRect().right > wide && !held(element))
    .map(element => element.outerHTML.slice(0, 80));
}"""
TEXT_WIDTH = "() => document.querySelector('article p').getBoundingClientRect().width"


@pytest.fixture(scope="module")
def site():
    folder = os.environ.get("MINIDECONV_SITE")
    if not folder:
        pytest.skip("no built site: MINIDECONV_SITE names none (a step of .ci/run builds it)")
    return Path(folder)


@pytest.fixture(scope="module")
def pages(site):
    if os.environ.get("MINIDECONV_SITE_PAGES") == "all":
        return [p for p in sorted(site.rglob("*.html")) if p.name != "playground.html"]
    return [next(iter(site.glob(f"{kind}.html"))) for kind in KINDS]


@pytest.fixture(scope="module")
def chromium():
    with browser.started() as found:
        yield found


def opened(chromium, width, scheme):
    view = {"width": width, "height": 900}
    context = chromium.new_context(viewport=view, color_scheme=scheme, offline=True)
    context.set_default_timeout(browser.PATIENCE)
    return context


def test_links_and_pictures_of_the_site(site):
    assert not check_site.faults(site)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_page_is_closed_to_a_reader(site, pages, chromium, width, scheme):
    """axe-core finds no fault: contrast, names of buttons and links, order of headings, ..."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe-playwright-python is not installed (group browser)",
    ).Axe()
    context = opened(chromium, width, scheme)
    found = []
    for path in pages:
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        for fault in axe.run(page).response["violations"]:
            nodes = [node["html"][:120] for node in fault["nodes"]]
            name = path.relative_to(site)
            found.append(f"{name}: {fault['help']} ({len(nodes)}): {nodes[:2]}")
        page.close()
    context.close()
    assert not found, "\n".join(found)


CLOSED = """<html lang="en"><title>x</title><main><h1>x</h1><p style="color:#aaa">Pale</p>
<img src="data:,"><button></button></main>"""


def test_what_closes_a_page_is_found(tmp_path, chromium):
    api = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe-playwright-python is not installed (group browser)",
    )
    (tmp_path / "a.html").write_text(CLOSED)
    page = opened(chromium, 1280, "light").new_page()
    page.goto((tmp_path / "a.html").as_uri())
    found = {fault["id"] for fault in api.Axe().run(page).response["violations"]}
    assert found >= {"color-contrast", "image-alt", "button-name"}


def test_what_is_cut_off_is_found(tmp_path, chromium):
    wide = '<i style="display:block;width:{}px">x</i>'
    scrolled = f'<b style="display:block;overflow-x:auto">{wide.format(900)}</b>'
    (tmp_path / "a.html").write_text(f"<article>{wide.format(900)}{scrolled}{wide.format(90)}")
    page = opened(chromium, 390, "light").new_page()
    page.goto((tmp_path / "a.html").as_uri())
    (found,) = page.evaluate(CUT_OFF)
    assert found.startswith("<i")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_is_cut_off(site, pages, chromium, width):
    context = opened(chromium, width, "light")
    wrong = []
    for path in pages:
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        wrong += [f"{path.relative_to(site)}: {element}" for element in page.evaluate(CUT_OFF)]
        if width >= 1280 and page.query_selector("article p"):
            assert page.evaluate(TEXT_WIDTH) >= 720, path
        page.close()
    context.close()
    assert not wrong, "\n".join(wrong)


WRONG = {
    '<a href="other.html">': "file that is not there",
    '<a href="b.html#no">': "anchor that is not there",
    '<a href="#no">': "anchor that is not there",
    '<a href="../x.html">': "not there",
    '<a href="sub">': "leads to a folder",
    '<a href="http://a.example/x">': "no https address",
    '<a href="https://a b.example/">': "no https address",
    '<a href="ftp://a.example/">': "no https address",
    '<script src="https://a.example/x.js"></script>': "loaded from elsewhere",
    '<link rel="stylesheet" href="https://a.example/x.css">': "loaded from elsewhere",
    '<img src="a.png" alt="The nine taps of a kernel">': "file that is not there",
    '<img src="data:," alt="">': "is missing",
    '<img src="data:,">': "is missing",
    '<img src="data:," alt="_images/a.png">': "is a file name",
}
RIGHT = """<p id="here"><a href="b.html#there">b</a> <a href="#here">a</a>
<a href="sub/c.html">c</a>
<a href="https://arxiv.org/abs/1505.04366">paper</a> <a href="#">top</a> <a name="old"></a>
<a href="#old">old</a> <img src="data:," alt="The nine taps of a kernel"> <!-- <a href="no"> -->
<script>text = '<a href="no">'</script></p>"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(RIGHT)
    (tmp_path / "b.html").write_text('<h1 id="there">')
    (tmp_path / "sub" / "c.html").write_text('<a href="../a.html#here">')
    return tmp_path


def test_right_pages_have_no_fault(small, capsys):
    assert check_site.faults(small) == []
    assert check_site.main([str(small)]) == 0
    assert "3 pages, 0 faults" in capsys.readouterr().out


@pytest.mark.parametrize("tag", WRONG)
def test_a_fault_is_found(small, tag):
    (small / "d.html").write_text(tag)
    (fault,) = check_site.faults(small)
    assert fault.startswith("d.html: ")
    assert WRONG[tag] in fault


def test_an_empty_folder_is_no_site(tmp_path, capsys):
    assert check_site.main([str(tmp_path)]) == 1
    assert "holds no page" in capsys.readouterr().out
