"""Two trials of token reduction on a finished study: which tokens, and how many at each layer.

    PYTHONPATH=REPOSITORY:REPOSITORY/workflow python -m bench.reduction_trials BRANCH TABLE --images 400

BRANCH is results/MODEL/DATASET/SPLIT, with α and correlations of all layers. TABLE is a CSV file with a row for each
trial. What it has already is not measured again, so that a run that was killed goes on.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokengeometry import tables
from tokengeometry.data import splits
from tokengeometry.errors import StudyError
from tokengeometry.operations import devices
from tokengeometry.reduction import flops, forward, policies, schedules, signature
from tokengeometry.reduction.patching import reduce
from tokengeometry.reduction.scores import interval

EACH = 16  # tokens that go at each block of the first trial
# Shares of all spatial tokens of all blocks.
KEPT = (0.6, 0.4, 0.3)
RATES = (0.2, 0.3, 0.4, 0.5)
COLUMNS = ["trial", "condition", "kept", "images", "cosine", "low", "high", "schedule"]


def trials(geometry, depth, spatial):
    """All of both trials: (trial, condition, share of tokens kept, policy, schedule, seed).

    Without what has no geometry yet.
    """
    for policy in ("tome", "correlation", "random_merge", "random_prune", "alpha_prune", "alpha_prune_lowest", "grid"):
        if any(not getattr(geometry, need) for need in getattr(policies.load(policy), "NEEDS", ())):
            continue
        seeds = range(3) if policy.startswith("random") else range(1)
        for seed in seeds:
            yield "which", f"{policy} {seed}" if len(seeds) > 1 else policy, np.nan, policy, [EACH] * depth, seed
    shapes = {
        "constant": schedules.constant(depth),
        "decreasing": schedules.decreasing(depth),
        "increasing": schedules.increasing(depth),
        "first four blocks": schedules.first(depth),
        **{f"exponential {rate:g}": schedules.exponential(depth, rate) for rate in RATES},
    }
    if geometry.correlation:
        matrices = [geometry.correlation[layer] for layer in range(1, depth + 1)]
        shapes["mean correlation"] = schedules.of_correlation(matrices)
        shapes["share of pairs above 0.9"] = schedules.of_share(matrices)
    if geometry.alpha:
        alpha = np.array([np.nanmean(geometry.alpha[layer]) for layer in range(1, depth + 1)])
        shapes |= {f"alpha - {below:g} min alpha": schedules.of_alpha(alpha, below) for below in (0.9, 0.95)}

    def tokens(schedule):
        return sum(flops.left(spatial, schedule)[:-1])

    for kept in KEPT:
        for condition, shape in shapes.items():
            yield "how many", condition, kept, "tome", schedules.solve(shape, spatial, tokens, kept), 0


def run(branch, table, options, device):
    results, count = options.results or branch.parents[2], options.images
    model_folder, dataset = results / "models" / branch.parts[-3], results / "data" / branch.parts[-2]
    model = json.loads((model_folder / "model.json").read_text())
    layers = range(1, model["depth"] + 1)
    stores, alpha = [branch / "correlations" / f"layer_{layer:02d}.zarr" for layer in layers], branch / "alpha.csv"
    geometry = signature.read(
        model,
        alpha=alpha if alpha.exists() and {*layers} <= {*tables.read(alpha).layer} else None,
        correlation=stores if all(store.exists() for store in stores) else [],
    )
    for name, there in vars(geometry).items():
        if not there:
            print(f"{branch} has no {name} of all layers yet: what takes it is left out")
    description = dataset / "splits" / f"{branch.name}.json"
    its = json.loads(description.read_text())
    split = splits.open_described(description, its["class"], its["arguments"], None)
    samples = splits.subset(len(split), count, options.seed)
    network = forward.load_network(model, model_folder / "weights.safetensors", device=device)
    how = dict(crop=options.crop, resize=options.resize)
    batches = splits.batches(split, samples, model, batch_size=options.batch_size, workers=options.threads, **how)
    images = list(forward.pieces(batches, network))
    with torch.inference_mode():
        whole = [network.forward_features(piece)[:, 0] for piece in images]
    done = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=COLUMNS)
    known = set(zip(done.trial, done.condition, done.kept.fillna(-1), done.images, strict=True))
    for trial, condition, kept, policy, schedule, seed in trials(geometry, model["depth"], np.prod(model["grid"])):
        if (trial, condition, -1 if np.isnan(kept) else kept, count) in known:
            continue
        if not re.search(options.only, f"{trial}, {condition}, {kept}"):
            continue
        found = []
        with torch.inference_mode(), reduce(network, schedule, policy=policy, geometry=geometry, seed=seed):
            for piece, its in zip(images, whole, strict=True):
                cls = network.forward_features(piece)[:, 0]
                found.append(torch.cosine_similarity(cls, its, dim=-1).cpu())
        mean, low, high = interval(torch.cat(found).double().numpy())
        row = (trial, condition, kept, count, mean, low, high, " ".join(map(str, schedule)))
        print(f"{trial}, {condition}, {kept}: {mean:.4f} ({low:.4f}–{high:.4f}) {schedule}", flush=True)
        done = pd.concat([done, pd.DataFrame([row], columns=COLUMNS)], ignore_index=True)
        partial = table.with_suffix(".partial")
        done.to_csv(partial, index=False)
        partial.replace(table)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("branch", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--results", type=Path, help="where models and data are, if not in the folder of the branch")
    parser.add_argument("--seed", type=int, default=0, help="the study's")
    parser.add_argument("--crop", default="center")
    parser.add_argument("--resize", default="uint8")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--only", default="", help="a pattern of the trials to make, such as ', 0.4$'")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, and as many that read images")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    options = parser.parse_args(arguments)
    try:
        device = devices.prepare(options.device, options.threads)
        run(options.branch, options.table, options, device)
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
