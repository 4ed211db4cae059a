# What Snakemake's report shows, and where in it: snakemake --report report.zip
from tokengeometry.operations import captions

BRANCH, PAIR, STUDY = "{model}/{dataset}/{split}/", "{model}/{dataset}/", ""
# The report's categories. It sorts them by name.
EXPLORER, PAPER, FURTHER, RUN, TABLES = (
    "Explorer",
    "Figures of the paper",
    "Further figures",
    "Run",
    "Tables",
)


def reported(path, category, title, caption=None):
    """A file that the report shows under its branch, with a title and the caption of its name.

    The word {name} in a title is the statistic's. Neither title nor caption is a parameter, so a change of them
    makes nothing again.
    """
    of = {"model": "model", "data set": "dataset", "split": "split"}
    of = {label: f"{{{name}}}" for label, name in of.items() if f"{{{name}}}" in path}

    # A function, since Snakemake has labels' wildcards alone to go by, and a statistic has a name besides.
    def labels(wildcards):
        name = wildcards.get("statistic")
        if name:
            name = statistics.load(study.statistics[name]).NAME
        # One label at most may differ among results of a branch; of two Snakemake's report makes a switch.
        return {"result": title.format(name=name), **of}

    folder = {TABLES: "tables", EXPLORER: "explorer", RUN: "run"}.get(
        category, "figures"
    )
    caption = caption or Path(path).stem.replace("{statistic}", "statistic")
    return report(
        path,
        caption=f"../report/{folder}/{caption}.rst",
        category=category,
        subcategory=", ".join(of.values()) or "All branches",
        labels=labels,
    )


def told(wildcards, output):
    """What the captions of a statistic say of it.

    Snakemake keeps no record of a parameter that takes the output, so this one makes nothing again.
    """
    return captions.of_statistic(study.statistics[wildcards.statistic])


def told_of_split(wildcards, output):
    """What the caption of a split says of the study's images; makes nothing again, as `told`."""
    return {
        "samples": study.samples(wildcards.dataset, wildcards.split),
        "seed": config["seed"],
    }
