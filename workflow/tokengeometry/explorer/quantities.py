"""What the token grid can be coloured by: every column of the tables that is a number of a token at a layer."""

from dataclasses import dataclass

import numpy as np

from tokengeometry.geometry.uncertainty.fits import INTERVAL
from tokengeometry.tables import TOGETHER, TOKENS, value_of

# Those of alpha.csv: column, label, whether its table gives an interval.
OF_ALPHA = {
    "alpha_corrected": "α without its bias in N",
    "alpha": "α as fitted",
    "se": "Standard error of α",
    "r2": "R² of the fit",
    "curvature": "Curvature of the spectrum",
}


@dataclass(frozen=True)
class Quantity:
    """A number of every token at every layer.

    Attributes
    ----------
    key : str
        Its name in a page's link.
    label : str
    values : array, (layer, row), float32
        Rows are the tokens, then all tokens together (averaged, pooled, concatenated); NaN where there is none.
    low, high : array, (layer, row), float32, or None
        Its 95 % interval.
    """

    key: str
    label: str
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Rows:
    """The rows of a page's arrays: the tokens by number, then all tokens together.

    Parameters
    ----------
    tokens : int
        How many there are, with the prefix tokens.
    layers : sequence of int
        Those analysed.
    """

    def __init__(self, tokens, layers):
        self.tokens = tokens
        self.layers = list(layers)
        self.count = tokens + len(TOGETHER)

    def of(self, table, column):
        """A column of a statistic's table.

        Parameters
        ----------
        table : pandas.DataFrame
            With columns layer, token, name, kind, as of `tokengeometry.tables.statistic_table`.
        column : str

        Returns
        -------
        array, (layer, row), float32
        """
        found = np.full((len(self.layers), self.count), np.nan, np.float32)
        place = {layer: index for index, layer in enumerate(self.layers)}
        rows = self.numbers(table)
        layers = table.layer.map(place)
        inside = layers.notna() & rows.notna()
        found[layers[inside].astype(int), rows[inside].astype(int)] = table.loc[inside, column].astype(np.float32)
        return found

    def numbers(self, table):
        """The row of a page's arrays for each row of a table.

        Parameters
        ----------
        table : pandas.DataFrame
            As of `of`.

        Returns
        -------
        pandas.Series
            Empty for what a page does not have.
        """
        together = {kind: self.tokens + index for index, kind in enumerate(TOGETHER)}
        return table.kind.map(together).where(~table.kind.isin(TOKENS), table.token).astype("Int64")


def of_tables(rows, alpha, statistics, labels, mean_correlation, clusters):
    """All quantities of a branch.

    Parameters
    ----------
    rows : Rows
    alpha : pandas.DataFrame
        The table of α.
    statistics : dict of str to pandas.DataFrame
        The tables of the other statistics, by name.
    labels : dict of str to str
        What each of those is called.
    mean_correlation : array, (layer, token)
        Each token's mean correlation with the others.
    clusters : pandas.DataFrame
        Columns token and cluster.

    Returns
    -------
    list of Quantity
        Those that have a value anywhere, what is compared first.
    """
    found = []
    for key, label in OF_ALPHA.items():
        low = high = None
        if key == "alpha_corrected":
            low, high = rows.of(alpha, "low"), rows.of(alpha, "high")
        elif key == "curvature":
            curvature = rows.of(alpha, "curvature")
            with np.errstate(invalid="ignore", divide="ignore"):
                half = INTERVAL * np.abs(curvature / rows.of(alpha, "curvature_z"))
            low, high = curvature - half, curvature + half
        found.append(Quantity(key, label, rows.of(alpha, key), low, high))
    for name, table in statistics.items():
        found.append(Quantity(name, labels[name], rows.of(table, value_of(table))))
    together = np.full((len(rows.layers), rows.count), np.nan, np.float32)
    together[:, : rows.tokens] = mean_correlation
    found.append(Quantity("correlation", "Mean correlation with the other tokens", together))
    cluster = np.full((len(rows.layers), rows.count), np.nan, np.float32)
    labelled = clusters[clusters.cluster.notna()]
    cluster[:, labelled.token.astype(int)] = labelled.cluster.astype(np.float32)
    found.append(Quantity("cluster", "Cluster", cluster))
    # α as it was fitted comes first where few tokens have a corrected one.
    defined = {quantity.key: np.isfinite(quantity.values).sum() for quantity in found}
    if defined["alpha_corrected"] < defined["alpha"] / 2:
        found.sort(key=lambda quantity: quantity.key != "alpha")
    return [quantity for quantity in found if np.isfinite(quantity.values).any()]


def reasons(rows, alpha):
    """Why tokens have no α.

    Parameters
    ----------
    rows : Rows
    alpha : pandas.DataFrame
        The table of α.

    Returns
    -------
    words : list of str
        Without a double; the first is empty.
    codes : array of uint8, (layer, row)
        Which of them.
    """
    words = ["", *sorted(set(alpha.reason) - {""})]
    codes = rows.of(alpha.assign(code=alpha.reason.map(words.index)), "code")
    return words, np.nan_to_num(codes).astype(np.uint8)
