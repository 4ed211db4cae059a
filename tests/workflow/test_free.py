"""`snakemake free` deletes what the configuration does not keep, once it is no longer needed, and nothing else."""

import copy
import fcntl
import re

import pytest
from small_study import SMALL, Workflow
from tokengeometry.operations.space import free, not_kept
from tokengeometry.study import Study

NOT_KEPT = ["--config", "activations={keep: false}", "moments={keep: false}"]


def study(folder, *, activations=True, moments=True, store=True):
    config = copy.deepcopy(SMALL) | {"name": f"{folder}/study", "moments": {"keep": moments}, "samples_per_part": 24}
    config["activations"] |= {"keep": activations, "store": store}
    config["datasets"]["pictures"]["splits"]["train"] = {"arguments": {"root": "more"}}
    return Study(config)


@pytest.fixture
def made(tmp_path):
    """The files of a study whose branch `test` is finished and whose branch `train` lacks one spectrum; its folder."""
    for split in ("test", "train"):
        branch = tmp_path / "study/tiny/pictures" / split
        for layer in ("layer_00", "layer_01", "layer_02"):
            stores = [f"{kind}/{layer}/{part}" for kind in ("activations", "moments") for part in PARTS]
            stores += [f"moments/{layer}/concatenated", f"spectra/{layer}", f"correlations/{layer}"]
            for store in stores:
                (branch / f"{store}.zarr/mean/c").mkdir(parents=True)
                (branch / f"{store}.zarr/mean/c/0").write_bytes(bytes(1000))
        (branch / "alpha.csv").touch()
        (branch / "correlation.csv").touch()
    (tmp_path / "study/tiny/pictures/train/spectra/layer_02.zarr").rename(tmp_path / "spectrum")
    return tmp_path


PARTS = ("part_000", "part_001")


def there(folder):
    return {path.relative_to(folder / "study/tiny/pictures").as_posix() for path in folder.rglob("*.zarr")}


@pytest.mark.parametrize(
    ("settings", "freed"),
    [
        ({}, []),
        ({"activations": False}, ["activations"]),
        ({"moments": False}, ["moments"]),
        ({"activations": False, "moments": False}, ["activations", "moments"]),
        # In direct mode the configuration has no use for activations.
        ({"store": False}, ["activations"]),
    ],
)
def test_what_is_not_kept_is_freed_in_finished_branches(made, settings, freed):
    before = there(made)
    assert free(study(made, **settings)) == dict.fromkeys(freed, (6, 6000))
    assert before - there(made) == {
        f"test/{kind}/layer_{layer:02d}/{part}.zarr" for kind in freed for layer in range(3) for part in PARTS
    }
    assert free(study(made, **settings)) == {}
    assert list(made.rglob("*.partial")) == []


@pytest.mark.parametrize("missing", ["alpha.csv", "correlations/layer_01.zarr", "moments/layer_00/concatenated.zarr"])
def test_of_an_unfinished_branch_nothing_is_freed(made, missing):
    branch = made / "study/tiny/pictures/test"
    (branch / missing).rename(made / "moved")
    assert not_kept(study(made, activations=False, moments=False)) == {}


def test_keep_false_after_a_finished_study_says_what_frees_and_that_frees_it(finished, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL)
    tables = {name: (workflow.branch / name).read_bytes() for name in ("alpha.csv", "correlation.csv", "clusters.csv")}
    stores = [path for kind in ("activations", "moments") for path in workflow.branch.glob(f"{kind}/*/part_*.zarr")]
    assert len(stores) == 12

    said = workflow.run(*NOT_KEPT).stdout
    *_, nothing, last = said.splitlines()
    assert nothing.startswith("Nothing to be done")
    asked = re.fullmatch(
        r"results/ has 6 activations \(\S+ MB\) and 6 moments \(\S+ [MG]B\) that the configuration does not keep; "
        r"`snakemake (.*)` deletes them\.",
        last,
    )
    # The command that it names, word for word.
    assert asked[1] == "free --cores 1 --config 'activations={keep: false}' 'moments={keep: false}'"
    assert all(path.exists() for path in stores)

    # Not beside a run that may need them.
    locks = workflow.directory / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "7.output.lock").write_text("results/tiny/pictures/test/alpha.csv\n")
    with (workflow.directory / ".snakemake/running").open("w") as running:
        fcntl.flock(running, fcntl.LOCK_SH)
        process = workflow.run("free", *NOT_KEPT, check=False)
    assert process.returncode != 0
    assert "error: another run is making results/tiny/pictures/test/alpha.csv; wait for its end" in process.stdout
    assert all(path.exists() for path in stores)

    said = workflow.run("free", *NOT_KEPT).stdout
    assert re.search(r"^freed: 6 activations \(\S+ MB\) and 6 moments \(\S+ [MG]B\)$", said, re.MULTILINE)
    assert not any(path.exists() for path in stores)
    assert workflow.planned(*NOT_KEPT) == set()
    assert "that the configuration does not keep" not in workflow.run(*NOT_KEPT).stdout
    assert {name: (workflow.branch / name).read_bytes() for name in tables} == tables
    assert "there is nothing to free" in workflow.run("free").stdout
    # Only where they are to be kept again are they made again.
    assert {rule for rule, _ in workflow.planned()} >= {"pixels", "layer", "moments"}
