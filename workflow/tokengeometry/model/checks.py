"""Whether a study's models can be made, known before any job: their architecture, their size, their file of weights.

Light on purpose: timm is imported by another process, once for each model; see `tokengeometry.operations.answers`.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

from tokengeometry.errors import StudyError, of_model
from tokengeometry.model.file_content import known_sha256, local_file
from tokengeometry.operations import answers
from tokengeometry.operations.known_fingerprints import known_fingerprint
from tokengeometry.study import check_model, is_of

# By its name alone: it imports timm.
DESCRIBE = "tokengeometry.model.describe_models"
# What the processes of the jobs are told: the content of a file of weights as this run has seen it when it was planned.
CONTENTS = "TOKENGEOMETRY_WEIGHTS_SHA256"


def check_models(config, results):
    """Check every model of the study, but for the shape of those that lie in `results` as they are described.

    Parameters
    ----------
    config : dict
        A valid configuration.
    results : path

    Returns
    -------
    dict of str to dict
        By the model's name, what `tokengeometry.model.token_chain.describe` says of it.

    Raises
    ------
    StudyError
        One line that begins with the key that is wrong.
    """
    asked, found = {}, {}
    for name, settings in config["models"].items():
        source = settings["weights"]["source"]
        found[name] = _made(name, settings, results)
        if found[name] is None or found[name]["source"]["source"] != source:
            asked[name] = [settings["architecture"], settings["image_size"], source]
    for name, answer in _described(asked).items():
        if "error" in answer:
            raise StudyError(of_model(name, answer["error"]))
        check_model(config, name, answer["model"])
        found[name] = answer["model"]
    return found


def find_contents(config, results):
    """The sha256 of every model's file of weights, noted for the processes of the jobs: a dict by the model's name.

    Raises
    ------
    StudyError
        As of `content_of`.
    """
    contents = {
        name: content_of(name, settings, results)
        for name, settings in config["models"].items()
        if settings["weights"]["source"] == "file"
    }
    os.environ[CONTENTS] = json.dumps(contents)
    return contents


def content_of(name, settings, results):
    """The sha256 of a model's file of weights.

    Where the file isn't there any more, but the weights that were made from it are: that of the file then.

    Raises
    ------
    StudyError
        There is no such file and no weights made from it, or it isn't the one of `weights.sha256`.
    """
    source = settings["weights"]
    try:
        path = local_file(source["path"])
        found = known_sha256(path)
    except StudyError as error:
        made = _made(name, settings, results)
        # The sha256 that it has to have may have been added or taken away since.
        same = ("source", "path", "key")
        if made is None or [made["source"].get(key) for key in same] != [source.get(key) for key in same]:
            raise StudyError(of_model(name, str(error))) from error
        path, found = Path(source["path"]), made["source"]["sha256"]
    except OSError as error:
        raise StudyError(of_model(name, f"weights.path: {path} cannot be read: {error.strerror.lower()}")) from error
    if found != source.get("sha256", found).lower():
        raise StudyError(of_model(name, f"weights.sha256: {path} has sha256 {found}, not {source['sha256'].lower()}"))
    return found


def planned_content(name):
    """The sha256 of a model's file of weights when this run was planned; None for weights of another source."""
    return json.loads(os.environ.get(CONTENTS, "{}")).get(name)


def _made(name, settings, results):
    """The content of `model.json` where it is of this model, and its weights are there; or None."""
    folder = Path(results, "models", name)
    if not (folder / "model.json").exists() or not (folder / "weights.safetensors").exists():
        return None
    model = json.loads((folder / "model.json").read_text())
    return model if is_of(model, settings) else None


def _described(asked):
    """The answers of `tokengeometry.model.describe_models` to what is asked, by name."""
    code = known_fingerprint(Path(__file__).with_name("describe_models.py"))
    versions = [importlib.metadata.version(package) for package in ("timm", "torch")]
    questions = {name: ["model", code, versions, *question] for name, question in asked.items()}
    found = {name: answers.kept(question) for name, question in questions.items()}
    unknown = [name for name in asked if found[name] is None]
    if unknown:
        process = subprocess.run(
            [sys.executable, "-m", DESCRIBE],
            input=json.dumps([asked[name] for name in unknown]),
            capture_output=True,
            text=True,
        )
        if process.returncode:
            said = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
            raise StudyError(f"models: timm cannot be asked for them: {said[-1]}; repair the environment")
        for name, answer in zip(unknown, json.loads(process.stdout.splitlines()[-1]), strict=True):
            found[name] = answer
            answers.keep(questions[name], answer)
    return found
