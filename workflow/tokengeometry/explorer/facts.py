"""What a page says of how its numbers came about."""

from importlib.metadata import PackageNotFoundError, version

# Those in whose results numbers may differ.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "umap-learn", "zarr", "bokeh")


def settings_of(study, branch):
    """Of the configuration, what a branch's numbers depend on, without where its files lie.

    Parameters
    ----------
    study : tokengeometry.study.Study
    branch : tokengeometry.study.Branch

    Returns
    -------
    dict
        Whatever the order of the configuration's keys.
    """
    config = study.config
    dataset, model = config["datasets"][branch.dataset], config["models"][branch.model]
    arguments = dataset["splits"][branch.split]["arguments"]
    sections = ("images", "forward", "fit", "uncertainty", "clusters")
    return {
        "data set": dataset["class"],
        "arguments": {key: arguments[key] for key in sorted(arguments.keys() - {"root"})},
        "samples": study.samples(branch.dataset, branch.split),
        "concatenated samples": study.concatenated(branch.dataset, branch.split),
        "seed": config["seed"],
        "layers": study.layers(branch.model),
        "image size": model["image_size"],
        "statistics": sorted(config["statistics"]),
    } | {section: dict(sorted(config[section].items())) for section in sections}


def of_study(settings, model):
    """Configuration, weights and versions.

    Parameters
    ----------
    settings : dict
        Of the configuration, what the branch's numbers depend on.
    model : dict
        The content of `model.json`.

    Returns
    -------
    dict of str to dict
        By heading.
    """
    weights = {name: model.get(name) for name in ("architecture", "image_size", "source", "key", "sha256")}
    source = weights["source"]
    if isinstance(source, dict):
        # A place on a disk says nothing elsewhere.
        weights["source"] = {name: value for name, value in source.items() if name != "path"}
    return {
        "Configuration": settings,
        "Weights": {name: value for name, value in weights.items() if value is not None},
        "Versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
