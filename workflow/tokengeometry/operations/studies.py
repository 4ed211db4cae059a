"""Several studies in one working directory: each in a folder of its own, beside the models and data that they share.

A study's folder is `results/` itself, `results/NAME` or one of the user's choice, by the configuration's `name`. Its
`study.json` says which configuration made it, and of which models and data. Light: no torch.
"""

import json
import os
from pathlib import Path

from tokengeometry.errors import StudyError
from tokengeometry.model.file_content import without_place

# The default study's name and folder; models and data of all studies are in it.
RESULTS = "results"
# Folders of results/ that are neither a model's nor a study's.
RESERVED = {"benchmarks", "data", "explorer", "figures", "logs", "models"}
RECORD = "study.json"
# Which studies lie in folders of the user's choice.
ELSEWHERE = Path(RESULTS, "elsewhere.json")


def folder_of(config):
    """Where a study's results are: a path relative to the working directory, absolute where it lies outside.

    Raises
    ------
    StudyError
        If the configuration's name leads to a folder that can't be a study's.
    """
    name = config.get("name", RESULTS)
    if "/" not in name:
        folder = Path(RESULTS) if name == RESULTS else Path(RESULTS, name)
    else:
        folder = Path(os.path.normpath(os.path.expanduser(name)))
        if folder.is_relative_to(Path.cwd()):
            folder = folder.relative_to(Path.cwd())
    _check_place(name, folder)
    return str(folder)


def _check_place(name, folder):
    if not _is_in_results(folder) and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(RESULTS)):
        raise StudyError(
            f"name: '{name}' leads into results/; a study there is one folder of it, named without a slash"
        )
    inside = folder.parts[1:] if _is_in_results(folder) else ()
    if inside and inside[0].lower() in RESERVED:
        raise StudyError(f"name: '{name}' is taken by a folder of results/; choose another")
    if len(inside) > 1:
        raise StudyError(f"name: '{name}' is too deep; a study in results/ is one folder of it, named without a slash")
    if Path.cwd().is_relative_to(os.path.abspath(folder)):
        raise StudyError(f"name: '{name}' holds the working directory; name a folder of the study's own")


def described(config, contents):
    """What a configuration says of its models and data, as far as results/models and results/data depend on it.

    Of a file of weights the content counts, not the place.
    """
    here = {
        "models": {
            name: {
                "architecture": settings["architecture"],
                "image_size": settings["image_size"],
                "weights": without_place(settings["weights"]) | {"content": contents.get(name)},
            }
            for name, settings in config["models"].items()
        },
        "datasets": {
            name: {
                "class": settings["class"],
                "splits": {split: its["arguments"] for split, its in settings["splits"].items()},
            }
            for name, settings in config["datasets"].items()
        },
    }
    # As they will be read.
    return json.loads(json.dumps(here, default=str))


def record(folder, configuration, config, contents):
    """Note in a study's folder which configuration made it, and of what.

    Parameters
    ----------
    folder : path
    configuration : str
        Its file, as of `file_names`.
    config : dict
    contents : dict of str to str
        The sha256 of models' files of weights; see `tokengeometry.model.checks.find_contents`.
    """
    if not _is_in_results(folder):
        known = _read(ELSEWHERE) or []
        if str(folder) not in known:
            _write(ELSEWHERE, [*known, str(folder)])
    _write(Path(folder, RECORD), {"configuration": configuration, **described(config, contents)})


def file_names(paths, folder):
    """Configuration files as a record in this folder names them: as the folder, relative to the working directory."""
    name = os.path.abspath if Path(folder).is_absolute() else os.path.relpath
    return " ".join(map(name, paths))


def others(folder):
    """The other studies of this working directory: a dict of folder to the content of its record."""
    folders = [Path(RESULTS), *sorted(path.parent for path in Path(RESULTS).glob(f"*/{RECORD}"))]
    folders += [Path(path) for path in _read(ELSEWHERE) or []]
    found = {str(path): _read(path / RECORD) for path in folders if path != Path(folder)}
    return {path: its for path, its in found.items() if its is not None}


def within(folder):
    """The folders of other studies that lie in this one's."""
    return [path for path in others(folder) if Path(path).is_relative_to(folder)]


def check_folder(folder, configuration, config, contents):
    """Whether a study may be made, or gone on with, in its folder, beside the others that are there.

    The parameters are those of `record`.

    Raises
    ------
    StudyError
        If another configuration made what lies in it, if it is something else than a study's folder, or if another
        study's results are of a model or data set that this one describes otherwise.
    """
    its = _read(Path(folder, RECORD))
    beside = others(folder)
    if its is not None and its["configuration"] != configuration:
        raise StudyError(
            f"{folder}/ is the study of {its['configuration']}, which {configuration} would overwrite; give "
            f"{configuration} a name of its own (name: …) or, if it is that study in a renamed file, write "
            f"{configuration} for {its['configuration']} in {folder}/{RECORD}"
        )
    if str(folder) == RESULTS:
        for model in config["models"]:
            if f"{RESULTS}/{model}" in beside:
                raise StudyError(
                    f"models.{model}: {RESULTS}/{model} is the folder of a study; name the model otherwise"
                )
    elif its is None:
        _check_free(folder, beside)
    for path, other in beside.items():
        _check_shared(described(config, contents), path, other)


def _check_free(folder, beside):
    """Whether a folder without a record can become a study's."""
    path, outer = Path(folder), beside.get(RESULTS, {"models": {}})
    if _is_in_results(folder) and path.name in outer["models"]:
        raise StudyError(f"name: {folder} is the folder of a model of the study in {RESULTS}/; choose another name")
    for parent in Path(os.path.abspath(path)).parents:
        if (parent / RECORD).exists() and parent != Path(RESULTS).absolute():
            raise StudyError(f"name: {folder} lies in the folder of another study, {parent}; choose another folder")
    # The words and times of a plan, or of a run that was ended early, are no results.
    if path.exists() and any(
        not file.name.startswith(".") and file.name not in ("logs", "benchmarks") for file in path.iterdir()
    ):
        raise StudyError(f"name: {folder} is there and no study's folder (it has no {RECORD}); choose another name")


def _check_shared(here, path, other):
    """Whether what another study has used is described as it has it."""
    for name, model in here["models"].items():
        theirs = other["models"].get(name, model)
        if theirs != model and Path(path, name).is_dir():
            raise _taken(f"models.{name}", _first_difference(model, theirs), path)
    for name, dataset in here["datasets"].items():
        theirs = other["datasets"].get(name, dataset)
        for split in dataset["splits"].keys() & theirs["splits"].keys():
            if not any(Path(path).glob(f"*/{name}/{split}")):
                continue
            if dataset["class"] != theirs["class"]:
                raise _taken(f"datasets.{name}", "class", path)
            if dataset["splits"][split] != theirs["splits"][split]:
                raise _taken(f"datasets.{name}", f"splits.{split}.arguments", path)


def _first_difference(model, theirs):
    return next(key for key in model if model[key] != theirs[key])


def _taken(key, what, path):
    return StudyError(
        f"{key}.{what}: the study in {path}/ has it otherwise, and its results are of that; all studies here share "
        f"what is fetched, so give this one another name than {key}"
    )


def _is_in_results(folder):
    return Path(folder).parts[:1] == (RESULTS,)


def _read(path):
    """The content of a record, or None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete it, or its folder, and run again") from error


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
