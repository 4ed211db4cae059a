"""The stable rank: how many times the first direction's variance there is in all."""

from tokengeometry.geometry.statistics._resolved import of_resolved

NAME = "stable rank"
LABEL = "Stable rank (directions)"


def of_spectrum(eigenvalues, floor, samples):
    """‖X‖_F² / ‖X‖₂² = Σ_j λ_j / λ₁ of the centred activations X (Rudelson & Vershynin 2007), of the resolved ones.

    Parameters
    ----------
    eigenvalues : array, (..., rank), float64
    floor : array, broadcast to `eigenvalues`
    samples : int

    Returns
    -------
    dict
        stable_rank : array, (...), from 1 to the number of ranks; reason : array of str, (...).
    """

    def rank(values):
        return values.sum(axis=-1) / values.max(axis=-1)

    found, reason = of_resolved(rank, eigenvalues, floor, samples)
    return {"stable_rank": found, "reason": reason}
