"""What a reduction keeps against how fast it is, of every policy at every budget."""

import textwrap

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tokengeometry.figures import style
from tokengeometry.reduction.runs import WHOLE, policy_of
from tokengeometry.reduction.table import LABELS, main_scores, pareto


@style.applied
def reduction_tradeoff(table):
    """Draw scores over the measured speed.

    Parameters
    ----------
    table : pandas.DataFrame
        `reduction.csv`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    scores = main_scores(table)
    policies = [name for name in dict.fromkeys(table.policy) if name != WHOLE]
    columns = 4
    rows = -(-len(policies) // columns)
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5 * len(scores) + 0.16 * rows)
    panels = figure.subplots(len(scores), 1, sharex=True, squeeze=False)[:, 0]
    for axes, score in zip(panels, scores, strict=True):
        _draw(axes, table, score, policies)
    panels[-1].set_xlabel("Images per second over the whole model's (float32, measured)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)
    sentences = [
        "bars: 95 % intervals, of the score over images and of the speed over repeats; with seeds, their mean.",
        "ring: no other policy is both faster and better (Pareto front). dashed: the whole model.",
    ]
    style.note(figure, sentences)
    return figure


def _draw(axes, table, score, policies):
    named = [score, f"{score}_low", f"{score}_high", "speed", "speed_low", "speed_high"]
    means = table.groupby(["policy", "budget"], sort=False)[named].mean().reset_index()
    # Distances to 1, so that values near it are told apart.
    of = (lambda values: 1 - values) if score.startswith("cosine") else (lambda values: values)
    for index, policy in enumerate(policies):
        rows = means[means.policy == policy].sort_values("speed")
        value = of(rows[score])
        bars = np.abs(np.stack([of(rows[f"{score}_{end}"]) - value for end in ("low", "high")]))
        if score.startswith("cosine"):
            bars = bars[::-1]
        sides = np.stack([rows.speed - rows.speed_low, rows.speed_high - rows.speed])
        look = _look(index, policy)
        axes.errorbar(rows.speed, value, bars, np.nan_to_num(sides), label=policy, elinewidth=0.6, **look)
    front = means[pareto(means.speed, means[score]) & (means.policy != WHOLE)]
    axes.plot(front.speed, of(front[score]), "o", markersize=8, fillstyle="none", color=style.ANNOTATION, zorder=5)
    axes.set_ylabel("\n".join(textwrap.wrap(LABELS[score], 30)))
    if score.startswith("cosine"):
        axes.set_yscale("log")
        axes.invert_yaxis()
        axes.yaxis.set_major_locator(FixedLocator([1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda distance, _: f"{1 - distance:.6g}"))
    else:
        whole = table.loc[table.policy == WHOLE, score].mean()
        axes.axhline(whole, color=style.ANNOTATION, linewidth=0.6, linestyle=(0, (4, 3)))


def _look(index, policy):
    """A policy with a schedule from the geometry is drawn thick."""
    return style.policy_style(index) | {"linewidth": 1.8 if policy_of(policy).schedule_needs else 0.9}
