"""The explorer's page at a size: its bytes, and in a browser the first paint and a step of the layer slider.

    PYTHONPATH=workflow python -m bench.explorer --grid 28 --features 768 --layers 13

makes up a study of this size, writes its page and opens it from the disk in Chromium, without a network. With `--page`
it measures a page that is there. It prints JSON, and on the way what it does. Times are in milliseconds, of several
runs the median, and as `…_best` the shortest: as they pass, and as `…_cpu` what the page's main thread works, whatever
else the machine does. A page without charts after a minute is an error.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from tokengeometry.explorer import sprite
from tokengeometry.explorer.backdrop import pictures
from tokengeometry.explorer.page import branch_page
from tokengeometry.explorer.payload import Stores, Tables, of_branch
from tokengeometry.model.tokens import layer_tokens, token_table
from tokengeometry.tables import TOGETHER

# What is made up: images, and thumbnails of a token at a layer.
SAMPLES, EACH = 2000, 12
STATISTICS = ("rankme", "participation_ratio", "stable_rank", "token_norm")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--window-size=1280,960",
    # As in tests/browser.py: no name leads anywhere, and the browser's own inquiries are left out.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-background-networking",
    "--no-first-run",
)
# Seconds after which a page, or a step of its slider, is given up.
LONGEST = 60
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
# From a change of the slider to the frame after the one that draws it.
STEP = """
const [layer, done] = arguments
const slider = Bokeh.documents[0].get_model_by_name("layer")
requestAnimationFrame(() => {
  const start = performance.now()
  slider.value = layer
  const worked = performance.now() - start
  requestAnimationFrame(() => requestAnimationFrame(() => done([worked, performance.now() - start])))
})
"""


class Store(dict):
    """Arrays in memory, read as those of a store are."""

    def __init__(self, attributes, **arrays):
        super().__init__(arrays)
        self.attributes = attributes


def smooth(rng, grid, prefix, scale):
    """A number a token that changes slowly over the image."""
    row, column = np.indices((grid, grid)) / grid
    waves = sum(
        rng.normal() * np.sin(2 * np.pi * (rng.uniform(0.3, 2) * row + rng.uniform(0.3, 2) * column + rng.uniform()))
        for _ in range(4)
    )
    found = scale * (waves.ravel() + 0.15 * rng.normal(size=grid * grid))
    return np.concatenate([scale * rng.normal(size=prefix), found])


def spectra(rng, exponents, ranks):
    """Spectra that decay with these exponents, and whose neighbours keep apart as those of covariances do."""
    steps = rng.gamma(3, 1 / 3, (len(exponents), ranks)) * exponents[:, None] / np.arange(1, ranks + 1)
    return np.exp(3 - np.cumsum(steps * (1 + np.arange(ranks) / 200), axis=1))


def made_up(grid, features, layers, patch, prefix=("cls",)):
    """The page's numbers for a study that nobody ran."""
    rng = np.random.default_rng(0)
    model = {"grid": [grid, grid], "prefix_tokens": list(prefix), "patch_size": [patch, patch], "in_chans": 3}
    model |= {"mean": [0.5] * 3, "std": [0.5] * 3, "architecture": "made up", "sha256": "0" * 64}
    prefix = len(prefix)
    tokens, stores, frames = grid * grid + prefix, Stores({}, {}, {}), []
    for layer in range(layers):
        first, ranks = (0, features) if layer else (prefix, 3 * patch * patch)
        exponents = 1.5 + smooth(rng, grid, prefix, 0.15)
        attributes = {"samples": SAMPLES, "tokens": tokens - first, "concatenated_samples": SAMPLES, "layer": layer}
        values = spectra(rng, exponents[first:], ranks)
        together = spectra(rng, np.array([1.2, 0.9]), ranks)
        stores.spectra[layer] = Store(
            attributes,
            eigenvalues=values,
            floor=np.full(values.shape, 1e-9),
            averaged=together[0],
            averaged_floor=np.full(ranks, 1e-9),
            pooled=together[1],
            pooled_floor=np.full(ranks, 1e-9),
            concatenated=np.ones(2),
            concatenated_floor=np.zeros(2),
        )
        places = np.stack([smooth(rng, grid, prefix, 1) for _ in range(8)], axis=1)[first:]
        places += 0.05 * rng.normal(size=places.shape)
        distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
        stores.correlations[layer] = Store(attributes, correlation=np.exp(-distance / 3))
        its = pd.concat([layer_tokens(model, layer), pd.DataFrame({"name": TOGETHER, "kind": TOGETHER})])
        alpha = np.concatenate([exponents[first:], [1.2, 0.9, 1.1]])
        frames.append(its.assign(layer=layer, alpha=alpha, reason=""))
    alpha = pd.concat(frames, ignore_index=True).astype({"token": "Int64"})
    count = len(alpha)
    alpha = alpha.assign(alpha_corrected=alpha.alpha + 0.02, se=0.02 + 0.01 * rng.random(count), r2=rng.random(count))
    alpha = alpha.assign(low=alpha.alpha_corrected - 2 * alpha.se, high=alpha.alpha_corrected + 2 * alpha.se)
    alpha = alpha.assign(curvature=rng.normal(size=count), curvature_z=rng.normal(size=count))
    others = {
        name: alpha[["layer", "token", "name", "kind", "row", "column"]].assign(value=50 * rng.random(count))
        for name in STATISTICS
    }
    plane = rng.normal(size=(2, tokens - prefix))
    spatial = token_table(model).query("kind == 'spatial'")
    clusters = spatial.assign(umap_1=plane[0], umap_2=plane[1], cluster=1 + rng.integers(0, 3, tokens - prefix))
    claims = pd.DataFrame(columns=["claim", "statement", "statistic", "estimate", "low", "verdict", "why"])
    fit = {"ranks": [11, 100], "min_ranks": 30, "weights": "inverse_rank"}
    behind = pictures([rng.normal(size=(8, 3, grid * patch, grid * patch))], model)
    payload = of_branch(Tables(alpha, clusters, others), stores, model, {name: name for name in others}, fit, behind)
    pool = np.arange(min(SAMPLES, sprite.MOST_BYTES // sprite.IMAGE_BYTES))
    rows = sum(tokens - prefix * (layer == 0) for layer in range(layers))
    payload.arrays["influential"] = rng.integers(0, SAMPLES, rows * 2 * EACH).astype(np.uint32)
    payload.arrays["sample"] = rng.permutation(SAMPLES).astype(np.uint32)
    payload.arrays["thumbnail"] = np.where(np.arange(SAMPLES) < len(pool), np.arange(SAMPLES) + 1, 0).astype(np.uint16)
    payload.about["images"] = {"why": "", "each": EACH, "of": SAMPLES}
    payload = type(payload)(payload.about, payload.arrays, pool)
    images = (Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((40, 40)) for _ in pool)
    return branch_page(payload, "made up", {}, claims, images)


def browser():
    """Chromium without a network."""
    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    program = shutil.which("chromedriver")
    if program is None:
        sys.exit("error: there is no browser: install chromium and chromium-driver")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program))
    driver.set_page_load_timeout(LONGEST)
    driver.set_script_timeout(LONGEST)
    driver.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    return driver


def opened(driver, path, fragment=""):
    """Open a page and wait until its charts are there; end with what it says to the console if they don't come."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(f"{Path(path).absolute().as_uri()}#{fragment}")
    until = time.monotonic() + LONGEST
    while not driver.execute_script("return typeof Bokeh === 'object' && location.hash.includes('show=')"):
        if time.monotonic() > until:
            said = " ".join(entry["message"] for entry in driver.get_log("browser")) or "it says nothing"
            sys.exit(f"error: {path} shows no charts within {LONGEST} seconds: {said}")
        time.sleep(0.02)


def picture(path, fragment, file):
    """What a page looks like."""
    driver = browser()
    try:
        opened(driver, path, fragment)
        time.sleep(2)
        driver.save_screenshot(str(file))
    finally:
        driver.quit()


def measure(path, repeats):
    """Opening a page, and steps of its slider."""
    driver = browser()
    try:
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        paints, charts, loaded = [], [], []
        for number in range(repeats):
            say(f"opening the page, {number + 1} of {repeats}")
            opened(driver, path)
            charts.append(driver.execute_script("return performance.now()"))
            loaded.append(_worked(driver))
            time.sleep(1)
            paints.append(driver.execute_script(PAINTED))
        last = driver.execute_script("return Bokeh.documents[0].get_model_by_name('layer').end")
        steps, cpu = [], []
        for number in range(repeats):
            say(f"moving the slider over {last + 1} layers, {number + 1} of {repeats}")
            before = _worked(driver)
            steps += [driver.execute_async_script(STEP, layer) for layer in range(last + 1)]
            cpu.append((_worked(driver) - before) / (last + 1))
    finally:
        driver.quit()
    worked, drawn = zip(*steps, strict=True)
    # A browser that painted nothing yet says so by None.
    times = {"first_paint": [its for its in paints if its is not None], "charts": charts, "charts_cpu": loaded}
    times |= {"slider_step_script": worked, "slider_step_drawn": drawn, "slider_step_cpu": cpu}
    found = {}
    for name, its in times.items():
        found[name] = round(statistics.median(its), 1) if its else None
        found[f"{name}_best"] = round(min(its), 1) if its else None
    return found | {"slider_step_slowest": round(max(drawn), 1)}


def say(what):
    """What is being done, beside the result."""
    print(what, file=sys.stderr, flush=True)


def _worked(driver):
    """Milliseconds that the page's main thread has worked."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    found = {metric["name"]: metric["value"] for metric in metrics}
    return 1000 * (found["TaskDuration"] - found["DevToolsCommandDuration"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path)
    parser.add_argument("--grid", type=int, default=28)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="write a picture of the page in place of measuring it")
    parser.add_argument("--view", default="", help="of the picture: what stands behind # in the page's address")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.page
        if path is None:
            path = Path(folder, "page.html")
            tokens = arguments.grid**2 + 1
            say(f"making up a page of {tokens} tokens × {arguments.features} features × {arguments.layers} layers")
            path.write_text(made_up(arguments.grid, arguments.features, arguments.layers, arguments.patch))
        if arguments.picture:
            picture(path, arguments.view, arguments.picture)
            return
        print(json.dumps({"bytes": path.stat().st_size} | measure(path, arguments.repeats), indent=1))


if __name__ == "__main__":
    main()
