"""α over the layers: each cluster of spatial tokens, the CLS token, and all tokens together."""

import math

import pandas as pd
from matplotlib.figure import Figure

from tokengeometry.figures import style
from tokengeometry.figures.curves import KINDS, curve
from tokengeometry.figures.undefined import tokens_without_cluster, undefined_alpha


@style.applied
def alpha_trajectories(alpha: pd.DataFrame, clusters: pd.DataFrame) -> Figure:
    """Draw α (log axis) over layers: the mean of each cluster in a band, CLS, pooled and concatenated.

    Parameters
    ----------
    alpha
        The α table of one branch: columns layer, token, name, kind, alpha, reason. Where α is empty the means
        and bands are over the tokens that have one, and the figure says so.
    clusters
        The cluster table of the same branch: columns token, cluster, reason. Spatial tokens without a cluster
        are in no curve, and the figure says how many they are.
    """
    members = clusters["cluster"].dropna().astype(int).value_counts()
    figure = style.new_figure(style.SINGLE_COLUMN, 2.65 + 0.14 * math.ceil((len(members) + 3) / 2))
    axes = figure.subplots()
    drawn: list[float] = []

    spatial = alpha[(alpha["kind"] == "spatial") & alpha["alpha"].notna()]
    spatial = spatial.merge(clusters[["token", "cluster"]].dropna(), on="token")
    for cluster, rows in spatial.groupby(spatial["cluster"].astype(int)):
        by_layer = rows.groupby("layer")["alpha"]
        low, mean, high = by_layer.quantile(0.1), by_layer.mean(), by_layer.quantile(0.9)
        colour = style.cluster_colour(cluster)
        axes.fill_between(mean.index, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(
            mean.index,
            mean,
            color=colour,
            marker="o",
            label=f"cluster {cluster} ({members[cluster]} tokens)",
        )
        drawn += [*low, *high, *mean]

    others = alpha[(alpha["kind"] == "prefix") & (alpha["name"] != "cls") & alpha["alpha"].notna()]
    for number, (_, rows) in enumerate(others.groupby("token")):
        label = "other prefix tokens" if number == 0 else None
        rows = rows.sort_values("layer")
        axes.plot(rows["layer"], rows["alpha"], color=style.CLS, linewidth=0.6, linestyle=":", label=label)
        drawn += [*rows["alpha"]]

    for name, marker, line in (("cls", "s", "-"), ("pooled", "^", "-"), ("concatenated", "v", "-")):
        values = curve(alpha, name)
        if len(values):
            label, colour = KINDS[name]
            axes.plot(values.index, values, color=colour, marker=marker, linestyle=line, label=label)
            drawn += [*values]

    limits = style.alpha_limits(drawn)
    axes.set_yscale("log")
    axes.set_ylim(limits)
    style.alpha_axis(axes.yaxis, *limits)
    axes.set_ylabel("Power-law exponent α")
    style.layer_axis(axes, alpha["layer"])
    if drawn:
        figure.legend(loc="outside upper center", ncols=2)
    band = "band: 10th–90th percentile of the cluster's tokens" if len(spatial) else ""
    missing = undefined_alpha(alpha, ("prefix", "spatial", "pooled", "concatenated"))
    style.note(figure, [band, *missing, tokens_without_cluster(clusters)])
    return figure
