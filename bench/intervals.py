"""How good corrected α and its interval are on real activations: against the truth from many more images.

    PYTHONPATH=REPOSITORY:REPOSITORY/workflow python -m bench.intervals

in the working directory of a fetched study whose split has 10,000 images prints a table in Markdown: for six tokens at
three layers, the mean |bias| of α from N images by two and by five folds, over several draws of N. A draw takes other
images than the draw before, as long as there are any. The activations are kept in `activations.npz` for another run.
"""

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tokengeometry.geometry.uncertainty import fits, spectra

from bench.inputs import image_batches, load_model, read_config, use_all_cores

LAYERS = (1, 6, 12)
IMAGES = 10_000
SIZES = (500, 1000, 2000)
FOLDS = (2, 5)
KEPT = "activations.npz"


def chosen_tokens(description):
    """CLS, and spatial tokens at a corner, at an edge and inside."""
    rows, columns = description["grid"]
    prefix = len(description["prefix_tokens"])
    places = [(0, 0), (0, columns // 2), (rows // 4, columns // 4), (rows // 2, columns // 2), (rows - 1, columns // 3)]
    return [0, *(prefix + row * columns + column for row, column in places)]


def collect(config):
    """Activations of the chosen tokens: {layer: float32 array (sample, token, feature)}."""
    import torch

    cores = use_all_cores()
    model, description = load_model(config)
    tokens, kept = chosen_tokens(description), {layer: [] for layer in LAYERS}
    for layer in LAYERS:
        model.blocks[layer - 1].register_forward_hook(
            lambda _block, _inputs, output, its=kept[layer]: its.append(output[:, tokens].float())
        )
    with torch.inference_mode():
        for images in image_batches(config | {"samples": IMAGES}, description, workers=cores):
            model(images)
    return {f"layer_{layer}": torch.cat(its).numpy() for layer, its in kept.items()}


def estimates(values, folds, fit):
    """α of a token as fitted, corrected, and its standard error; of (sample, feature)."""
    folded = spectra.of_vectors(values, folds)
    used = np.arange(values.shape[1]) < len(values) - 1
    found = fits.estimate(folded.eigenvalues, used, len(values), folded, folds, **fit)
    return float(found.alpha), float(found.corrected), float(found.se)


def draws(images, size, most=5):
    """Sets of images of one size, that share none where there are enough."""
    order = np.random.default_rng(size).permutation(images)
    return [order[start : start + size] for start in range(0, images - size + 1, size)][:most]


def table(activations, fit):
    """A line for each N: mean |bias| by layer, of plain α and by folds; and the spread of a draw."""
    lines = [
        f"| N | plain α | {' | '.join(f'corrected, K = {folds}' for folds in FOLDS)} | sd of a draw | standard error |",
        "|---|---|---|---|---|---|",
    ]
    truth = {
        (layer, token): estimates(values[:, token], FOLDS[-1], fit)[1]
        for layer, values in activations.items()
        for token in range(values.shape[1])
    }
    for size in SIZES:
        columns = {name: [] for name in ("plain", *FOLDS, "sd", "se")}
        for layer, values in activations.items():
            bias, spread, errors = {name: [] for name in ("plain", *FOLDS)}, [], []
            for token in range(values.shape[1]):
                found = {
                    folds: np.array([estimates(values[its, token], folds, fit) for its in draws(len(values), size)])
                    for folds in FOLDS
                }
                bias["plain"].append(found[FOLDS[0]][:, 0].mean() - truth[layer, token])
                for folds in FOLDS:
                    bias[folds].append(found[folds][:, 1].mean() - truth[layer, token])
                spread.append(found[FOLDS[0]][:, 1].std(ddof=1))
                errors.append(found[FOLDS[0]][:, 2].mean())
            for name, its in bias.items():
                columns[name].append(np.abs(its).mean())
            columns["sd"].append(np.mean(spread))
            columns["se"].append(np.mean(errors))
        cells = (" / ".join(f"{value:.3f}" for value in its) for its in columns.values())
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    return lines


def main():
    config = read_config()
    if not Path(KEPT).exists():
        np.savez(KEPT, **collect(config))
    fit = {key: config["fit"][key] for key in ("ranks", "weights")}
    with np.load(KEPT) as kept, threadpool_limits(1):
        print(*table({name: kept[name] for name in kept}, fit), sep="\n")


if __name__ == "__main__":
    main()
