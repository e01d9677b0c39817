"""The page in a browser: Debian's Chromium, headless, without a network."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

import ssmspec
from ssmspec.cli import run
from tests.examples.html_pages import CHROMIUM, DRIVER, HOSTILE

SAMPLES = Path(__file__).resolve().parents[3] / "sample_checkpoints"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()), reason="Chromium is not installed"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def save(what, path):
    from ssmspec.writers import WRITERS, Page

    path.write_text(WRITERS["html"].render(what, Page()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A report as the command writes it, of two layers with findings and figures."""
    path = tmp_path_factory.mktemp("pages") / "report.html"
    checkpoint = str(SAMPLES / "defect_unstable_s5.safetensors")
    arguments = ["analyze", checkpoint, "--seq-len", "1024", "-f", "html", "-o", str(path)]
    assert run(arguments) == 0
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report of three layers whose names, and the file's, try to run a script."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pages")
    model = folder / "<script>window.pwned=3<&#47;script>.npz"
    tensors = {}
    for i, channels in enumerate((4, 2, 16)):
        prefix = f"{i}.{HOSTILE.replace('/', '|')}"
        tensors |= {
            f"{prefix}.log_dt": np.log(rng.uniform(0.001, 0.3, channels)),
            f"{prefix}.log_A_real": np.full((channels, 8), np.log(0.5)),
            f"{prefix}.A_imag": np.pi * np.arange(8) * np.ones((channels, 1)),
        }
    np.savez(model, **tensors)
    return save(ssmspec.analyze(model), folder / "report.html")


def opened(browser, path):
    """Opens a page at desktop size; forgets what was logged before."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())
    return browser


def column(browser, name):
    """Index and heading of a column of the full table."""
    headings = browser.find_elements("css selector", "table.numbers thead th")
    for i, heading in enumerate(headings):
        if heading.get_attribute("textContent").strip().startswith(name):
            return i, heading
    raise AssertionError(name)


def shown(browser, index):
    """Keys (or None where not applicable) of one column, from top to bottom."""
    return browser.execute_script(
        """return Array.from(document.querySelector("table.numbers tbody").rows, (row) => {
             const cell = row.cells[arguments[0]];
             return cell.className === "na" ? null : Number(cell.dataset.v ?? cell.textContent);
           });""",
        index,
    )


@pytest.mark.parametrize("name", ["sample", "hostile"])
def test_no_error_no_request_no_script_of_a_name(browser, name, request):
    page = request.getfixturevalue(name)
    opened(browser, page)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requested if not url.startswith("data:")] == [page.as_uri()]
    assert browser.execute_script("return window.pwned ?? null") is None
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.execute_script("return document.images.length") == 0


def test_the_policy_stops_what_the_escaping_would_let_through(browser, sample, tmp_path):
    attack = "<script>window.pwned=1</script><img src='http://localhost:9/x' onerror='pwned=2'>"
    broken = tmp_path / "broken.html"
    broken.write_text(sample.read_text().replace("<main>", f"<main>{attack}", 1))
    opened(browser, broken)
    assert browser.execute_script("return window.pwned ?? null") is None
    refused = [entry["message"] for entry in browser.get_log("browser")]
    assert len(refused) >= 2
    assert all("Content Security Policy" in message for message in refused)


def test_a_click_sorts_by_number_and_a_second_one_turns_it_round(browser, hostile):
    opened(browser, hostile)
    index, heading = column(browser, "aliased_fraction")
    button = heading.find_element("css selector", "button")
    original = shown(browser, index)
    assert original not in (sorted(original), sorted(original, reverse=True))
    assert heading.get_attribute("aria-sort") == "none"
    button.click()
    assert shown(browser, index) == sorted(original)
    assert heading.get_attribute("aria-sort") == "ascending"
    button.click()
    assert shown(browser, index) == sorted(original, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    marked = browser.find_elements("css selector", "th[aria-sort$='cending']")
    assert len(marked) == 1


def test_the_keyboard_sorts_and_gets_the_order_of_the_file_back(browser, hostile):
    from selenium.webdriver.common.keys import Keys

    opened(browser, hostile)
    index, heading = column(browser, "step_size_max")
    original = shown(browser, index)
    heading.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert shown(browser, index) == sorted(original)
    _, layers = column(browser, "layer")
    layers.find_element("css selector", "button").send_keys(Keys.SPACE)
    assert shown(browser, index) == original


def test_numbers_sort_as_numbers_and_what_is_not_there_comes_last(browser, tmp_path):
    from tests.examples.html_pages import layer, report

    values = [900.0, None, 12_345.0, 1e-7, 80.0]
    layers = [
        layer(f"a.{i}", init_scheme=f"s{10 - i}", locality=value) for i, value in enumerate(values)
    ]
    opened(browser, save(report(*layers), tmp_path / "report.html"))
    index, heading = column(browser, "locality")
    button = heading.find_element("css selector", "button")
    button.click()
    assert shown(browser, index) == [1e-7, 80.0, 900.0, 12_345.0, None]
    button.click()
    assert shown(browser, index) == [12_345.0, 900.0, 80.0, 1e-7, None]
    index, heading = column(browser, "init_scheme")
    heading.find_element("css selector", "button").click()
    cells = browser.find_elements("css selector", f"tbody td:nth-child({index + 1})")
    assert [cell.text for cell in cells if cell.text] == ["s6", "s7", "s8", "s9", "s10"]


@pytest.mark.parametrize("name", ["sample", "hostile"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_wider_than_the_page(browser, name, width, request):
    opened(browser, request.getfixturevalue(name))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    widest = browser.execute_script("return document.documentElement.scrollWidth")
    assert widest <= browser.execute_script("return window.innerWidth") <= width
    box = browser.find_element("css selector", "table.numbers").find_element("xpath", "..")
    inside = browser.execute_script("return arguments[0].scrollWidth", box)
    assert inside > box.size["width"]  # the table scrolls in its own box


def test_dark_mode_turns_the_page_and_its_figures(browser, sample):
    opened(browser, sample)

    def colors():
        return browser.execute_script(
            """const of = (q, p) => getComputedStyle(document.querySelector(q))[p];
               return [of("body", "backgroundColor"), of("body", "color"),
                       of(".figure text", "fill"), of(".strip path", "fill")];"""
        )

    light = colors()
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    dark = colors()
    assert all(before != after for before, after in zip(light, dark, strict=True))
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(21, 23, 26)"


def test_paper_shows_what_is_folded_and_names_each_number(browser, sample):
    opened(browser, sample)
    folded = "document.querySelectorAll('details:not([open])').length"
    before = browser.execute_script(f"return {folded}")
    browser.execute_script(
        f"addEventListener('beforeprint', () => {{ window.foldedOnPaper = {folded}; }})"
    )
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert browser.execute_script("return window.foldedOnPaper") == 0
    assert browser.execute_script(f"return {folded}") == before > 0  # folded again afterwards
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    index, _ = column(browser, "max_radius")
    label = browser.execute_script(
        "const cell = document.querySelector('table.numbers tbody tr').cells[arguments[0]];"
        "return getComputedStyle(cell, '::before').content",
        index,
    )
    assert label == '"max_radius "'
    assert browser.find_element("css selector", "table.numbers").size["width"] <= 1300


def test_a_link_in_a_finding_leads_to_its_layer(browser, sample):
    opened(browser, sample)
    link = browser.find_element("css selector", "article.error a")
    link.click()
    target = browser.find_element("css selector", ":target")
    assert target.find_element("css selector", "h3").text == "encoder.layers_1.seq"
