"""Sentences that say what a figure cannot show: α, correlation or cluster without a value."""

import re

from tokengeometry.tables import TOGETHER, value_of


def undefined_values(table, kinds, name="α"):
    """One sentence for each run of layers that miss the same values for the same reason.

    Parameters
    ----------
    table : pandas.DataFrame
        The statistic's: columns layer, kind, the value, reason.
    kinds : sequence of str
        Only rows of these kinds are looked at.
    name : str
        Of the statistic, in sentences.

    Returns
    -------
    list of str
    """
    value = value_of(table)
    sentences = {}
    tokens = table[table["kind"].isin([kind for kind in kinds if kind in ("prefix", "spatial")])]
    for layer, rows in tokens.groupby("layer"):
        missing = rows[rows[value].isna()]
        if len(missing):
            what = f"{name} undefined for {len(missing)} of {len(rows)} tokens{_reasons(missing)}"
            sentences.setdefault(what, []).append(int(layer))
    for kind in TOGETHER:
        missing = table[(table["kind"] == kind) & table[value].isna()] if kind in kinds else table[:0]
        for reason, rows in missing.groupby(missing["reason"].fillna("")):
            what = f"{kind} {name} undefined" + (f" ({reason})" if reason else "")
            sentences.setdefault(what, []).extend(int(layer) for layer in rows["layer"])
    return [f"{layers_in_words(layers)}: {what}" for what, layers in sentences.items()]


def tokens_without_cluster(clusters):
    """How many tokens are in no cluster, and why.

    Parameters
    ----------
    clusters : pandas.DataFrame
        The cluster table: columns cluster, reason.

    Returns
    -------
    str
        Empty when every token is in one.
    """
    missing = clusters[clusters["cluster"].isna()]
    if not len(missing):
        return ""
    return f"{len(missing)} of {len(clusters)} tokens in no cluster{_reasons(missing)}"


def of_branches(sentences):
    """The sentences of several branches, each said once with the branches it holds for.

    Parameters
    ----------
    sentences : dict of str to list of str
        Those of each branch, by its label.

    Returns
    -------
    list of str
        One that holds for every branch is said without their labels.
    """
    labels_of = {}
    for label, own in sentences.items():
        for sentence in own:
            labels_of.setdefault(sentence, []).append(label)
    return [
        sentence if len(labels) == len(sentences) else f"{', '.join(labels)}, {sentence}"
        for sentence, labels in labels_of.items()
    ]


def layers_in_words(layers):
    """Layers as `layer 0`, or `layers 0, 3–12`.

    Parameters
    ----------
    layers : sequence of int

    Returns
    -------
    str
    """
    layers = sorted(set(layers))
    runs = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ("layer " if len(layers) == 1 else "layers ") + ", ".join(words)


def _reasons(rows):
    """The different reasons in brackets; those that differ in a leading number only are one, with its range."""
    numbers = {}
    for reason in {str(reason) for reason in rows["reason"].dropna() if str(reason)}:
        number, words = re.fullmatch(r"(\d* ?)(.*)", reason, re.DOTALL).groups()
        numbers.setdefault(words, []).extend([int(number)] if number.strip() else [])
    reasons = sorted(f"{_span(found)}{words}" for words, found in numbers.items())
    return f" ({', '.join(reasons)})" if reasons else ""


def _span(numbers):
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    return f"{low} " if low == high else f"{low}–{high} "
