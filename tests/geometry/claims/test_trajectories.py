"""Statements on α over the layers: planted branches of which they are true, and of which they are false."""

from dataclasses import replace

import numpy as np
import pytest
from planted import LAYERS, SAMPLES, alphas, valley, verdicts
from threadpoolctl import threadpool_limits
from tokengeometry.geometry.claims import trajectories
from tokengeometry.geometry.claims.alphas import Alphas
from tokengeometry.geometry.claims.verdicts import Interval, above, interval, near, simultaneous, with_error
from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.geometry.uncertainty import fits, spectra
from tokengeometry.geometry.uncertainty.dimensions import Trajectories
from tokengeometry.model.tokens import token_table


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with threadpool_limits(1):
        yield


FLAT = np.full(13, 1.5)
FALLING = np.linspace(2.6, 1.4, 13)
RISING = FALLING[::-1].copy()
# α of CLS: below the others at layer 1, up to layer 2, down from there.
DIPPING = np.r_[np.nan, 1.5, 2.6, np.linspace(2.5, 1.2, 10)]


def judged(spatial, cls=None, **options):
    its = alphas(spatial, cls, **options)
    return verdicts([*trajectories.of_spatial(its, 0.05), *trajectories.of_cls(its)])


@pytest.mark.parametrize(
    ("spatial", "expected"),
    [
        (valley(8), {"1": "holds", "2a": "holds", "3": "does not hold"}),
        (valley(8, depth=1.6, end=1.0), {"1": "holds", "2a": "holds", "3": "holds"}),
        (FALLING, {"1": "holds", "2a": "does not hold", "3": "does not hold"}),
        (RISING, {"1": "does not hold", "2a": "holds"}),
        (FLAT, {"1": "can't be told here", "2a": "can't be told here"}),
    ],
)
def test_spatial_tokens(spatial, expected):
    found = judged(spatial)
    assert {claim: found[claim].verdict for claim in expected} == expected


@pytest.mark.parametrize(
    ("spatial", "cls", "expected"),
    [
        (valley(8), DIPPING, ["holds", "holds", "holds"]),
        (valley(8), FALLING + 0.5, ["does not hold", "does not hold", "holds"]),
        (valley(8), RISING - 0.5, ["holds", "holds", "does not hold"]),
        # It falls on the whole, but not at every layer.
        (valley(8), DIPPING + 0.4 * (LAYERS == 8), ["holds", "holds", "does not hold"]),
        (FLAT, FLAT, ["can't be told here"] * 3),
        (valley(8), None, ["can't be told here"] * 3),
    ],
)
def test_cls(spatial, cls, expected):
    found = judged(spatial, cls)
    assert [found[claim].verdict for claim in ("4a", "4b", "4c")] == expected


def test_numbers_are_the_planted_ones():
    found = judged(valley(8), DIPPING)
    assert found["1"].estimate == pytest.approx(1.0)
    assert found["2a"].estimate == pytest.approx(1.9 - 1.4)
    assert found["3"].estimate == pytest.approx(1.9)
    assert found["4a"].estimate == pytest.approx(2.4 - 1.5)
    assert found["4b"].estimate == pytest.approx(1.1)
    assert found["4c"].estimate == pytest.approx(2.6 - 1.2)
    for its in found.values():
        assert its.low < its.estimate < its.high


def test_the_last_layers_interval_is_that_of_a_mean_of_tokens_that_share_images():
    its = judged(valley(8))["3"]
    # 64 tokens with a half of the variance in common.
    error = 0.01 * np.sqrt(0.5 + 0.5 / 64)
    assert (its.high - its.low) / 2 / 1.96 == pytest.approx(error, rel=0.15)


def test_what_layers_share_goes_out_of_their_contrast():
    its = judged(valley(8))["1"]
    alone = 0.01 * np.sqrt(2 * (0.5 * 0.5 + 0.5 / 64))
    # A band over twelve layers that share one of them.
    assert 1.96 < (its.high - its.low) / 2 / alone < 3.2


def test_a_layer_that_is_picked_by_its_value_gets_a_wider_interval():
    psi = np.random.default_rng(0).normal(size=(12, 5000))
    picked, alone = simultaneous(np.zeros(12), psi, 5000), interval(0.0, psi[0], 5000)
    assert picked[0].high > 1.3 * alone.high
    assert picked[0].p > 0.99


def test_the_chosen_contrasts_interval_covers_when_nothing_differs():
    rng, wrong = np.random.default_rng(1), 0
    for draw in range(200):
        its = alphas(FLAT, error=0.02, seed=draw, images=100, grid=(2, 2))
        tokens, layers = its.spatial()
        _, psi = its.mean(tokens, layers)
        noise = psi @ rng.normal(size=psi.shape[1]) / np.sqrt(psi.shape[1] * SAMPLES)
        noisy = Alphas(
            LAYERS, its.tokens, its.alpha, its.corrected + np.r_[0, noise], *(its.influence, SAMPLES, its.doubts)
        )
        wrong += trajectories.of_spatial(noisy, 0.05)[0].verdict != "can't be told here"
    assert wrong <= 20


def test_without_folds_and_with_doubts_nothing_with_an_interval_is_told():
    for options, why in (({"folds": False}, "uncertainty.folds is 0"), ({"doubt": "too few"}, "too few")):
        found = judged(valley(8), DIPPING, **options)
        assert {its.verdict for its in found.values()} == {"can't be told here"}
        assert {its.why for its in found.values()} == {why}
        assert found["1"].estimate == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [(-2.0, 0.3, "holds"), (2.0, 0.3, "does not hold"), (-2.0, 2.0, "can't be told here")],
)
def test_dimensions_after_the_minimum_of_alpha(change, error, expected):
    its, images = alphas(valley(8), DIPPING), 400
    psi = np.random.default_rng(0).normal(size=(13, images)) * error * np.sqrt(SAMPLES / 2)
    ratio, share = np.full(13, 5.0), np.full(13, 0.5)
    ratio[8], ratio[12], share[8], share[12] = 9.0, 9.0 + change, 0.4, 0.4 - change
    values = {"participation_ratio": ratio, "leading_share": share}
    influence = dict.fromkeys(values, psi - psi.mean(axis=1, keepdims=True))
    beside = Trajectories(LAYERS, np.full(13, 64), values, influence, SAMPLES)
    found = verdicts(trajectories.of_dimensions(its, beside))
    assert [found[claim].verdict for claim in ("2b", "2c")] == [expected] * 2
    assert (found["2b"].estimate, found["2c"].estimate) == pytest.approx((change, -change))
    assert found["2b"].high - found["2b"].estimate == pytest.approx(1.96 * error, rel=0.15)
    untold = verdicts(trajectories.of_dimensions(its, replace(beside, influence=None)))
    assert {one.why for one in untold.values()} == {"uncertainty.folds is 0"}


def test_a_contrasts_error_is_that_of_a_bootstrap_over_images():
    rng = np.random.default_rng(2)
    features, samples, ranks = 60, 800, (5, 40)
    shared = rng.standard_t(6, size=(samples, 1, 1))
    values = {
        layer: (shared + rng.normal(size=(samples, 2, features))) * np.arange(1, features + 1.0) ** (-slope / 2)
        for layer, slope in ((1, 2.0), (2, 1.2), (3, 1.5))
    }

    def mean_alpha(layer, images):
        return np.mean(
            [
                fit_power_law(np.linalg.eigvalsh(np.cov(its, rowvar=False, ddof=0))[::-1], ranks).alpha
                for its in values[layer][images].transpose(1, 0, 2)
            ]
        )

    influence = np.stack(
        [
            fits.influence(
                spectra.of_layer(values[layer], 2)["token"],
                fits.coefficients(np.ones((2, features), bool), ranks, "inverse_rank").alpha,
            )
            for layer in (1, 2, 3)
        ],
        axis=1,
    )
    plain = np.array([[mean_alpha(layer, slice(None)) for layer in (1, 2, 3)]] * 2)
    tokens = token_table({"grid": (1, 2), "prefix_tokens": []})
    its = Alphas(np.arange(1, 4), tokens, plain, plain, influence, samples, np.full((2, 3), "", object))
    _, moves = its.mean(np.arange(2), np.arange(3))
    found = interval(plain[0, 0] - plain[0, 1], moves[0] - moves[1], samples)
    draws = []
    for _ in range(150):
        images = rng.integers(0, samples, samples)
        draws.append(mean_alpha(1, images) - mean_alpha(2, images))
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.std(draws), rel=0.2)


def test_verdicts_follow_from_intervals():
    assert above(Interval(1, 0.5, 1.5)) == "holds"
    assert above(Interval(-1, -1.5, -0.5)) == "does not hold"
    assert above(Interval(0.1, -0.1, 0.3)) == above(Interval(1.0)) == "can't be told here"
    assert near([Interval(1.01, 0.98, 1.04)], 1, 0.05) == "holds"
    assert near([Interval(1.1, 1.04, 1.16)], 1, 0.05) == "does not hold"
    # Not equal, but no further away than the margin; and too wide.
    assert near([Interval(1.04, 1.01, 1.07)], 1, 0.05) == near([Interval(1, 0.9, 1.1)], 1, 0.05) == "can't be told here"
    assert near([Interval(0, -0.01, 0.01), Interval(0.2, 0.1, 0.3)], 0, 0.05) == "does not hold"
    assert near([Interval(0, -0.01, 0.01), Interval(float("nan"))], 0, 0.05) == "can't be told here"


def test_an_interval_of_a_known_error_is_normal_and_bonferroni():
    alone, three = with_error(0.3, 0.1), with_error(0.3, 0.1, 3)
    assert (alone.high, alone.p) == pytest.approx((0.3 + 0.196, 0.0027), rel=1e-3)
    # The quantile at 1 - 0.05 / 6.
    assert (three.high, three.p) == pytest.approx((0.3 + 0.2394, 0.0081), rel=1e-3)
