"""Schedules that are chosen by what they do to some images: a rate, and a search as the ceiling.

The images are others than those that schedules are compared on.
"""

from dataclasses import dataclass

import numpy as np

from tokengeometry.reduction import schedules

# Tokens that a step of the search moves from one block to another.
MOVES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Tuned:
    """A schedule that was chosen.

    Attributes
    ----------
    schedule : list of int
    score : float
        Its mean over the images that chose it.
    evaluations : int
        How many schedules were tried, each with a forward pass of all images.
    how : dict
        What was chosen: for JSON.
    """

    schedule: list
    score: float
    evaluations: int
    how: dict


def best_rate(score, solve, depth, rates=schedules.RATES):
    """The exponential schedule with the best rate.

    Parameters
    ----------
    score : callable
        Of a schedule, list of int, to a number; larger is better.
    solve : callable
        Of a shape, to the schedule that meets the budget.
    depth : int
        How many blocks there are.
    rates : sequence of float

    Returns
    -------
    Tuned
    """
    found = {rate: solve(schedules.exponential(depth, rate)) for rate in rates}
    scores = {rate: score(schedule) for rate, schedule in found.items()}
    rate = max(scores, key=scores.get)
    how = {"rate": rate, "scores": {str(rate): its for rate, its in scores.items()}}
    return Tuned(found[rate], scores[rate], len(rates), how)


def search(score, solve, depth, steps, seed=0):
    """The best schedule that a search finds: an evolution of one.

    It begins with the best of the constant, the linearly decreasing and the exponential ones. A step moves a few tokens
    from one block to another, meets the budget again, and is kept where the score is better.

    Parameters
    ----------
    score, solve, depth
        As of `best_rate`.
    steps : int
        How many schedules are tried beside those that it begins with.
    seed : int

    Returns
    -------
    Tuned
    """
    random = np.random.default_rng(seed)
    exponential = best_rate(score, solve, depth)
    begun = [solve(schedules.constant(depth)), solve(schedules.decreasing(depth))]
    tried = {tuple(schedule): score(schedule) for schedule in begun}
    tried[tuple(exponential.schedule)] = exponential.score
    best = max(tried, key=tried.get)
    progress = [tried[best]]
    for _ in range(steps):
        # A few draws, for a schedule that is new.
        for _ in range(100):
            moved = _moved(best, random)
            candidate = tuple(solve(moved)) if any(moved) else best
            if candidate not in tried:
                break
        else:
            break
        tried[candidate] = score(list(candidate))
        best = max(best, candidate, key=tried.get)
        progress.append(tried[best])
    evaluations = exponential.evaluations + len(begun) + len(progress) - 1
    return Tuned(list(best), tried[best], evaluations, {"progress": progress})


def _moved(schedule, random):
    moved = list(schedule)
    source, target = random.choice(len(moved), 2, replace=False)
    tokens = min(moved[source], int(random.choice(MOVES)))
    moved[source] -= tokens
    moved[target] += tokens
    return moved
