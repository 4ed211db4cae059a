"""A statistic over the layers: each cluster of spatial tokens, the CLS token, and all tokens together."""

import math

from tokengeometry.figures import style
from tokengeometry.figures.curves import INTERVAL, KINDS, curve, draw_interval
from tokengeometry.figures.undefined import tokens_without_cluster, undefined_values
from tokengeometry.tables import TOGETHER, TOKENS, value_of


@style.applied
def statistic_trajectories(table, clusters, statistic, means=None):
    """Draw it (log axis) over layers: the mean of each cluster in a band, CLS, pooled and concatenated.

    Parameters
    ----------
    table : pandas.DataFrame
        The statistic's, of one branch: columns layer, token, name, kind, the value, reason. Where it is empty the
        means and bands are over the tokens that have one, and the figure says so.
    clusters : pandas.DataFrame
        The cluster table of the same branch: columns token, cluster, reason. Spatial tokens without a cluster
        are in no curve, and the figure says how many they are.
    statistic : module
        Of `tokengeometry.geometry.statistics`.
    means : pandas.DataFrame, optional
        Of α: `alpha_means.csv`, for the intervals of clusters. Those of the other curves are in the table.

    Returns
    -------
    matplotlib.figure.Figure
    """
    value = value_of(table)
    members = clusters["cluster"].dropna().astype(int).value_counts()
    figure = style.new_figure(style.SINGLE_COLUMN, 2.65 + 0.14 * math.ceil((len(members) + 3) / 2))
    axes = figure.subplots()
    drawn, intervals = [], []

    spatial = table[(table["kind"] == "spatial") & table[value].notna()]
    spatial = spatial.merge(clusters[["token", "cluster"]].dropna(), on="token")
    for cluster, rows in spatial.groupby(spatial["cluster"].astype(int)):
        by_layer = rows.groupby("layer")[value]
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
        intervals += draw_interval(axes, table, f"cluster {cluster}", colour, means)

    others = table[(table["kind"] == "prefix") & (table["name"] != "cls") & table[value].notna()]
    for number, (_, rows) in enumerate(others.groupby("token")):
        label = "other prefix tokens" if number == 0 else None
        rows = rows.sort_values("layer")
        axes.plot(rows["layer"], rows[value], color=style.CLS, linewidth=1, linestyle=":", label=label)
        drawn += [*rows[value]]

    for name, marker, line in (("cls", "s", "-"), ("pooled", "^", "-"), ("concatenated", "v", "-")):
        values = curve(table, name)
        if len(values):
            label, colour = KINDS[name]
            axes.plot(values.index, values, color=colour, marker=marker, linestyle=line, label=label)
            drawn += [*values]
            intervals += draw_interval(axes, table, name, colour)

    drawn += intervals
    limits = style.alpha_limits(drawn)
    axes.set_yscale("log")
    axes.set_ylim(limits)
    style.alpha_axis(axes.yaxis, *limits)
    axes.set_ylabel(statistic.LABEL)
    style.layer_axis(axes, table["layer"])
    if drawn:
        figure.legend(loc="outside upper center", ncols=2)
    band = "band: 10th–90th percentile of the cluster's tokens" if len(spatial) else ""
    missing = undefined_values(table, (*TOKENS, *TOGETHER), statistic.NAME)
    interval = INTERVAL if intervals else ""
    style.note(figure, [band, interval, *missing, tokens_without_cluster(clusters)])
    return figure
