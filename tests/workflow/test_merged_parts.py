"""Parts are merged in a tree as they come: to the same bytes whether moments are kept or not."""

import copy
import re
import shutil

import numpy as np
import pytest
from small_study import SMALL, Workflow, write_pictures
from test_contract import BRANCH, difference, edit, job, repository  # noqa: F401
from tokengeometry.storage import zarr_store

TARGETS = ("alpha", "correlations")
# Of layer 0 alone: no chain, and images in five parts, the last of them not full.
NODES = [("000", "001"), ("002", "003"), ("000", "003")]
TABLES = {job("alpha_table", **BRANCH), job("correlation_table", **BRANCH)}
READERS = {job(rule, **BRANCH, layer="00") for rule in ("spectra", "correlation_matrix")} | TABLES


def study(samples=18, *, keep=True):
    config = copy.deepcopy(SMALL) | {"samples": samples, "samples_per_part": 4, "concatenated_samples": 4}
    config["models"]["tiny"]["layers"] = [0]
    config["figures"]["eigenspectrum"] = {"layer": 0, "token": "0,1"}
    config["fit"] |= {"ranks": [1, 3], "min_ranks": 3}
    config["moments"]["keep"] = keep
    return config


def merged(*nodes):
    return {job("merged_moments", **BRANCH, layer="00", first=first, last=last) for first, last in nodes}


def parts(rule, *names, **layer):
    return {job(rule, **BRANCH, **layer, part=part) for part in names}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The study of five parts, with moments kept."""
    directory = tmp_path_factory.mktemp("tree")
    write_pictures(directory / "pictures")
    workflow = Workflow(directory, study())
    workflow.log = workflow.run(*TARGETS).stdout
    return workflow


def planned(workflow):
    return workflow.planned(*TARGETS) - {job(target) for target in TARGETS}


def copied(kept, folder, config):
    return Workflow(kept.copy(folder / "study"), config)


def stores(workflow, pattern):
    return sorted(path.name for path in workflow.branch.glob(f"moments/layer_00/{pattern}.zarr"))


def made(workflow):
    """The bytes of what is made from moments."""
    files = [file for kind in ("spectra", "correlations") for file in (workflow.branch / kind).rglob("*")]
    files += [workflow.branch / f"{table}.csv" for table in ("alpha", "correlation")]
    return {
        file.relative_to(workflow.branch): file.read_bytes()
        for file in files
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def test_spectra_and_correlations_of_merged_parts_are_those_of_all_samples(kept):
    assert kept.log.count("rule merged_moments:") == len(NODES)
    assert stores(kept, "part_*") == [f"part_{part:03d}.zarr" for part in range(5)]
    assert stores(kept, "parts_*") == []
    pixels = [zarr_store.open_store(path) for path in sorted(kept.branch.glob("activations/layer_00/part_*.zarr"))]
    activations = np.concatenate([store["activations"][:] for store in pixels]).astype(np.float64)
    assert len(activations) == 18
    found = zarr_store.open_store(kept.branch / "spectra/layer_00.zarr")
    for token in range(16):
        singular = np.linalg.svd(activations[:, token] - activations[:, token].mean(axis=0), compute_uv=False)
        expected = singular**2 / 18
        np.testing.assert_allclose(found["eigenvalues"][token, :18], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["mean"][:], activations.mean(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["norms"][:], np.linalg.norm(activations, axis=2), rtol=1e-6)
    np.testing.assert_array_equal(found["sample"][:], np.concatenate([store["sample"][:] for store in pixels]))
    correlation = zarr_store.open_store(kept.branch / "correlations/layer_00.zarr")["correlation"][:]
    # The first patch is black in every picture.
    flat = activations[:, 1:].transpose(1, 0, 2).reshape(15, -1)
    np.testing.assert_allclose(correlation[1:, 1:], np.corrcoef(flat), atol=1e-6)


def test_chains_begin_in_the_order_of_their_parts(kept):
    """Neighbours can be merged early; else nearly all moments may wait."""
    pattern = r"rule pixels:\n(?:    .*\n)*?    wildcards: .*part=(\d+)\n    priority: (\S+)"
    jobs = re.findall(pattern, kept.log)
    assert sorted(jobs) == [(f"{part:03d}", str(1 - part / 5)) for part in range(5)]


def test_moments_that_are_not_kept_give_the_same_bytes_also_after_a_run_that_was_cut_short(kept, tmp_path):
    workflow = copied(kept, tmp_path, study(keep=False))
    for kind in ("moments", "spectra", "correlations"):
        shutil.rmtree(workflow.branch / kind)
    for table in ("alpha", "correlation"):
        (workflow.branch / f"{table}.csv").unlink()
    # As if it were killed after the first merge, when the next two parts were there.
    folder = "results/tiny/pictures/test/moments/layer_00"
    workflow.run(f"{folder}/parts_000_001.zarr", f"{folder}/part_002.zarr")
    assert stores(workflow, "part*") == ["part_002.zarr", "parts_000_001.zarr"]
    left = workflow.branch / "moments/layer_00/parts_002_003.zarr.partial"
    (left / "scatter").mkdir(parents=True)
    said = workflow.run(*TARGETS).stdout
    assert said.count("rule merged_moments:") == len(NODES) - 1
    assert stores(workflow, "part*") == []
    assert not left.exists()
    assert made(workflow) == made(kept)
    assert planned(workflow) == set()


def test_keep_false_later_makes_nothing_run_again_also_once_what_is_kept_is_freed(kept, tmp_path):
    workflow = copied(kept, tmp_path, study(keep=False))
    assert planned(workflow) == set()
    # As if a run was killed before it deleted them.
    folder = workflow.branch / "moments/layer_00"
    shutil.copytree(folder / "part_000.zarr", folder / "parts_000_003.zarr")
    said = workflow.run("free").stdout
    assert re.search(r"^freed: 6 moments \(\S+ [MG]B\)$", said, re.MULTILINE)
    assert stores(workflow, "part*") == []
    assert planned(workflow) == set()


GROWTH = {
    # The last part was not full, and becomes so; one more is merged with it, and another begins.
    26: (("004", "005", "006"), [*NODES, ("004", "005")]),
    # It changes alone.
    19: (("004",), NODES),
}


@pytest.mark.parametrize("samples", GROWTH)
def test_more_samples_make_the_new_parts_and_merge_those_that_are_kept(kept, samples):
    new, nodes = GROWTH[samples]
    expected = parts("pixels", *new) | parts("moments", *new, layer="00") | merged(*nodes) | READERS
    try:
        kept.configure(study(samples))
        assert difference(planned(kept), expected) == {"more": [], "less": []}
    finally:
        kept.configure(study())


TRIANGLES = "tokengeometry/geometry/triangles.py"
CODE = {
    "a merge": {TRIANGLES: ("triangles[:, place] += left", "triangles[:, place] += +left")},
    "its script": {"scripts/merged_moments.py": ("write_merged(", "write_merged(*(), ")},
}


@pytest.mark.parametrize("change", CODE)
def test_changed_code_of_a_merge_reruns_it_and_what_follows(kept, repository, change):  # noqa: F811
    edit(repository, CODE[change])
    workflow = Workflow(kept.directory, study(), repository)
    assert difference(planned(workflow), merged(*NODES) | READERS) == {"more": [], "less": []}
