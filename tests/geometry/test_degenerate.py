"""Too few samples, too low a rank, a range that nothing fills: results that are defined, and say why they are empty."""

import numpy as np
import pytest
import torch
from drawing import alpha_maps, alpha_trajectories
from fits import fit_layer
from tokengeometry import tables
from tokengeometry.figures import style
from tokengeometry.figures.clusters_embedding import clusters_embedding
from tokengeometry.figures.clusters_map import clusters_map
from tokengeometry.geometry import concatenated, correlation, moments, spectra
from tokengeometry.geometry.clusters import cluster_trajectories
from tokengeometry.storage import zarr_store

MODEL = {"grid": [2, 3], "prefix_tokens": ["cls"]}
TOKENS, FEATURES = 7, 12
DTYPES = ["float32", "float32"]


def layer(folder, activations):
    """The spectra of a layer, by the functions that the rules call."""
    activations = activations.astype(np.float32)
    with zarr_store.create(folder / "activations.zarr", compute_dtype="float32") as store:
        store.write("activations", activations, ("sample", "token", "feature"))
    moments.write(folder / "moments.zarr", moments.accumulate([activations]), dtypes=DTYPES)
    opened = [zarr_store.open_store(folder / "activations.zarr")]
    concatenated.write(folder / "concatenated.zarr", opened, len(activations))
    spectra.write_spectra(
        folder / "spectra.zarr",
        [zarr_store.open_store(folder / "moments.zarr")],
        zarr_store.open_store(folder / "concatenated.zarr"),
        device="cpu",
    )
    return zarr_store.open_store(folder / "spectra.zarr")


def random(samples, rank=FEATURES):
    rng = np.random.default_rng(1)
    basis = rng.normal(size=(TOKENS, rank, FEATURES)) * (np.arange(1, rank + 1) ** -1.0)[:, None]
    return np.einsum("ntr,trf->ntf", rng.normal(size=(samples, TOKENS, rank)), basis)


def test_fewer_samples_than_features_leave_the_ranks_that_centring_allows(tmp_path):
    activations = random(6)
    store = layer(tmp_path, activations)
    table = tables.statistic_table("power_law", {1: store}, MODEL, ranks=(2, 5), min_ranks=4, weights="uniform")
    token = table[table.token == 3].iloc[0]
    assert token.ranks == 4
    centred = activations[:, 3].astype(np.float32).astype(np.float64)
    values = np.linalg.svd(centred - centred.mean(0), compute_uv=False) ** 2 / 6
    assert token.alpha == pytest.approx(-np.polyfit(np.log([2, 3, 4, 5]), np.log(values[1:5]), 1)[0], rel=1e-6)
    # Rank 6 of 6 samples is empty by centring: it is never fitted, though it has an eigenvalue.
    law = fit_layer(store, ranks=(2, 6), min_ranks=4, weights="uniform")["token"]
    assert law.resolved.tolist() == [5] * TOKENS
    assert law.ranks.tolist() == [4] * TOKENS


def test_a_layer_of_low_rank_is_fitted_up_to_its_rank_or_not_at_all(tmp_path):
    store = layer(tmp_path, random(40, rank=5))
    enough = tables.statistic_table("power_law", {1: store}, MODEL, ranks=(2, 10), min_ranks=4, weights="uniform")
    tokens = enough[enough.token.notna()]
    assert tokens.ranks.tolist() == [4] * TOKENS
    assert tokens.alpha.between(0.2, 8).all()
    few = tables.statistic_table("power_law", {1: store}, MODEL, ranks=(2, 10), min_ranks=5, weights="uniform")
    tokens = few[few.token.notna()]
    assert tokens.alpha.isna().all()
    assert set(tokens.reason) == {"4 resolved ranks in 2-10"}
    # Tokens of different subspaces together have more ranks than each alone.
    assert few[few.kind == "pooled"].alpha.notna().all()


def test_a_range_that_no_token_fills_gives_empty_tables_and_figures_that_say_so(tmp_path):
    store = layer(tmp_path, random(40, rank=5))
    alpha = tables.statistic_table("power_law", {1: store}, MODEL, ranks=(7, 11), min_ranks=3, weights="inverse_rank")
    tokens = alpha[alpha.token.notna()]
    assert set(tokens.reason) == {"0 resolved ranks in 7-11"}
    table = tables.cluster_table(alpha, cluster_trajectories(tables.trajectories(alpha).to_numpy(), 2))
    assert table.cluster.isna().all()
    assert set(table.reason) == {"no alpha at any layer"}
    tables.write(tmp_path / "alpha.csv", alpha)
    tables.write(tmp_path / "clusters.csv", table)
    alpha, table = tables.read(tmp_path / "alpha.csv"), tables.read(tmp_path / "clusters.csv")
    figures = {
        "alpha_trajectories": alpha_trajectories(alpha, table),
        "alpha_maps": alpha_maps(alpha, MODEL["grid"]),
        "clusters_embedding": clusters_embedding(table),
        "clusters_map": clusters_map(table, MODEL["grid"]),
    }
    for name, figure in figures.items():
        style.save(figure, [("tiny", "random", "test", 40)], tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000


def test_a_part_of_one_sample_adds_up_like_any_other(tmp_path):
    activations = random(5).astype(np.float32)
    whole = moments.accumulate([activations])
    parts = [moments.accumulate([part]) for part in (activations[:4], activations[4:])]
    merged = parts[0].merge(parts[1])
    assert not parts[1].scatter.any()
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-10, atol=1e-12)
    # Its products are made in float32.
    size = np.sqrt(np.outer(whole.gram.diagonal(), whole.gram.diagonal()))
    np.testing.assert_array_less(np.abs(merged.gram - whole.gram), 2e-6 * size)


@pytest.mark.filterwarnings("error")
def test_a_layer_in_which_every_token_is_constant_has_no_correlation(tmp_path):
    activations = torch.full((4, TOKENS, FEATURES), 0.1)
    moments.write(tmp_path / "moments.zarr", moments.accumulate([activations]), dtypes=DTYPES)
    correlation.write(tmp_path / "correlation.zarr", [zarr_store.open_store(tmp_path / "moments.zarr")])
    matrix = zarr_store.open_store(tmp_path / "correlation.zarr")["correlation"][:]
    assert np.isnan(matrix).all()
    means = correlation.pair_means(matrix, ["cls"])
    assert means["undefined_tokens"] == TOKENS
    assert np.isnan(means["mean"])
