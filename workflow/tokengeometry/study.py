"""What a configuration asks for: branches, parts and layers; and whether it makes sense.

Light on purpose: no module of this one's needs torch.
"""

import difflib
import json
import math
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from tokengeometry.data.class_names import require_dataset_class
from tokengeometry.errors import StudyError
from tokengeometry.geometry import part_tree, statistics
from tokengeometry.operations.studies import RESERVED, folder_of
from tokengeometry.reduction import runs as reductions

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"
# Of a branch, but for those of its statistics.
TABLES = (
    "alpha_means",
    "claims",
    "clusters",
    "correlation",
    "dimensions",
    "fit_ranges",
    "reduction",
    "reduction_comparison",
)
MOST_PARTS = 1000
# Whose activations are computed in float32 too, where the chain is coarser.
MEASURED_SAMPLES = 128


@dataclass(frozen=True)
class Branch:
    """A model looking at a split of a data set."""

    model: str
    dataset: str
    split: str


@dataclass(frozen=True)
class Pair:
    """A model looking at a data set with a split named train and one named test, which are compared."""

    model: str
    dataset: str


class Study:
    """A valid configuration.

    Parameters
    ----------
    config : dict
        As read from `config.yaml`.

    Raises
    ------
    StudyError
        One line that names the key that is wrong and what would be right.
    """

    def __init__(self, config):
        _check_schema(config)
        self.config = config
        self.folder = folder_of(config)
        self.branches = [
            Branch(model, dataset, split)
            for model in config["models"]
            for dataset, settings in config["datasets"].items()
            for split in settings["splits"]
        ]
        self.pairs = [
            Pair(model, dataset)
            for model in config["models"]
            for dataset, settings in config["datasets"].items()
            if {"train", "test"} <= set(settings["splits"])
        ]
        _check_consistency(self)

    def samples(self, dataset, split):
        """How many images of the split are studied."""
        return self.config["datasets"][dataset]["splits"][split].get("samples", self.config["samples"])

    def counted(self, branch):
        """Model, data set, split and number of images of a branch."""
        return branch.model, branch.dataset, branch.split, self.samples(branch.dataset, branch.split)

    def parts(self, dataset, split):
        """The parts of a split's subset, as (start, stop) ranges of its permutation."""
        return cut(self.samples(dataset, split), self.config["samples_per_part"])

    def concatenated(self, dataset, split):
        """How many samples the spectrum of all tokens concatenated takes."""
        return min(self.samples(dataset, split), self.config["concatenated_samples"])

    def part_roots(self, dataset, split):
        """The nodes of the tree of parts that a split's moments are read from; see `geometry.part_tree.roots`."""
        full = self.samples(dataset, split) // self.config["samples_per_part"]
        return part_tree.roots(full, len(self.parts(dataset, split)))

    @property
    def folds(self):
        """Into how many folds images are dealt to say how sure α is; 0 is none."""
        return self.config["uncertainty"]["folds"]

    def fold_samples(self, dataset, split):
        """How many of the first images are dealt into folds."""
        return min(self.samples(dataset, split), self.config["uncertainty"]["images"]) if self.folds else 0

    @cached_property
    def coarse(self):
        """Whether anything in the chain is coarser than float32."""
        activations = self.config["activations"]
        return self.config["forward"]["precision"] != "float32" or (
            activations["store"] and activations["dtype"] != "float32"
        )

    def measured(self, dataset, split):
        """How many samples of the first part measure the noise of a coarse chain; else 0."""
        return min(MEASURED_SAMPLES, self.parts(dataset, split)[0][1]) if self.coarse else 0

    @cached_property
    def chains(self):
        """How many chains there are: one for each part of every branch."""
        return sum(len(self.parts(branch.dataset, branch.split)) for branch in self.branches)

    def chain(self, branch, part):
        """The number of a chain among all, from 0: branch by branch, part by part."""
        before = self.branches[: self.branches.index(branch)]
        return sum(len(self.parts(its.dataset, its.split)) for its in before) + part

    @cached_property
    def statistics(self):
        """The statistics' modules by the names of their tables."""
        return {statistics.table_of(name): name for name in self.config["statistics"]}

    def of_moments(self, table):
        """Whether a statistic's table is made from moments, not from spectra."""
        return hasattr(statistics.load(self.statistics[table]), "of_moments")

    def layers(self, model):
        """The layers of a model that are analysed, ascending."""
        return sorted(self.config["models"][model]["layers"])

    def chained(self, model):
        """Every layer that the chain passes through to reach the last one analysed, after layer 0."""
        return range(1, max(self.layers(model)) + 1)


@cache
def cut(samples, samples_per_part):
    """Consecutive ranges (start, stop) of `samples_per_part` samples; the last may be shorter.

    Raising `samples` adds ranges; only a last one that was not full changes.
    """
    return [(start, min(start + samples_per_part, samples)) for start in range(0, samples, samples_per_part)]


def check_model(config, name, model):
    """Whether what is asked of a model fits it.

    Parameters
    ----------
    config : dict
    name : str
        The model's name in the configuration.
    model : dict
        The content of its `model.json`.

    Raises
    ------
    StudyError
    """
    depth, features = model["depth"], model["embed_dim"]
    spatial = model["grid"][0] * model["grid"][1]
    key = f"models.{name}"
    if (last := max(config["models"][name]["layers"])) > depth:
        raise StudyError(f"{key}.layers: {last} is beyond the last layer of the model, {depth}")
    sizes = {"feature": features}
    if 0 in config["models"][name]["layers"]:
        sizes["pixel"] = model["in_chans"] * model["patch_size"][0] * model["patch_size"][1]
    for kind, size in sizes.items():
        if config["fit"]["ranks"][1] > size:
            raise StudyError(
                f"fit.ranks: {config['fit']['ranks'][1]} is beyond the rank of model {name}'s covariance, "
                f"which has {size} {kind}s; the last rank must be at most {size}"
            )
    if config["clusters"]["count"] + 2 > spatial:
        raise StudyError(
            f"clusters.count: {config['clusters']['count']} clusters need at least two more tokens than "
            f"that; model {name} has {spatial} spatial tokens"
        )
    token = config["figures"]["eigenspectrum"]["token"]
    if "," in token:
        row, column = map(int, token.split(","))
        if row >= model["grid"][0] or column >= model["grid"][1]:
            raise StudyError(
                f"figures.eigenspectrum.token: '{token}' is outside model {name}'s token grid of "
                f"{model['grid'][0]} rows and {model['grid'][1]} columns, which count from 0"
            )
    elif token not in model["prefix_tokens"]:
        there = ", ".join(model["prefix_tokens"]) or "none"
        raise StudyError(
            f"figures.eigenspectrum.token: model {name} has no token '{token}'; its prefix tokens: {there}; "
            "a spatial token, 'row,column' such as '0,0', is there in every model"
        )


def check_dataset(config, name, sizes):
    """Whether every split has as many images as are asked for.

    Parameters
    ----------
    config : dict
    name : str
        The data set's name in the configuration.
    sizes : dict of str to int
        Images in each split.

    Raises
    ------
    StudyError
    """
    for split, settings in config["datasets"][name]["splits"].items():
        samples = settings.get("samples", config["samples"])
        if split in sizes and samples > sizes[split]:
            key = f"datasets.{name}.splits.{split}.samples" if "samples" in settings else "samples"
            raise StudyError(f"{key}: {samples} is more than the {sizes[split]} images of {name}/{split}")


def is_of(model, settings):
    """Whether a `model.json` is of the model that a configuration describes, or of an earlier one of that name.

    Parameters
    ----------
    model : dict
        The content of `model.json`.
    settings : dict
        The configuration's `models.NAME`.
    """
    return model["architecture"] == settings["architecture"] and settings["image_size"] in model["image_size"]


def check_known(config, results):
    """Check against the models and data sets that lie in `results` already; the others when they are made.

    A model or a split that the configuration now describes otherwise will be made again, and checked then.
    """
    for name, settings in config["models"].items():
        model = _known(Path(results, "models", name, "model.json"))
        if model and is_of(model, settings):
            check_model(config, name, model)
    for name, settings in config["datasets"].items():
        for split, its in settings["splits"].items():
            made = _known(Path(results, "data", name, "splits", f"{split}.json")) or {}
            if (made.get("class"), made.get("arguments")) == (settings["class"], its["arguments"]):
                check_dataset(config, name, {split: made["images"]})


def _known(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete it and run again to rebuild it") from error


def check_keys(path):
    """Whether a configuration file names every key once; of two, YAML would take the last in silence.

    Raises
    ------
    StudyError
    """

    def check(node, parents):
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                check(item, parents)
        if not isinstance(node, yaml.MappingNode):
            return
        lines = {}
        for key, value in node.value:
            name = ".".join([*parents, str(key.value)])
            if key.value in lines:
                raise StudyError(
                    f"{name}: it stands twice in {path}, in lines {lines[key.value]} and "
                    f"{key.start_mark.line + 1}; keep one"
                )
            lines[key.value] = key.start_mark.line + 1
            check(value, [*parents, str(key.value)])

    check(yaml.compose(Path(path).read_text(), Loader=yaml.SafeLoader), [])


# jsonschema takes 24.0 for an integer, and any number for one that has a minimum: .nan too.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ),
    }
)
_TYPE_WORDS = {
    "object": "a section with keys",
    "array": "a list",
    "string": "text; put it in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


def schema_errors(config):
    """Where a configuration isn't as the schema has it: paths, each a list of keys and of positions in lists."""
    return [list(error.absolute_path) for error in _validator().iter_errors(config)]


@cache
def _validator():
    return _Validator(yaml.safe_load(SCHEMA.read_text()))


def _check_schema(config):
    error = best_match(_validator().iter_errors(config))
    if error is None:
        return
    while error.parent is not None and error.parent.validator == "anyOf":
        error = error.parent
    place = [str(part) for part in error.absolute_path]
    right = error.schema.get("description", "")
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        unknown = next(str(key) for key in error.instance if key not in known)
        nearest = difflib.get_close_matches(unknown, known, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        place, said, right = [*place, unknown], "there is no such key", f"{hint}the keys here are {', '.join(known)}"
    elif error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        place, said = [*place, missing], "this key is missing"
    elif "propertyNames" in error.absolute_schema_path:
        said = f"{error.instance!r} cannot be a name"
    elif error.validator in ("pattern", "anyOf"):
        said = f"{error.instance!r} is not allowed"
    elif error.validator == "type":
        said = f"{error.instance!r} is not {_TYPE_WORDS[error.validator_value]}"
    else:
        said = " ".join(error.message.split())
    raise StudyError(f"{'.'.join(place) or 'the configuration'}: {said}{right and f'; {right}'}")


def _check_consistency(study):
    config = study.config
    if "power_law" not in config["statistics"]:
        raise StudyError("statistics: power_law is missing; the clusters are those of its trajectories")
    own = [statistics.table_of(name) for name in config["statistics"]]
    for name, table in zip(config["statistics"], own, strict=True):
        if [*TABLES, *own].count(table) > 1:
            raise StudyError(f"statistics: {name} would make {table}.csv, as another does; give it another name")
    first, last = config["fit"]["ranks"]
    if first >= last:
        raise StudyError(f"fit.ranks: the first rank, {first}, must be below the last, {last}")
    if config["fit"]["min_ranks"] > last - first + 1:
        raise StudyError(
            f"fit.min_ranks: {config['fit']['min_ranks']} is more than the {last - first + 1} ranks of fit.ranks"
        )
    for name in config["models"]:
        if name.lower() in RESERVED:
            raise StudyError(f"models.{name}: this name is taken by a folder of results/; choose another")
    for name, settings in config["models"].items():
        _check_control(config["models"], name, settings.get("control"))
    _check_names_differ("models", config["models"])
    _check_names_differ("datasets", config["datasets"])
    for name, settings in config["datasets"].items():
        try:
            require_dataset_class(settings["class"])
        except StudyError as error:
            raise StudyError(f"datasets.{name}.class: {error}") from error
        _check_names_differ(f"datasets.{name}.splits", settings["splits"])
        for split in settings["splits"]:
            _check_split(study, name, split)
    if "reduction" in config:
        reductions.check(study)
    layer = config["figures"]["eigenspectrum"]["layer"]
    for name, model in config["models"].items():
        if layer not in model["layers"]:
            raise StudyError(f"figures.eigenspectrum.layer: {layer} is not among models.{name}.layers")
    token = config["figures"]["eigenspectrum"]["token"]
    if layer == 0 and "," not in token:
        raise StudyError(
            f"figures.eigenspectrum.token: layer 0 has only pixel patches, no '{token}'; name one as 'row,column'"
        )


def _check_control(models, name, control):
    key = f"models.{name}.control"
    if control is None:
        return
    if control not in models or control == name:
        raise StudyError(f"{key}: '{control}' is no other model of the study; name one of {sorted({*models} - {name})}")
    if "control" in models[control]:
        raise StudyError(f"{key}: '{control}' has a control itself; leave out models.{control}.control")


def _check_names_differ(key, names):
    """Two folders whose names differ in case only are one where the file system knows no case."""
    seen = {}
    for name in names:
        if name.lower() in seen:
            raise StudyError(f"{key}.{name}: it differs from {seen[name.lower()]} in case only; choose another name")
        seen[name.lower()] = name


def _check_split(study, dataset, split):
    samples = study.samples(dataset, split)
    last = study.config["fit"]["ranks"][1]
    for key, count in (
        ("samples", samples),
        ("concatenated_samples", study.concatenated(dataset, split)),
    ):
        if last > count - 1:
            raise StudyError(
                f"fit.ranks: {last} is beyond the rank {count - 1} of {count} centred samples "
                f"({key} of {dataset}/{split})"
            )
    for key, count in (
        ("concatenated_samples", study.concatenated(dataset, split)),
        ("uncertainty.images", study.fold_samples(dataset, split)),
    ):
        if count > study.config["samples_per_part"] and not study.config["activations"]["store"]:
            raise StudyError(
                f"{key}: with activations.store: false it must be at most samples_per_part, "
                f"{study.config['samples_per_part']}; it is {count} for {dataset}/{split}"
            )
    if (parts := len(study.parts(dataset, split))) > MOST_PARTS:
        raise StudyError(
            f"samples_per_part: {study.config['samples_per_part']} cuts {dataset}/{split} into {parts} parts; "
            f"there may be {MOST_PARTS}"
        )
