"""The UMAP plane of the spatial tokens' α trajectories, coloured by cluster."""

from tokengeometry.figures import style
from tokengeometry.figures.undefined import tokens_without_cluster


@style.applied
def clusters_embedding(clusters):
    """Draw every clustered token in the UMAP plane.

    Parameters
    ----------
    clusters : pandas.DataFrame
        The cluster table: columns token, umap_1, umap_2, cluster, mean_alpha, reason. Tokens without a cluster are
        not drawn; the figure says how many they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = style.new_figure(style.SINGLE_COLUMN, 2.8 + 0.14 * clusters["cluster"].nunique())
    axes = figure.subplots()
    clustered = clusters[clusters["cluster"].notna()]
    for cluster, rows in clustered.groupby(clustered["cluster"].astype(int)):
        mean_alpha = rows["mean_alpha"].mean()
        axes.scatter(
            rows["umap_1"],
            rows["umap_2"],
            s=12,
            color=style.cluster_colour(cluster),
            edgecolors="white",
            linewidths=0.3,
            label=f"cluster {cluster}: {len(rows)} tokens, mean α {mean_alpha:.2f}",
        )
    axes.margins(0.06)
    # UMAP's units mean nothing, but its directions share one: distances must look alike both ways.
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    if len(clustered):
        figure.legend(loc="outside upper center", handletextpad=0.2)
    style.note(figure, [tokens_without_cluster(clusters)])
    return figure
