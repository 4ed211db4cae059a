"""Tidy tables of α with how sure it is: of every token, of means, over a grid of ranges, beside dimensions."""

import itertools

import numpy as np
import pandas as pd

from tokengeometry.geometry.statistics._resolved import resolved
from tokengeometry.geometry.uncertainty import dimensions, fits
from tokengeometry.geometry.uncertainty.bands import FIRST_RANKS, LAST_RANKS
from tokengeometry.geometry.uncertainty.stores import read as read_folded
from tokengeometry.model.tokens import layer_tokens
from tokengeometry.tables import spectra_of, statistic_table


def alpha_table(layers, folded, concatenated, model, **settings):
    """α of every token, layer by layer, and of all tokens together, with how sure it is.

    Parameters
    ----------
    layers, folded, concatenated : dict of int to open store
        By layer, its spectra; its uncertainty, and its concatenated spectrum. Without folds, the last two are empty.
    model : dict
        The content of `model.json`.
    **settings
        Of the configuration's `fit`.

    Returns
    -------
    pandas.DataFrame
        As of `statistic_table` for α; then alpha_corrected (without its bias in N), se, low and high (95 %, about the
        corrected value), curvature and curvature_z, trusted, and doubt, which says why not. They are empty without
        folds.
    """
    table = statistic_table("power_law", layers, model, **settings)
    frames = [
        _errors(spectrum, store.attributes, folded.get(layer), concatenated.get(layer), kind, settings)
        for layer, store in sorted(layers.items())
        for kind, spectrum in spectra_of(store).items()
    ]
    return pd.concat([table, pd.concat(frames, ignore_index=True)], axis=1)


def _errors(spectrum, attributes, folded, concatenated, kind, settings):
    """The columns of `alpha_table` beside those of the statistic, of one layer and kind."""
    eigenvalues, floor, independent = spectrum
    used, (first, last) = np.atleast_2d(resolved(eigenvalues, floor, independent)), settings["ranks"]
    columns = ("alpha_corrected", "se", "low", "high", "curvature", "curvature_z")
    empty = pd.DataFrame(np.nan, range(len(used)), columns).assign(trusted=False)
    store = concatenated if kind == "concatenated" else folded
    if store is None:
        return empty.assign(doubt="no folds")
    its = read_folded(store, kind)
    if last > its.edges[-1]:
        return empty.assign(doubt=f"folds have {its.edges[-1]} ranks")
    samples = attributes["concatenated_samples" if kind == "concatenated" else "samples"]
    folds, images = store.attributes["folds"], store.attributes["samples"]
    found = fits.estimate(
        eigenvalues,
        used.reshape(eigenvalues.shape),
        samples,
        its,
        folds,
        ranks=(first, last),
        weights=settings["weights"],
    )
    enough = used[:, first - 1 : last].sum(axis=1) >= settings["min_ranks"]
    corrected, se = np.atleast_1d(found.corrected), np.atleast_1d(found.se)
    values = corrected, se, corrected - fits.INTERVAL * se, corrected + fits.INTERVAL * se
    values += np.atleast_1d(found.curvature), np.atleast_1d(found.curvature / found.curvature_se)
    table = pd.DataFrame(np.where(enough[:, None], np.column_stack(values), np.nan), columns=columns)
    why = "far fewer images than dimensions" if kind == "concatenated" else fits.doubt(images, folds, last)
    doubt = np.where(table.alpha_corrected.notna(), why, "no alpha, or none of the folds")
    return table.assign(trusted=doubt == "", doubt=doubt)


def means_tables(layers, folded, clusters, model, **settings):
    """Means of α, layer by layer: over groups of tokens; and over a grid of ranges of ranks.

    A slope that drifts along the spectrum makes α another one in every range.

    Parameters
    ----------
    layers, folded : dict of int to open store
        As of `alpha_table`.
    clusters : pandas.DataFrame
        Columns token and cluster.
    model : dict
        The content of `model.json`.
    **settings
        Of the configuration's `fit`.

    Returns
    -------
    means : pandas.DataFrame
        Columns layer, group ("tokens": all of them, "spatial", "cluster 1", …), tokens (that have an α), alpha,
        alpha_corrected, se, low, high.
        Tokens share images: the error is that of the mean over tokens of their influences, image by image.
    ranges : pandas.DataFrame
        Columns layer, group ("cls"; "spatial", the mean over the spatial tokens; "pooled"), first, last (rank), and
        those of `means` from tokens on.
    """
    of_cluster = clusters.dropna(subset="cluster").groupby("cluster").token
    groups = {f"cluster {int(cluster)}": set(tokens) for cluster, tokens in of_cluster}
    means, ranges = [], []
    for layer, store in sorted(layers.items()):
        spectra, tokens, fitted = spectra_of(store), layer_tokens(model, layer), tuple(settings["ranks"])
        cls, spatial = tokens.name.to_numpy() == "cls", tokens.kind.to_numpy() == "spatial"
        members = {"tokens": np.full(len(tokens), True), "spatial": spatial}
        members |= {group: tokens.token.isin(its).to_numpy() for group, its in groups.items()}
        ranks = spectra["pooled"][0].shape[-1]
        grid = sorted({*(its for its in itertools.product(FIRST_RANKS, LAST_RANKS) if its[1] <= ranks), fitted})
        over = {group: inside for group, inside in (("cls", cls), ("spatial", spatial)) if inside.any()}
        # All of a layer's tokens at once: their scores are most of what there is to read.
        of_tokens = [(inside, fitted) for inside in members.values()]
        of_tokens += itertools.product(over.values(), grid)
        found = _means(spectra["token"], of_tokens, store, folded.get(layer), "token", settings)
        means += [{"layer": layer, "group": group, **its} for group, its in zip(members, found, strict=False)]
        found = found[len(members) :]
        pooled = [(np.array([True]), its) for its in grid]
        found += _means(spectra["pooled"], pooled, store, folded.get(layer), "pooled", settings)
        for (group, (first, last)), its in zip(itertools.product((*over, "pooled"), grid), found, strict=True):
            ranges.append({"layer": layer, "group": group, "first": first, "last": last, **its})
    return pd.DataFrame(means), pd.DataFrame(ranges)


def dimensions_table(layers, folded, alpha, means, model):
    """α beside measures that the first ranks decide, of CLS and of the mean over the spatial tokens.

    Parameters
    ----------
    layers, folded : dict of int to open store
        As of `alpha_table`.
    alpha, means : pandas.DataFrame
        As of `alpha_table` and `means_tables`.
    model : dict
        The content of `model.json`.

    Returns
    -------
    pandas.DataFrame
        Columns layer, group ("spatial", "cls"), measure ("alpha", "participation_ratio", "leading_share"), tokens (that
        have a value), value (of α, the corrected one where there is one), se, low, high.
    """
    cls = alpha[alpha.name == "cls"].assign(group="cls", tokens=alpha.alpha.notna().astype(int))
    own = pd.concat([means[means.group == "spatial"], cls], ignore_index=True)
    corrected = own.alpha_corrected.where(own.alpha_corrected.notna(), own.alpha)
    frames = [own.assign(measure="alpha", value=corrected)]
    for group in ("spatial", "cls"):
        found = dimensions.of_group(layers, folded, model, group)
        for measure, values in found.values.items():
            errors = np.full(len(values), np.nan)
            if found.influence is not None:
                errors = fits.standard_error(found.influence[measure], found.samples)
            its = {"layer": found.layers, "group": group, "measure": measure, "tokens": found.tokens, "value": values}
            ends = {"low": values - fits.INTERVAL * errors, "high": values + fits.INTERVAL * errors}
            frames.append(pd.DataFrame(its | {"se": errors} | ends))
    columns = ["layer", "group", "measure", "tokens", "value", "se", "low", "high"]
    return pd.concat([frame[columns] for frame in frames if len(frame)], ignore_index=True)


def _means(spectrum, means, store, folded, kind, settings):
    """Means over tokens and ranges of ranks of a layer, as rows; one spectrum of all tokens is as of one token."""
    eigenvalues, floor, independent = (np.atleast_2d(its) for its in spectrum)
    its, folds = None, 0
    if folded is not None:
        its, folds = read_folded(folded, kind), folded.attributes["folds"]
        its = its if kind == "token" else its.of(None)
    found = fits.mean_estimates(
        eigenvalues,
        resolved(eigenvalues, floor, independent),
        store.attributes["samples"],
        its,
        folds,
        means,
        weights=settings["weights"],
        min_ranks=settings["min_ranks"],
    )
    return [
        {
            "tokens": count,
            "alpha": alpha,
            "alpha_corrected": corrected,
            "se": se,
            "low": corrected - fits.INTERVAL * se,
            "high": corrected + fits.INTERVAL * se,
        }
        for count, alpha, corrected, se in found
    ]
