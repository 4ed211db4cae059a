# What the rules of reductions share.
from tokengeometry.reduction import policies
from tokengeometry.reduction import runs as reductions

REDUCTION = config["reduction"]
REDUCED = "<results>/{model}/{dataset}/{split}/reduction/"
RUNS = reductions.runs(REDUCTION)
# Of those that have a schedule: policy and budget.
BUDGETS = list(dict.fromkeys(run[:2] for run in RUNS if run[0] != reductions.WHOLE))
# At which places are shown, and of which policies.
SHOWN_BUDGET = min(
    (budget for _, budget in BUDGETS), key=lambda its: abs(int(its) - 50)
)
SHOWN_MOST = 4


wildcard_constraints:
    policy=r"[a-z0-9_]+(-[a-z]+)?",
    budget=r"\d{3}",
    seed=r"\d+",


def reduced_images(wildcards):
    return reductions.images_of(study, wildcards.dataset, wildcards.split)


def every_layer(wildcards):
    """The layers that the blocks of a model make; an end where not all are analysed."""
    layers = range(1, description(wildcards.model)["depth"] + 1)
    if missing := set(layers) - set(study.layers(wildcards.model)):
        sys.exit(
            f"error: models.{wildcards.model}.layers: a reduction by the geometry needs all layers from 1 to "
            f"{max(layers)}; {min(missing)} is missing"
        )
    return layers


def geometry(kind, needs):
    """The files of a kind of geometry, where a policy of the wildcards needs it."""

    def files(wildcards):
        name = wildcards.policy
        if name == reductions.WHOLE or kind not in needs(reductions.policy_of(name)):
            return []
        layers = every_layer(wildcards)
        if kind == "correlation":
            return [
                rules.correlation_matrix.output.store.format(
                    **dict(wildcards, layer=f"{layer:02d}")
                )
                for layer in layers
            ]
        if kind == "alpha":
            return rules.alpha_table.output.table
        return rules.statistic_table.output.table.replace("{statistic}", "rankme")

    return files


def tuned(wildcards):
    """The settings of a schedule that is tuned; else nothing."""
    schedule = reductions.policy_of(wildcards.policy).schedule
    if schedule not in reductions.TUNED:
        return {}
    settings = dict(REDUCTION["tuning"])
    if schedule == "exponential":
        settings.pop("steps")
    return in_order(settings)


def if_tuned(path):
    return lambda wildcards: path if tuned(wildcards) else []


def only_if_tuned(resources):
    """These resources, without a GPU for a schedule that no images go through the model for."""
    gpu = resources["gpu"]
    return resources | {
        "gpu": lambda wildcards: gpu(wildcards) * bool(tuned(wildcards))
    }


def code_of_policy(script):
    """What a script and the policy of the wildcards do."""

    def found(wildcards):
        if wildcards.policy == reductions.WHOLE:
            return code(script)
        name = reductions.policy_of(wildcards.policy).module
        return code(script) + known_fingerprint(
            Path(policies.__file__).with_name(f"{name}.py")
        )

    return found


def of_runs(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, policy=policy, budget=budget, seed=seed))
        for policy, budget, seed in RUNS
    ]


def of_budgets(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, policy=policy, budget=budget))
        for policy, budget in BUDGETS
    ]


def its_budgets(wildcards):
    return [budget for policy, budget in BUDGETS if policy == wildcards.policy]


def of_its_budgets(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, budget=budget))
        for budget in its_budgets(wildcards)
    ]


def of_policies(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, policy=policy)) for policy in dict(BUDGETS)
    ]


def shown():
    """The policies whose places are shown: the first few that differ in how they choose tokens."""
    modules = {}
    for policy, _ in BUDGETS:
        its = reductions.policy_of(policy)
        best = modules.setdefault(its.module, policy)
        if its.schedule_needs and not reductions.policy_of(best).schedule_needs:
            modules[its.module] = policy
    return list(modules.values())[:SHOWN_MOST]


def all_cores(wildcards):
    """Nothing else is to run beside what is timed."""
    return workflow.global_resources["_cores"].value or 8


def reduced_branch(wildcards):
    """What a figure is of: as `branches_shown`, with the number of images that are reduced."""
    return [
        (
            wildcards.model,
            wildcards.dataset,
            wildcards.split,
            reduced_images(wildcards),
        )
    ]
