"""RankMe: how many directions a representation spreads over, by the entropy of its singular values."""

import numpy as np

from tokengeometry.geometry.statistics._resolved import of_resolved

NAME = "RankMe"
LABEL = "RankMe (directions)"


def of_spectrum(eigenvalues, floor, samples):
    """exp(−Σ_k p_k log p_k) with p_k = σ_k / Σ_j σ_j (Garrido, Balestriero, Najman & LeCun 2023, Eq. 1).

    σ_k = √(N λ_k) are the singular values of the N×D activations. Here they are centred, in the paper they are not;
    and values that are not resolved count as 0, where the paper adds 10⁻⁷ to every p_k.

    Parameters
    ----------
    eigenvalues : array, (..., rank), float64
    floor : array, broadcast to `eigenvalues`
    samples : int

    Returns
    -------
    dict
        rankme : array, (...), from 1 to the number of ranks; reason : array of str, (...).
    """
    # Whoever reads the configuration imports this module, and starts sooner without scipy.
    from scipy.special import entr

    def spread(values):
        sizes = np.sqrt(values)
        return np.exp(entr(sizes / sizes.sum(axis=-1, keepdims=True)).sum(axis=-1))

    rankme, reason = of_resolved(spread, eigenvalues, floor, samples)
    return {"rankme": rankme, "reason": reason}
