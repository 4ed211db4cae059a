"""What the section `reduction` of a configuration asks for. Light, for the Snakefile imports it."""

from dataclasses import dataclass

from tokengeometry.errors import StudyError
from tokengeometry.reduction import policies

# Beside the policies: the model that keeps all its tokens.
WHOLE = "none"
# The schedules of `tokengeometry.reduction.schedules`, which imports numpy only; here to be known before.
FIXED = ("constant", "decreasing", "increasing", "first")
FROM_GEOMETRY = {"alpha": "alpha", "correlation": "correlation", "share": "correlation", "rank": "rank"}
TUNED = ("exponential", "searched")
SCHEDULES = (*FIXED, *FROM_GEOMETRY, *TUNED)


@dataclass(frozen=True)
class Policy:
    """A policy with its schedule, as the configuration names it.

    Attributes
    ----------
    name : str
        Such as "tome-alpha"; without a schedule that is constant.
    module : str
        Of `tokengeometry.reduction.policies`.
    schedule : str
    """

    name: str
    module: str
    schedule: str

    @property
    def needs(self):
        """What of the geometry the policy takes, without its schedule: "alpha", "correlation"."""
        return getattr(policies.load(self.module), "NEEDS", ())

    @property
    def schedule_needs(self):
        """What of the geometry its schedule is made from: "alpha", "correlation" or "rank", or nothing."""
        return (FROM_GEOMETRY[self.schedule],) if self.schedule in FROM_GEOMETRY else ()

    @property
    def seeded(self):
        """Whether it is repeated with other seeds."""
        return getattr(policies.load(self.module), "SEEDED", False)


def policy_of(name):
    """A policy by its name in the configuration.

    Parameters
    ----------
    name : str
        A policy's module, or a module and a schedule with a hyphen between them.

    Returns
    -------
    Policy

    Raises
    ------
    StudyError
        There is no such policy or schedule.
    """
    module, _, schedule = name.partition("-")
    policies.load(module)
    if "-" in name and schedule not in SCHEDULES:
        raise StudyError(
            f"reduction.policies: {name}: there is no schedule {schedule!r}; there are {', '.join(SCHEDULES)}"
        )
    return Policy(name, module, schedule or "constant")


def percent(budget):
    """A budget in file names: three digits.

    Parameters
    ----------
    budget : float
        A share of the operations of the model that keeps all its tokens.

    Returns
    -------
    str
    """
    return f"{round(100 * budget):03d}"


def runs(section):
    """All that is measured: policies at budgets, with seeds; and the model that keeps all its tokens.

    Parameters
    ----------
    section : dict
        `reduction` of the configuration.

    Returns
    -------
    list of (str, str, str)
        Policy, budget in percent, seed.
    """
    found = [(WHOLE, "100", "0")]
    for name in section["policies"]:
        seeds = section["seeds"] if policy_of(name).seeded else 1
        found += [
            (name, percent(budget), str(seed)) for budget in sorted(section["budgets"])[::-1] for seed in range(seeds)
        ]
    return found


def images_of(study, dataset, split):
    """How many images of a split are reduced: the first of the study's.

    Parameters
    ----------
    study : tokengeometry.study.Study
    dataset, split : str

    Returns
    -------
    int
    """
    return min(study.config["reduction"]["images"], study.samples(dataset, split))


def check(study):
    """Whether the section fits the rest of a configuration.

    Parameters
    ----------
    study : tokengeometry.study.Study

    Raises
    ------
    StudyError
    """
    section = study.config["reduction"]
    for name in section["policies"]:
        policy = policy_of(name)
        if "rank" in policy.schedule_needs and "rankme" not in study.config["statistics"]:
            raise StudyError(f"reduction.policies: {name} needs rankme among the statistics")
    budgets = [percent(budget) for budget in section["budgets"]]
    if len(set(budgets)) < len(budgets):
        raise StudyError("reduction.budgets: two are the same percentage; keep one")
