"""The section `reduction` of a configuration, before anything runs."""

import copy
import re

import pytest
import torch
import yaml
from reducible import small_model, some_images
from small_study import REPOSITORY, SMALL
from tokengeometry.errors import StudyError
from tokengeometry.model.token_chain import create_model, describe
from tokengeometry.operations.cost import jobs
from tokengeometry.reduction import policies, runs
from tokengeometry.reduction.flops import blocks_of, count
from tokengeometry.reduction.patching import reduce
from tokengeometry.study import Study

SECTION = {
    "images": 20,
    "budgets": [0.5, 0.75],
    "policies": ["tome", "tome-alpha", "random_prune"],
    "seeds": 2,
    "tuning": {"images": 4, "steps": 3},
    "scores": {"labels": True, "neighbors": 3, "folds": 2},
    "speed": {"batch_size": 4, "repeats": 2},
}


def study_with(**changes):
    return Study(copy.deepcopy(SMALL) | {"reduction": SECTION | changes})


def test_every_policy_runs_at_every_budget_and_what_draws_numbers_with_every_seed():
    found = runs.runs(SECTION)
    assert found[0] == ("none", "100", "0")
    assert [run for run in found if run[0] == "tome-alpha"] == [("tome-alpha", "075", "0"), ("tome-alpha", "050", "0")]
    assert len([run for run in found if run[0] == "random_prune"]) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": ["tomes"]}, "reduction.policies: there is no 'tomes'; did you mean tome?"),
        ({"policies": ["tome-alphas"]}, "there is no schedule 'alphas'; there are constant,"),
        ({"budgets": [0.5, 0.501]}, "reduction.budgets: two are the same percentage"),
        ({"budgets": [1]}, "reduction.budgets.0"),
        ({"speeds": 1}, "reduction.speeds: there is no such key; did you mean speed?"),
    ],
)
def test_a_mistake_is_a_line_that_names_its_key(changes, said):
    with pytest.raises(StudyError, match=re.escape(said)):
        study_with(**changes)


def test_effective_rank_needs_its_table():
    config = copy.deepcopy(SMALL) | {"reduction": SECTION | {"policies": ["tome-rank"]}}
    Study(config)
    with pytest.raises(StudyError, match="tome-rank needs rankme among the statistics"):
        Study(config | {"statistics": ["power_law"]})


def test_images_are_at_most_those_of_the_split():
    assert runs.images_of(study_with(), "pictures", "test") == 20
    assert runs.images_of(study_with(images=500), "pictures", "test") == 24


def test_schedules_and_policies_say_what_they_need():
    assert runs.policy_of("tome-share").schedule_needs == ("correlation",)
    assert runs.policy_of("tome-share").needs == ()
    assert runs.policy_of("correlation").needs == ("correlation",)
    assert runs.policy_of("alpha_merge-decreasing").needs == ("alpha",)


def test_the_cost_of_a_run_is_that_of_its_share():
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    study, network = Study(config), create_model("vit_small_patch14_dinov2.lvd142m", 224, device="meta")
    model = describe(network, "vit_small_patch14_dinov2.lvd142m")
    job = {"model": "dinov2_vits14", "dataset": "fashion_mnist", "split": "test", "policy": "tome", "budget": "050"}
    whole = jobs.of_job("reduction_whole", study, model, job)
    assert whole.flops == 2000 * count(blocks_of(network), [0] * 12)
    assert jobs.of_job("reduction_tokens", study, model, job).flops == whole.flops // 2
    assert jobs.of_job("reduction_schedule", study, model, job).flops == 0
    searched = jobs.of_job("reduction_schedule", study, model, job | {"policy": "tome-searched"})
    assert searched.flops == pytest.approx(64 * whole.flops / 2000 * (1 + 114 / 2))
    for rule in ("whole", "tokens", "schedule", "speed", "scores", "table"):
        assert 0 < jobs.of_job(f"reduction_{rule}", study, model, job).memory < 2**33


def test_the_policy_that_contributing_shows_is_one(tmp_path, monkeypatch):
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n([^`]*def group.*?)```", text, re.DOTALL)
    (tmp_path / "norm_prune.py").write_text(code)
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path)])
    model, images = small_model(reg_tokens=1), some_images(2)
    with torch.inference_mode(), reduce(model, [10, 0, 0], policy="norm_prune") as reduction:
        tokens = model.forward_features(images)
    assert tokens.shape[1] == 2 + 20
    assert (reduction.places < 0).sum(dim=1).tolist() == [10, 10]
