import gc
import json
import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger

# Snakemake holds all jobs to its end: Python's collector of cycles would find nothing, again and again.
gc.freeze()
gc.set_threshold(100_000, 50, 50)

# Not the basedir of the whole workflow: that may be another one's, which has taken this one in as a module. The
# command line, the working directory and its locks are then that workflow's.
IMPORTED = not workflow.modifier.is_main_snakefile()
WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
if not WORKFLOW.is_dir():
    sys.exit(
        f"error: {WORKFLOW} is not on this disk, where the package has to be; clone the repository and name its "
        "Snakefile in the module"
    )
# For this file and for the scripts, which run in processes of their own.
sys.path.insert(0, str(WORKFLOW))
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        sys.path[:1] + [p for p in [os.environ.get("PYTHONPATH")] if p]
    )
)

from tokengeometry.data.checks import check_datasets_before_run
from tokengeometry.operations.command_line import read_settings
from tokengeometry.errors import StudyError, explain
from tokengeometry.operations.known_fingerprints import known_fingerprint
from tokengeometry.model.checks import check_models, find_contents, planned_content
from tokengeometry.model.file_content import without_place
from tokengeometry.operations.resources import ALLOCATOR
from tokengeometry.operations.studies import RESULTS, check_folder, file_names
from tokengeometry.geometry import part_tree, statistics
from tokengeometry.study import (
    Branch,
    Study,
    check_keys,
    check_known,
)

for variable, value in ALLOCATOR.items():
    os.environ.setdefault(variable, value)

try:
    if not IMPORTED:
        for path in workflow.configfiles:
            check_keys(path)
        read_settings(workflow.config_settings.config_args, config)
    study = Study(config)
    CONFIGURATION = file_names(workflow.configfiles, study.folder)
    if workflow.is_main_process:
        CONTENTS = find_contents(config, RESULTS)
        if not IMPORTED:
            check_folder(study.folder, CONFIGURATION, config, CONTENTS)
        # A folder that has changed is said to have, before its images are counted.
        check_datasets_before_run(config, RESULTS)
    check_known(config, RESULTS)
    if workflow.is_main_process:
        MODELS = check_models(config, RESULTS)
except StudyError as error:
    sys.exit(f"error: {error}")


# Of this study; models and data, in results/ itself, are those of all studies.
pathvars:
    results=study.folder,


if workflow.modifier.modify_path(RESULTS) != RESULTS or (
    workflow.pathvars.get("results") != study.folder
):
    sys.exit(
        "error: the module's prefix, replace_prefix or pathvars would lead away from the study's folder, "
        f"{study.folder}; leave them out and give the study a name (config: name)"
    )


wildcard_constraints:
    model="|".join(map(re.escape, config["models"])),
    dataset="|".join(map(re.escape, config["datasets"])),
    split="|".join({re.escape(branch.split) for branch in study.branches}),
    layer=r"\d{2}",
    # α has rules of its own.
    statistic="|".join(map(re.escape, study.statistics.keys() - {"alpha"})) or "(?!)",
    part=r"\d{3}",
    first=r"\d{3}",
    last=r"\d{3}",


def code(script, statistic=None):
    """What a script does, with all it imports: a parameter, so that a change of it reruns the rule.

    That of a statistic is named by the rule, not by the script.
    """
    found = known_fingerprint(WORKFLOW / "scripts" / script)
    if statistic:
        found += known_fingerprint(
            Path(statistics.__file__).with_name(f"{statistic}.py")
        )
    return found


# A layer's stores: of a part, and over all parts.
ACTIVATIONS = (
    "<results>/{model}/{dataset}/{split}/activations/layer_{layer}/part_{part}.zarr"
)
MOMENTS = "<results>/{model}/{dataset}/{split}/moments/layer_{layer}/part_{part}.zarr"
# Of several neighbouring parts together.
MERGED = "<results>/{model}/{dataset}/{split}/moments/layer_{layer}/parts_{first}_{last}.zarr"
CONCATENATED = (
    "<results>/{model}/{dataset}/{split}/moments/layer_{layer}/concatenated.zarr"
)
UNCERTAINTY = "<results>/{model}/{dataset}/{split}/uncertainty/layer_{layer}.zarr"
NOISE = "<results>/{model}/{dataset}/{split}/noise/layer_{layer}.zarr"


def stored(path, keep):
    """A store among the outputs, deleted once it has been used unless it is to be kept."""
    return directory(path) if keep else temp(directory(path))


def in_order(settings):
    """Settings as a parameter: their order in the configuration makes nothing rerun."""
    return dict(sorted(settings.items()))


def split_arguments(wildcards):
    return in_order(
        config["datasets"][wildcards.dataset]["splits"][wildcards.split]["arguments"]
    )


def split_white(wildcards):
    """The value that is white, where the data set's files do not say it; None where it isn't set."""
    white = config["datasets"][wildcards.dataset].get("white")
    return None if white is None else float(white)


def part_range(wildcards):
    """The part's samples; the first part's where there is no such wildcard."""
    return study.parts(wildcards.dataset, wildcards.split)[
        int(wildcards.get("part", "000"))
    ]


def layers_of(path):
    """The path for every analysed layer of a branch."""

    def paths(wildcards):
        return expand(
            path,
            layer=[f"{layer:02d}" for layer in study.layers(wildcards.model)],
            allow_missing=True,
        )

    return paths


def joint_samples(wildcards):
    return study.concatenated(wildcards.dataset, wildcards.split)


def fold_samples(wildcards):
    return study.fold_samples(wildcards.dataset, wildcards.split)


def part_names(wildcards, first=0):
    """The names of a branch's parts, or of those that have the first so many samples."""
    count = len(study.parts(wildcards.dataset, wildcards.split))
    if first:
        count = -(-first // config["samples_per_part"])
    return [f"{part:03d}" for part in range(count)]


def parts_of(path, first=lambda wildcards: 0):
    """The path for every part of a branch, or for those that have the first so many samples."""

    def paths(wildcards):
        return expand(
            path, part=part_names(wildcards, first(wildcards)), allow_missing=True
        )

    return paths


def of_node(wildcards, first, last):
    """The moments of a node of the tree of parts."""
    if first == last:
        return MOMENTS.format(**dict(wildcards, part=f"{first:03d}"))
    return MERGED.format(**dict(wildcards, first=f"{first:03d}", last=f"{last:03d}"))


def halves(wildcards):
    """The moments that are merged into those of a range of parts."""
    return [
        of_node(wildcards, *node)
        for node in part_tree.children(int(wildcards.first), int(wildcards.last))
    ]


def all_moments(wildcards):
    """The moments of all parts of a layer, merged as far as can be."""
    return [
        of_node(wildcards, *node)
        for node in study.part_roots(wildcards.dataset, wildcards.split)
    ]


def chain_priority(wildcards):
    """Branch by branch and part by part, so that neighbours can be merged early: from 1 down to above 0."""
    branch = Branch(wildcards.model, wildcards.dataset, wildcards.split)
    return 1 - study.chain(branch, int(wildcards.get("part", 0))) / study.chains


def settings_of(statistic):
    """The keyword arguments that a statistic takes from the configuration."""
    section = getattr(statistics.load(statistic), "SETTINGS", None)
    return in_order(config[section]) if section else {}


def previous_layer(wildcards):
    return ACTIVATIONS.format(
        **dict(wildcards, layer=f"{int(wildcards.layer) - 1:02d}")
    )


def measured_samples(wildcards):
    return study.measured(wildcards.dataset, wildcards.split)


def previous_reference(wildcards):
    """Layer ℓ−1 in float32 of the samples that measure noise: beside the noise, or the pixels."""
    if int(wildcards.layer) > 1:
        return NOISE.format(**dict(wildcards, layer=f"{int(wildcards.layer) - 1:02d}"))
    return ACTIVATIONS.format(**dict(wildcards, layer="00", part="000"))


def measured_noise(wildcards):
    """The store of the layer's measured noise, where it is measured."""
    if int(wildcards.layer) and study.coarse:
        return [NOISE.format(**wildcards)]
    return []


def every_branch(*paths):
    """The paths for every branch of the study."""
    return [path.format(**vars(branch)) for path in paths for branch in study.branches]


def every_pair(*paths):
    """The paths for every data set of the study whose train and test splits are compared."""
    return [path.format(**vars(pair)) for path in paths for pair in study.pairs]


def every(path):
    """The path for all that the study has of its wildcards."""
    if "{statistic}" in path:
        # α has rules of its own.
        others = study.statistics.keys() - {"alpha"}
        return every_branch(*expand(path, statistic=others, allow_missing=True))
    if "{split}" in path:
        return every_branch(path)
    return every_pair(path) if "{dataset}" in path else [path]


def of_part(path, first):
    """The path of the first part, or of any."""
    return path.replace("{part}", "000") if first else path


def stores_of(model, path, keep, first=0):
    """The path for every analysed layer of a model, from `first` on."""
    return [
        stored(path.replace("{layer}", f"{layer:02d}"), keep)
        for layer in study.layers(model)
        if layer >= first
    ]


def of_split(path, split):
    """The path for one split, whatever the branch's other wildcards."""
    return expand(path, split=split, allow_missing=True)


def every_split(path):
    """The path for every split of every data set, whatever the model."""
    return sorted({path.format(**vars(branch)) for branch in study.branches})


def kept_activations(_wildcards):
    """The stores of every branch, analysed layer and part; an end where there would be none."""
    if not config["activations"]["store"]:
        sys.exit(
            "error: activations.store: false stores none of what the target activations asks for; make it true"
        )
    if not (config["activations"]["keep"] or workflow.storage_settings.notemp):
        sys.exit(
            "error: activations.keep: false deletes the stores that the target activations asks for; "
            "make it true, or add --notemp"
        )
    return every_store(ACTIVATIONS)


def require_reduction(_wildcards):
    sys.exit(
        "error: reduction: the configuration has no such section; docs/reduction.md has one to begin with"
    )


def every_store(*paths):
    """The paths for every branch, analysed layer and part."""
    found = {
        path.format(**vars(branch), layer=f"{layer:02d}", part=f"{part:03d}")
        for path in paths
        for branch in study.branches
        for layer in study.layers(branch.model)
        for part in range(len(study.parts(branch.dataset, branch.split)))
    }
    return sorted(found)


def kept_stores(_wildcards):
    """What is to be there when the study is done, though no later file waits for it.

    A killed job that was to change a store has deleted it; what was made from it before may still be there.
    """
    paths = [CONCATENATED, rules.spectra.output.store]
    paths.append(rules.correlation_matrix.output.store)
    if study.folds:
        paths.append(UNCERTAINTY)
    if config["activations"]["store"] and config["activations"]["keep"]:
        paths.append(ACTIVATIONS)
    if config["moments"]["keep"]:
        paths.append(MOMENTS)
    stores = every_store(*paths)
    if study.coarse:
        stores += [path for path in every_store(NOISE) if "layer_00." not in path]
    return stores


def control_claims(wildcards):
    """The claims of the model that stands beside this one, if there is one."""
    control = config["models"][wildcards.model].get("control")
    path = "<results>/{model}/{dataset}/{split}/claims.csv"
    return [path.format(**dict(wildcards, model=control))] if control else []


def example_spectrum(wildcards):
    return rules.spectra.output.store.format(
        **dict(wildcards, layer=f"{config['figures']['eigenspectrum']['layer']:02d}")
    )
