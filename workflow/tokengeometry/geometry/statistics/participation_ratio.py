"""The participation ratio: how many directions share the variance."""

from tokengeometry.geometry.statistics._resolved import of_resolved

NAME = "participation ratio"
LABEL = "Participation ratio (directions)"


def of_spectrum(eigenvalues, floor, samples):
    """(Σ_j λ_j)² / Σ_j λ_j² (Gao et al. 2017), of the resolved eigenvalues.

    Parameters
    ----------
    eigenvalues : array, (..., rank), float64
    floor : array, broadcast to `eigenvalues`
    samples : int

    Returns
    -------
    dict
        participation_ratio : array, (...), from 1 to the number of ranks; reason : array of str, (...).
    """

    def ratio(values):
        return values.sum(axis=-1) ** 2 / (values**2).sum(axis=-1)

    found, reason = of_resolved(ratio, eigenvalues, floor, samples)
    return {"participation_ratio": found, "reason": reason}
