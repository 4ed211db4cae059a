"""What can be found wrong with data sets before the first job: without torch, and without reading an image."""

import json
from pathlib import Path

from tokengeometry.data.descriptions import changed
from tokengeometry.data.folders import class_folders, pictures
from tokengeometry.data.signatures import USERS_FOLDERS, check_arguments, parameters_of
from tokengeometry.errors import StudyError, explain, in_one_line


def check_datasets_before_run(config, results):
    """Raise StudyError, which names the split, where a split cannot be opened as the configuration describes it.

    The files of a split that was opened before are not looked for: they may be gone when all was made from them. But
    where it had fewer images than are asked for now, it may have grown.

    Parameters
    ----------
    config : dict
        As `tokengeometry.study.Study` takes it.
    results : path
        The folder with `data`.
    """
    for name, settings in config["datasets"].items():
        for split, its in settings["splits"].items():
            description = Path(results, "data", name, "splits", f"{split}.json")
            samples = its.get("samples", config["samples"])
            try:
                _check(settings["class"], its["arguments"], samples, description)
            except StudyError as error:
                raise StudyError(f"datasets.{name}.splits.{split}: {error}") from error
            except OSError as error:
                said = explain(error) or in_one_line(error)
                raise StudyError(f"datasets.{name}.splits.{split}: {said}") from error


def _check(class_name, arguments, samples, description):
    check_arguments(class_name, arguments)
    made = _made(description)
    root = Path(arguments.get("root", description.parents[1])).expanduser()
    if (made.get("class"), made.get("arguments")) != (class_name, arguments):
        if class_name in USERS_FOLDERS:
            class_folders(root)
        elif "root" in arguments and not root.is_dir():
            leave = ", or leave root out to have them downloaded" if "download" in parameters_of(class_name) else ""
            raise StudyError(f"{root.absolute()} is no folder: name the one with the files of {class_name}{leave}")
    elif class_name in USERS_FOLDERS and samples > made["images"]:
        now = len(pictures(root, arguments.get("extensions"), allow_empty=True).files)
        if now != made["images"]:
            raise StudyError(changed(root, made["images"], now, description))
    elif "root" in arguments and samples > made["images"]:
        raise StudyError(
            f"samples is {samples}, more than the {made['images']} images that {root} had when they were first read; "
            f"if it has more now, delete {description} and run again"
        )


def _made(description):
    if not description.is_file():
        return {}
    try:
        return json.loads(description.read_text())
    except ValueError as error:
        raise StudyError(f"{description} cannot be read ({error}); delete it and run again to rebuild it") from error
