# What the rules of figures share.
# What they draw.
FIGURES = []


def pictures(name, title, paper=None, of=BRANCH, caption=None):
    """A figure's two files, the bitmap with its place in the report; `paper` is its number in the paper."""
    category = PAPER if paper else FURTHER
    bitmap, vectors = multiext(f"<results>/{of}figures/{name}", ".png", ".svg")
    FIGURES.extend([str(bitmap), str(vectors)])
    title = f"{paper} · {title}" if paper else title
    return [reported(bitmap, category, title, caption), vectors]


def drawing_log(name, of=BRANCH):
    return f"<results>/logs/figures/{of}{name}.log"


def drawing_times(name, of=BRANCH):
    return f"<results>/benchmarks/figures/{of.replace(os.sep, '.')}{name}.tsv"


def branches_shown(*splits):
    """Model, data set, split and N of what a figure is of: the rule's own branch, or its data set's splits."""

    def shown(wildcards):
        return [
            study.counted(Branch(wildcards.model, wildcards.dataset, split))
            for split in splits or [wildcards.split]
        ]

    return shown


def split_labels(branch):
    """Every split's name in a figure of one branch, up to the branch's own.

    What comes later in the configuration doesn't change its colour, nor make it rerun.
    """
    labels = [
        f"{dataset} {split}"
        for dataset, settings in config["datasets"].items()
        for split in settings["splits"]
    ]
    return labels[: labels.index(f"{branch.dataset} {branch.split}") + 1]


def branch_label(branch):
    """A branch's name in a figure, its split last; the model is named where there are several."""
    model = f"{branch.model}, " if len(config["models"]) > 1 else ""
    return f"{model}{branch.dataset} {branch.split}"
