"""A browser without a network, for the tests of pages: the fixture `browser`.

A test opens a file with `open_page(browser, path)`; `complaints(browser)` are the errors in the page's console.
"""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# As Debian's packages chromium and chromium-driver name them; and as others do.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
    # No name leads anywhere, in any tab. The browser's own inquiries are left out.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-background-networking",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium for all tests of a run, driven by Selenium; it has no network."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("there is no browser: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    # What a page asks of the network by number fails too.
    started.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    started.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    started.set_page_load_timeout(60)
    yield started
    started.quit()


def open_page(browser, path, fragment=""):
    """Open a file of this disk, with what stands behind # in its address; the console begins empty."""
    # Not a change of the fragment alone, which loads nothing.
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(path.absolute().as_uri() + (f"#{fragment}" if fragment else ""))


def complaints(browser):
    """What the page said to the console as an error since it was opened, or since the last call: messages."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
