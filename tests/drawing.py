"""What the tests of figures share: small tables as the workflow writes them, and looks into a figure."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tokengeometry.figures import style
from tokengeometry.figures.statistic_maps import statistic_maps
from tokengeometry.figures.statistic_trajectories import statistic_trajectories
from tokengeometry.geometry.statistics import power_law

GRID = (5, 6)
LAYERS = range(4)
# Model, data set, split and number of images.
BRANCHES = [("tiny", "A", "train", 1200), ("tiny", "A", "test", 24)]
CONSTANT = 6  # the first row of tokens is constant at layer 0


def alpha_trajectories(alpha, clusters):
    """The trajectories of the statistic α."""
    return statistic_trajectories(alpha, clusters, power_law)


def alpha_maps(alpha, grid, scale="shared"):
    """The maps of the statistic α."""
    return statistic_maps(alpha, grid, power_law, scale)


def alpha_table(prefix=("cls",), layers=LAYERS, grid=GRID, seed=0) -> pd.DataFrame:
    """An α table as the workflow writes it: no prefix at layer 0, a constant first row there."""
    random = np.random.default_rng(seed)
    rows = []
    for layer in layers:
        level = 1.3 + 2 * np.exp(-layer)
        for token, name in enumerate(prefix if layer else ()):
            rows.append((layer, token, name, "prefix", None, None, level - 0.3 + 0.1 * token, ""))
        for spatial in range(grid[0] * grid[1]):
            row, column = divmod(spatial, grid[1])
            missing = layer == 0 and row == 0
            value = np.nan if missing else level * random.uniform(0.95, 1.1)
            reason = "constant" if missing else ""
            token = spatial + len(prefix)
            rows.append((layer, token, f"{row},{column}", "spatial", row, column, value, reason))
        for kind, factor in (("averaged", 0.95), ("pooled", 0.9), ("concatenated", 0.8)):
            rows.append((layer, None, kind, kind, None, None, level * factor, ""))
    columns = ["layer", "token", "name", "kind", "row", "column", "alpha", "reason"]
    return pd.DataFrame(rows, columns=columns)


def cluster_table(prefix=1, grid=GRID, without=()) -> pd.DataFrame:
    """A cluster table: clusters 1, 2, 3 in turn; the tokens ``without`` one say why."""
    places = np.arange(grid[0] * grid[1])
    row, column = np.divmod(places, grid[1])
    random = np.random.default_rng(1)
    clusters = pd.DataFrame(
        {
            "token": places + prefix,
            "row": row,
            "column": column,
            "umap_1": random.standard_normal(places.size),
            "umap_2": random.standard_normal(places.size),
            "cluster": places % 3 + 1.0,
            "mean_alpha": 1.5,
            "reason": "",
        }
    )
    clusters.loc[list(without), ["umap_1", "umap_2", "cluster"]] = np.nan
    clusters.loc[list(without), "reason"] = "undefined α"
    return clusters


def ranges_table() -> pd.DataFrame:
    rows = [
        (layer, group, first, last, 1.5 + first / 100 + last / 1000 + layer / 10)
        for layer in LAYERS
        for group in ("cls", "spatial", "pooled")
        for first in (5, 11)
        for last in (50, 100)
        if layer or group != "cls"
    ]
    table = pd.DataFrame(rows, columns=["layer", "group", "first", "last", "alpha"])
    return table.assign(alpha_corrected=table.alpha - 0.01)


def dimensions_table() -> pd.DataFrame:
    rows = [
        (layer, group, measure, value + layer * (1 if group == "cls" else 2), 0.5)
        for layer in LAYERS
        for group in ("cls", "spatial")
        for measure, value in (("alpha", 1.0), ("participation_ratio", 10.0), ("leading_share", 0.1))
        if layer or group != "cls"
    ]
    table = pd.DataFrame(rows, columns=["layer", "group", "measure", "value", "se"])
    return table.assign(low=table.value - table.se, high=table.value + table.se)


def claims_table() -> pd.DataFrame:
    """A table of claims: with an interval, with a null, with a number alone, and without any."""
    nan = np.nan
    rows = [
        ("1", "α falls", 1.0, 0.8, 1.2, 0.0, 0.1, "holds"),
        ("5b", "A statement of many words " * 5, 0.4, nan, nan, 0.5, nan, "does not hold"),
        ("6i", "A share", 0.9, nan, nan, nan, nan, "can't be told here"),
        ("9", "The splits are equal", nan, nan, nan, nan, nan, "can't be told here"),
    ]
    columns = ["claim", "statement", "estimate", "low", "high", "reference", "control", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def correlation_table(seed=0, undefined=CONSTANT) -> pd.DataFrame:
    mean, spatial, cls = np.random.default_rng(seed).uniform(0.3, 0.8, (3, len(LAYERS)))
    cls[0] = np.nan  # there is no CLS token at layer 0
    counts = [undefined] + [0] * (len(LAYERS) - 1)
    means = {"mean": mean, "mean_spatial": spatial, "mean_cls_spatial": cls}
    random = np.random.default_rng(seed + 100)
    others = {
        f"{m}_{kind}": values * random.uniform(0.5, 0.9)
        for m in ("centred", "cka", "cosine")
        for kind, values in means.items()
    }
    errors = {f"{name}_se": values * 0.05 for name, values in (means | others).items()}
    return pd.DataFrame({"layer": list(LAYERS), **means, "undefined_tokens": counts, **others, **errors})


def correlation(tokens: int, undefined=()) -> np.ndarray:
    matrix = np.corrcoef(np.random.default_rng(tokens).standard_normal((tokens, 40)))
    matrix[list(undefined)] = np.nan
    matrix[:, list(undefined)] = np.nan
    return matrix


def reduction_table(labels=True) -> pd.DataFrame:
    """A table of reductions: the whole model, and three policies at two budgets, one of them with two seeds."""
    nan = np.nan
    rows = [("none", 1.0, 0, nan, 1.0, 0.9)]
    for policy, seeds, loss in (("tome", 1, 0.02), ("tome-alpha", 1, 0.01), ("random_prune", 2, 0.2)):
        for budget in (0.75, 0.5):
            rows += [(policy, budget, seed, 0.9 / budget, 1 - loss / budget, 0.9 - loss) for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=["policy", "budget", "seed", "speed", "cosine_cls", "knn_cls"])
    for name in ("speed", "cosine_cls", "knn_cls"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.003, table[name] + 0.002
    return table if labels else table.drop(columns=["knn_cls", "knn_cls_low", "knn_cls_high"])


def reduced_places(grid=GRID, depth=8):
    """Places and sizes of a policy that merges neighbours, and of one that drops the first places."""
    place = np.arange(grid[0] * grid[1])
    merged = np.stack([place // (1 + block // 2) for block in range(depth)])
    dropped = np.stack([np.where(place < block, -1, place - block) for block in range(depth)])
    places = {"tome-alpha": merged, "alpha_prune": dropped}
    sizes = {"tome-alpha": np.stack([np.bincount(its)[its] for its in merged]), "alpha_prune": (dropped >= 0) * 1.0}
    return places, sizes


def spectrum(ranks=100, alpha=1.4, log_amplitude=0.7) -> np.ndarray:
    return np.exp(log_amplitude) * np.arange(1, ranks + 1.0) ** -alpha


def line(figure: Figure, label: str, panel: int | None = None):
    """The one line of this label, in the panel or in all the figure."""
    panels = figure.axes if panel is None else [figure.axes[panel]]
    (found,) = [one for axes in panels for one in axes.get_lines() if one.get_label() == label]
    return found


def labels(figure: Figure) -> list[str]:
    legends = [*figure.legends, *[axes.get_legend() for axes in figure.axes if axes.get_legend()]]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def small_print(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def draw(figure: Figure, folder: Path) -> None:
    style.save(figure, BRANCHES, folder / "figure.png", folder / "figure.svg")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (folder / "figure.svg").read_text()
