"""What a coarser forward pass or coarser stores change of α.

    PYTHONPATH=workflow python -m bench.precision [SAMPLES [WORKING_DIRECTORY]]

runs the default study with so many images in float32, with `forward.precision: bfloat16` and with `activations.dtype:
float16`, and prints a Markdown table of |Δα| by layer. A working directory that is named is kept.
"""

import copy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from bench.workflow import REPOSITORY, command, configure, with_samples

VARIANTS = {
    "float32": ("float32", "float32"),
    "bfloat16": ("bfloat16", "float32"),
    "float16 stores": ("float32", "float16"),
}


def alpha(directory, config, precision, dtype):
    """The table of α of a study, and the seconds its run took."""
    config = copy.deepcopy(config)
    config["forward"]["precision"], config["activations"]["dtype"] = precision, dtype
    configure(directory, config)
    start = time.monotonic()
    subprocess.run(command("alpha"), cwd=directory, check=True, stdout=sys.stderr)
    seconds = time.monotonic() - start
    return pd.concat(map(pd.read_csv, (directory / "results").glob("*/*/*/alpha.csv"))), seconds


def changes(exact, coarse):
    """Largest and mean |Δα| of the tokens by layer, |Δα| of all tokens together, and tokens without α in one only.

    Parameters
    ----------
    exact, coarse : pandas.DataFrame
        `alpha.csv` of two studies of the same images.

    Returns
    -------
    pandas.DataFrame
        A row for each layer: largest, mean, pooled, concatenated, lost.
    """
    keys = ["layer", "kind", "token"]
    both = exact[[*keys, "alpha"]].merge(
        coarse[[*keys, "alpha"]], on=keys, suffixes=("_exact", "_coarse"), validate="1:1"
    )
    both["change"] = (both.alpha_coarse - both.alpha_exact).abs()
    both["lost"] = both.alpha_exact.isna() != both.alpha_coarse.isna()
    together = both.kind.isin(["pooled", "concatenated"])
    tokens = both[~together].groupby("layer")
    columns = {"largest": tokens.change.max(), "mean": tokens.change.mean()}
    columns |= {kind: both[both.kind == kind].set_index("layer").change for kind in ("pooled", "concatenated")}
    return pd.DataFrame(columns | {"lost": tokens.lost.sum()})


def table(found):
    """Markdown of several variants' changes side by side: a dict of name to `changes`."""
    names = [f"{name}: {column}" for name, its in found.items() for column in its]
    lines = [f"| layer | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for layer in next(iter(found.values())).index:
        cells = [
            f"{value:.0f}" if column == "lost" else f"{value:.1e}"
            for its in found.values()
            for column, value in its.loc[layer].items()
        ]
        lines.append(f"| {layer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(samples, directory):
    config = with_samples(yaml.safe_load((REPOSITORY / "config.yaml").read_text()), samples)
    tables, seconds = {}, {}
    for name, (precision, dtype) in VARIANTS.items():
        tables[name], seconds[name] = alpha(Path(directory), config, precision, dtype)
    exact = tables.pop("float32")
    print(table({name: changes(exact, coarse) for name, coarse in tables.items()}))
    print("\n" + ", ".join(f"{name}: {duration:.0f} s" for name, duration in seconds.items()))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if len(sys.argv) > 2:
        main(count, sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as place:
            main(count, place)
