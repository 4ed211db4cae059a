"""Tables of reductions: every policy at every budget, and policies against each other on the same images."""

import numpy as np
import pandas as pd

from tokengeometry.reduction.runs import WHOLE, policy_of
from tokengeometry.reduction.scores import SHARES, interval

# What the scores are called where they are drawn.
LABELS = {
    "cosine_cls": "Cosine of the final CLS to the whole model's",
    "cosine_tokens": "Cosine of the final tokens to the whole model's",
    "error_cls": "Relative error of the final CLS",
    "error_tokens": "Relative error of the final tokens",
    "knn_cls": "Accuracy of k-NN on CLS",
    "knn_mean": "Accuracy of k-NN on the mean token",
    "probe_cls": "Accuracy of a linear probe on CLS",
    "probe_mean": "Accuracy of a linear probe on the mean token",
    "alpha_cls": "Change of α of CLS",
    "alpha_mean": "Change of α of the mean token",
}
# Scores of which less is better.
ERRORS = ("error_cls", "error_tokens")
# Whose schedule is the file's own: from the geometry, the one that holds on several sets of images first.
PREFERRED = ("tome-share", "tome-alpha")
# Of α's change, neither more nor less is better.
CHANGES = ("alpha_cls", "alpha_mean")


def read_images(path):
    """Scores image by image as they were written.

    Parameters
    ----------
    path : path
        As of `tokengeometry.reduction.scores.of_images`, without an index.

    Returns
    -------
    pandas.DataFrame
    """
    return pd.read_csv(path)


def reduction_table(images, facts, speeds):
    """Scores with their intervals, operations and speed, of every run.

    Parameters
    ----------
    images : dict of (str, str, str) to pandas.DataFrame
        By policy, budget in percent and seed, the scores image by image.
    facts : dict of (str, str, str) to dict
        `flops` of an image.
    speeds : dict of (str, str) to dict
        By policy and budget: columns of `tokengeometry.reduction.speed.compare`, those of bfloat16 with that before.

    Returns
    -------
    pandas.DataFrame
        policy, budget (a share), seed, flops, share (of the whole model's), the columns of speed, and every score with
        its 95 % interval over images: K, K_low, K_high.
    """
    whole = next(its["flops"] for (policy, *_), its in facts.items() if policy == WHOLE)
    rows = []
    for (policy, budget, seed), scores in images.items():
        flops = facts[policy, budget, seed]["flops"]
        row = {"policy": policy, "budget": int(budget) / 100, "seed": int(seed), "flops": flops, "share": flops / whole}
        row |= speeds.get((policy, budget), {})
        for name in scores.columns.drop("sample"):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), interval(scores[name].to_numpy()), strict=True))
        rows.append(row)
    # The first row, which has no speed, has not all columns.
    columns = [name for row in rows[1:] for name in row]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(columns or rows[0])))


def comparison_table(images):
    """Schedules from the geometry against the other schedules of the same policy, image by image.

    Parameters
    ----------
    images : dict of (str, str, str) to pandas.DataFrame
        As of `reduction_table`.

    Returns
    -------
    pandas.DataFrame
        budget, policy (with a schedule from the geometry), other, score, difference (policy less other; the mean over
        the images), low, high (its 95 % interval), verdict: "better", "worse", or "not told apart".
    """
    rows = []
    for (policy, budget, seed), scores in images.items():
        if policy == WHOLE or not policy_of(policy).schedule_needs:
            continue
        for (other, *its), others in images.items():
            if its != [budget, seed] or other == policy or policy_of(other).module != policy_of(policy).module:
                continue
            for name in scores.columns.difference(["sample", *CHANGES], sort=False):
                first, second = (table[name].to_numpy(float) for table in (scores, others))
                difference, low, high = interval(first - second)
                above, below = low > 0, high < 0
                if name in ERRORS:
                    above, below = below, above
                verdict = "better" if above else "worse" if below else "not told apart"
                rows.append((int(budget) / 100, policy, other, name, difference, low, high, verdict))
    columns = ["budget", "policy", "other", "score", "difference", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def pareto(speed, score):
    """Which runs no other is as fast and as good as, and better in one of the two.

    Parameters
    ----------
    speed, score : array, (run,)

    Returns
    -------
    array of bool, (run,)
        False where one of the two is NaN.
    """
    speed, score = np.asarray(speed, float), np.asarray(score, float)
    at_least = (speed[None] >= speed[:, None]) & (score[None] >= score[:, None])
    more = (speed[None] > speed[:, None]) | (score[None] > score[:, None])
    return ~(at_least & more).any(axis=1) & ~np.isnan(speed + score)


def main_scores(table):
    """The scores that the figure shows: the likeness of the first token, and what a label can be told by.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `reduction_table`.

    Returns
    -------
    list of str
    """
    first = "cosine_cls" if "cosine_cls" in table else "cosine_tokens"
    shares = [name for name in SHARES if name in table and name.startswith("knn")]
    return [first, *shares[:1]]


def schedule_file(schedules, model):
    """The content of `schedule.json`, for `tokengeometry.reduce`.

    Parameters
    ----------
    schedules : dict of (str, str) to dict
        By policy and budget in percent: `r`, how many tokens go at each block, and `share`.
    model : dict
        The content of `model.json`.

    Returns
    -------
    dict
        JSON-compatible. `r` and `share` by budget are of the first of `PREFERRED` that there is, or else of the first
        policy; `others` are all schedules by name: of token merging, or, where there is none, of all policies.
    """
    tome = {run: its for run, its in schedules.items() if policy_of(run[0]).module == "tome"}
    of = {}
    for (policy, budget), its in (tome or schedules).items():
        of.setdefault(policy, {})[f"{int(budget) / 100:g}"] = its
    named = next((name for name in PREFERRED if name in of), next(iter(of)))
    return {
        "architecture": model["architecture"],
        "image_size": model["image_size"],
        "policy": policy_of(named).module,
        "schedule": policy_of(named).schedule,
        "r": {budget: its["r"] for budget, its in of[named].items()},
        "share": {budget: its["share"] for budget, its in of[named].items()},
        "others": {name: {budget: its["r"] for budget, its in found.items()} for name, found in of.items()},
    }
