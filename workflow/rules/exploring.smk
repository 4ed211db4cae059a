# What the rules of the explorer share.
from tokengeometry.explorer import facts

EXPLORED = "<results>/explorer/{model}.{dataset}.{split}.html"
# The model of each branch.
MODELS_EXPLORED = every_branch(rules.model.output.description)


def thumbnails(wildcards):
    """How many images a token and a layer get; none where the data set's licence allows none."""
    allowed = config["datasets"][wildcards.dataset].get("thumbnails", True)
    return config["explorer"]["thumbnails"] if allowed else 0


def statistic_labels(wildcards):
    """What the statistics other than α are called, by their tables."""
    return {
        table: statistics.load(name).LABEL
        for table, name in study.statistics.items()
        if table != "alpha"
    }


def every_statistic(path):
    """The path for every statistic other than α."""
    return expand(path, statistic=statistic_labels(None), allow_missing=True)
