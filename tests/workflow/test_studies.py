"""Several studies in one working directory: each in its own folder, none over another, models and data shared."""

import copy
import fcntl
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_study import SMALL, Workflow
from test_workflow import pca_spectrum, plain_alpha
from tokengeometry.errors import StudyError
from tokengeometry.operations.studies import check_folder, folder_of, record, within
from tokengeometry.storage import zarr_store
from tokengeometry.study import Study
from tokengeometry.tables import read


def named(name=None, **changes):
    """The small study, with a name if one is given."""
    config = copy.deepcopy(SMALL) | ({"name": name} if name else {})
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(config, configuration="config.yaml", branches=True):
    """What a run of a study leaves in its folder, as far as other studies look at it."""
    study = Study(config)
    check_folder(study.folder, configuration, config, {})
    record(study.folder, configuration, config, {})
    for branch in study.branches if branches else ():
        Path(study.folder, branch.model, branch.dataset, branch.split).mkdir(parents=True, exist_ok=True)
    return study.folder


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        (None, "results"),
        ("results", "results"),
        ("./results/", "results"),
        ("pilot", "results/pilot"),
        ("results/pilot", "results/pilot"),
        ("./pilot", "pilot"),
        ("scratch/my.study-2", "scratch/my.study-2"),
        ("../beside", "../beside"),
        ("/scratch//me/../you/", "/scratch/you"),
    ],
)
def test_a_studys_folder_follows_from_its_name(here, name, folder):
    assert Study(named(name)).folder == folder
    assert folder_of(named(f"{here}/inside/")) == "inside"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (5, "name: 5 is not text; put it in quotes; a name of at most 64 letters"),
        (None, "name: None is not text"),
        ("", "name: '' is not allowed"),
        ("a b", "name: 'a b' is not allowed"),
        ("a.b", "name: 'a.b' is not allowed; a name of at most 64 .*; or a folder .* such as ./pilot"),
        ("{model}/x", "name: '{model}/x' is not allowed"),
        ("<logs>/x", "name: '<logs>/x' is not allowed"),
        ("x" * 65, "name: 'x+' is not allowed"),
        ("..", "name: '..' is not allowed"),
        ("models", "name: 'models' is taken by a folder of results/; choose another"),
        ("Data", "name: 'Data' is taken by a folder of results/"),
        ("./results/logs", "name: './results/logs' is taken by a folder of results/"),
        ("results/vit/pilot", "name: 'results/vit/pilot' is too deep; .* named without a slash"),
        ("./", "name: './' holds the working directory; name a folder of the study's own"),
        ("../", "name: '../' holds the working directory"),
        ("/", "name: '/' holds the working directory"),
    ],
)
def test_a_name_that_cannot_be_a_studys_is_refused(here, name, message):
    with pytest.raises(StudyError, match=f"^{message}") as caught:
        Study(SMALL | {"name": name})
    assert "\n" not in str(caught.value)


def test_a_link_into_the_results_is_no_folder_of_its_own(here):
    Path("results/models").mkdir(parents=True)
    Path("link").symlink_to("results")
    with pytest.raises(StudyError, match="name: 'link/models' leads into results/"):
        Study(named("link/models"))


def refused(config, configuration="config.yaml"):
    before = sorted(Path().rglob("*"))
    with pytest.raises(StudyError) as caught:
        check_folder(Study(config).folder, configuration, config, {})
    assert sorted(Path().rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [None, "pilot", "./pilot", "/tmp"])
def test_another_configuration_file_does_not_overwrite_a_study(here, name):
    name = f"{here}/../elsewhere-{here.name}" if name == "/tmp" else name
    folder = begin(named(name))
    said = refused(named(name, seed=4), "mine.yaml")
    assert said.startswith(
        f"{folder}/ is the study of config.yaml, which mine.yaml would overwrite; give mine.yaml a name"
    )
    # What it advises works: the one and the other.
    begin(named("mine", seed=4), "mine.yaml")
    assert f"write mine.yaml for config.yaml in {folder}/study.json" in said
    file = Path(folder, "study.json")
    file.write_text(file.read_text().replace("config.yaml", "mine.yaml"))
    begin(named(name, seed=4), "mine.yaml")
    # And the same file, edited, goes on with its study.
    begin(named(name, seed=5, samples=30), "mine.yaml")


def test_a_study_and_a_model_have_no_folder_in_common(here):
    begin(named(), branches=False)
    assert refused(named("tiny"), "pilot.yaml").startswith(
        "name: results/tiny is the folder of a model of the study in"
    )
    begin(named("pilot"), "pilot.yaml")
    with_pilot = named(models={"pilot": SMALL["models"]["tiny"]})
    assert refused(with_pilot).startswith("models.pilot: results/pilot is the folder of a study; name the model")
    # In another study's folder that name is free.
    begin(named("other", models={"pilot": SMALL["models"]["tiny"]}), "other.yaml")


def test_a_folder_that_is_no_studys_is_left_alone(here):
    Path("results/old/pictures").mkdir(parents=True)
    Path("docs").mkdir()
    Path("docs/page.md").touch()
    for name, folder in (("old", "results/old"), ("./docs", "docs")):
        assert refused(named(name)).startswith(f"name: {folder} is there and no study's folder (it has no study.json)")
    # A plan, or a run that was ended before its first job, leaves words and times.
    for left in ("results/planned/logs", "results/planned/benchmarks", "empty"):
        Path(left).mkdir(parents=True)
    begin(named("planned"))
    begin(named("./empty"))
    assert refused(named("./empty/inside")).startswith("name: empty/inside lies in the folder of another study, ")


@pytest.mark.parametrize("name", [None, "pilot", "./pilot", "/tmp"])
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"models__tiny__weights": {"source": "random", "seed": 1}}, "models.tiny.weights"),
        ({"models__tiny__image_size": 80}, "models.tiny.image_size"),
        ({"models__tiny__architecture": "vit_small_patch16_224"}, "models.tiny.architecture"),
        ({"datasets__pictures__class": "FashionMNIST"}, "datasets.pictures.class"),
        (
            {"datasets__pictures__splits": {"test": {"arguments": {"root": "others"}}}},
            "datasets.pictures.splits.test.arguments",
        ),
    ],
)
def test_what_another_studys_results_are_of_is_not_described_otherwise(here, name, changes, key):
    name = f"{here}/../elsewhere-{here.name}-{key}" if name == "/tmp" else name
    folder = begin(named(name))
    said = refused(named("second", **changes), "second.yaml")
    assert said.startswith(f"{key}: the study in {folder}/ has it otherwise, and its results are of that; ")
    # That study itself may change it, and so may this one where nothing was made of it.
    begin(named(name, **changes))
    shutil.rmtree(Path(folder, "tiny"))
    begin(named("second", **changes), "second.yaml")


def test_what_studies_may_share_and_have_for_themselves(here):
    begin(named())
    more = {"test": {"arguments": {"root": "pictures"}}, "train": {"arguments": {"root": "more"}}}
    begin(named("second", models__tiny__layers=[1], datasets__pictures__splits=more, seed=9), "second.yaml")
    begin(named("./third", forward={"precision": "bfloat16"}), "third.yaml")
    assert within("results") == ["results/second"]
    assert within("results/second") == []


def test_a_damaged_record_is_named(here):
    begin(named("pilot"))
    Path("results/pilot/study.json").write_text("{")
    for name in ("pilot", "other"):
        assert refused(named(name)).startswith("results/pilot/study.json cannot be read")


@pytest.fixture
def beside(finished, tmp_path):
    """The finished small study, with the configuration of a second one and of a third."""
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    for name, config in (("pilot", named("pilot")), ("second", named("./second", seed=4))):
        (workflow.directory / f"{name}.yaml").write_text(json.dumps(config))
    return workflow


@pytest.mark.slow
def test_two_studies_run_side_by_side_and_leave_the_first_alone(beside, finished):
    def lies_there():
        files = [file for file in finished.path().rglob("*") if file.is_file()]
        names = [file.relative_to(finished.directory) for file in files]
        return {name: (beside.directory / name).stat().st_mtime_ns for name in names}

    before = lies_there()
    # The other one without pages and figures, which take as long as all else.
    asked = {"pilot": [], "second": ["alpha", "correlations", "clusters"]}
    running = [
        subprocess.Popen(
            beside.command(*asked[name], "--configfile", f"{name}.yaml", cores=1),
            cwd=beside.directory,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name in asked
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert lies_there() == before

    # The same study under another name has the same numbers, and its end names its own tables.
    pilot, second = beside.path("pilot"), beside.directory / "second"
    for table in ("alpha.csv", "correlation.csv", "clusters.csv"):
        assert (pilot / "tiny/pictures/test" / table).read_bytes() == (beside.branch / table).read_bytes()
    assert set(re.findall(r"\S+/alpha.csv$", said[0], re.MULTILINE)) == {"results/pilot/tiny/pictures/test/alpha.csv"}
    assert re.search(r"^model +1 ", said[0], re.MULTILINE)
    # The other has drawn images of its own.
    parts = [
        zarr_store.open_store(second / f"tiny/pictures/test/activations/layer_01/part_{part:03d}.zarr")
        for part in (0, 1)
    ]
    samples = np.concatenate([part["sample"][:] for part in parts])
    np.testing.assert_array_equal(samples, np.random.default_rng(4).permutation(30)[:24])
    token = np.concatenate([part["activations"][:, 3] for part in parts])
    table = read(second / "tiny/pictures/test/alpha.csv")
    found = table[(table.layer == 1) & (table.token == 3)].alpha.item()
    assert found == pytest.approx(plain_alpha(pca_spectrum(token), 2, 15), rel=1e-4)

    # Each has its own to do, and the stores of its own folder.
    assert beside.planned() == set()
    for name, stores_there in (("pilot", 24), ("second", 24)):
        assert beside.planned(*asked[name], "--configfile", f"{name}.yaml") == set()
        verified = beside.run("verify", "--configfile", f"{name}.yaml").stdout
        assert re.search(rf"^{stores_there} stores are whole$", verified, re.MULTILINE)
    assert re.search(r"^24 stores are whole$", beside.run("verify").stdout, re.MULTILINE)


def test_a_copy_of_the_configuration_is_refused_before_anything_is_written(beside):
    (beside.directory / "mine.yaml").write_text(json.dumps(named(seed=4)))
    before = sorted(beside.directory.rglob("*"))
    for arguments in (["--dry-run"], ["plan"], []):
        process = beside.run(*arguments, "--configfile", "mine.yaml", check=False)
        assert process.returncode == 1
        *_, last = process.stdout.splitlines()
        assert last.startswith("error: results/ is the study of config.yaml, which mine.yaml would overwrite; ")
        assert "Traceback" not in process.stdout
    beside.run("plan", "--configfile", "pilot.yaml")
    left = {path for path in beside.directory.rglob("*") if ".snakemake" not in path.parts} - set(before)
    assert {str(path.relative_to(beside.directory)) for path in left} == {
        *("results/pilot", "results/pilot/logs", "results/pilot/logs/plan.log")
    }


@pytest.mark.parametrize("store", [True, False])
def test_a_named_study_measures_noise_in_its_own_folder(beside, store):
    activations = SMALL["activations"] | {"store": store}
    coarse = named("coarse", forward__precision="bfloat16", activations=activations, concatenated_samples=16)
    (beside.directory / "coarse.yaml").write_text(json.dumps(coarse))
    output = beside.run("--dry-run", "--configfile", "coarse.yaml").stdout
    found = {path for path in re.findall(r"[^\s,]+\.zarr", output) if "/noise/" in path}
    assert found == {f"results/coarse/tiny/pictures/test/noise/layer_{layer}.zarr" for layer in ("01", "02")}


def test_a_study_from_before_studies_had_names_is_gone_on_with(beside):
    os.remove(beside.path("study.json"))
    assert beside.planned() == set()
    (beside.branch / "clusters.csv").unlink()
    beside.run("clusters")
    assert json.loads(beside.path("study.json").read_text())["configuration"] == "config.yaml"


def test_a_run_that_must_wait_for_another_says_so_last(small_workflow):
    locks = small_workflow.directory / ".snakemake/locks"
    locks.mkdir(parents=True)
    # As a run has it that fetches the model which both studies share.
    (locks / "0.output.lock").write_text("results/models/tiny/model.json\n")
    with (small_workflow.directory / ".snakemake/running").open("w") as running:
        fcntl.flock(running, fcntl.LOCK_SH)
        process = small_workflow.run("--config", "name=pilot", check=False)
    assert process.returncode != 0
    *_, last = process.stdout.splitlines()
    assert last == (
        "Another run here is making results/models/tiny/model.json, which this one needs: "
        "wait for its end and run again."
    )


def test_of_a_shared_file_of_weights_the_content_counts_and_not_its_place(here):
    def study(name, path, **source):
        return named(name, models__tiny__weights={"source": "file", "path": path} | source)

    def check(config, content):
        check_folder(Study(config).folder, f"{config.get('name')}.yaml", config, {"tiny": content})

    for name in (None, "pilot"):
        config = study(name, "vit.pth")
        record(Study(config).folder, f"{name}.yaml", config, {"tiny": "1" * 64})
        Path(Study(config).folder, "tiny").mkdir(parents=True)
    # The file has moved, and its checksum was added: the one study's configuration says so before the other's does.
    for name in (None, "pilot"):
        check(study(name, "elsewhere/vit.pth", sha256="1" * 64), "1" * 64)
    for moved in (study("pilot", "elsewhere/vit.pth"), study("pilot", "vit.pth")):
        with pytest.raises(StudyError, match=r"^models\.tiny\.weights: the study in results/ has it otherwise"):
            check(moved, "2" * 64)
    with pytest.raises(StudyError, match=r"^models\.tiny\.weights: "):
        check(study("pilot", "vit.pth", key="ema"), "1" * 64)
