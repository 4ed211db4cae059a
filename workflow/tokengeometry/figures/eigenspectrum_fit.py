"""One eigenspectrum with the power law fitted to it."""

import math

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator

from tokengeometry.figures import style


@style.applied
def eigenspectrum_fit(
    eigenvalues,
    floor,
    ranks,
    alpha,
    r2,
    log_amplitude,
    label,
    *,
    samples=None,
    reason="",
):
    """Draw λ_j against j on log axes, the range of the fit, and λ_j = exp(log_amplitude) · j^(−alpha) in it.

    Parameters
    ----------
    eigenvalues : array, (rank,), descending
        Those that are not resolved (λ ≤ `floor`, or rank ≥ `samples`) are drawn faint; where they are too small for
        the axis, or ≤ 0, a small arrow at its lower end stands for them.
    floor : float or array, (rank,)
        What is not above it is noise, in the unit of the eigenvalues. A line, where the axis reaches it.
    ranks : (int, int)
        First and last rank of the fit, 1-based, both included; only resolved ranks of it were fitted.
    alpha, r2, log_amplitude : float
        The fit. A NaN `alpha` means that there is none: no line is drawn and the figure gives `reason`.
    label : str
        What the spectrum is of, such as `CLS token, layer 6`.
    samples : int, optional
        Number of samples behind the covariance, whose rank is at most one less.
    reason : str
        Why there is no fit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    rank = np.arange(1, len(eigenvalues) + 1)
    floor = np.broadcast_to(np.maximum(floor, 0.0), eigenvalues.shape)
    resolved = eigenvalues > floor
    if samples is not None:
        resolved &= rank <= samples - 1
    bottom, top = _limits(eigenvalues, resolved)
    below = ~resolved & (eigenvalues < bottom)
    faint = ~resolved & ~below

    figure = style.new_figure(style.SINGLE_COLUMN, 3.1)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    first, last = ranks
    axes.axvspan(first, last, color="0.92", linewidth=0, zorder=0, label=f"fit range, ranks {first}–{last}")
    dots = dict(linestyle="none", marker="o", markersize=2.2, markeredgewidth=0, color=style.SPECTRUM)
    faint_dots = {**dots, "color": style.UNRESOLVED}
    if resolved.any():
        axes.plot(rank[resolved], eigenvalues[resolved], **dots, label="eigenvalues")
    if faint.any():
        axes.plot(rank[faint], eigenvalues[faint], **faint_dots, label="not resolved")
    if (floor > bottom).any():
        axes.plot(rank, floor, color=style.UNRESOLVED, linewidth=0.8, linestyle="--", label="floor of noise")
    if below.any():
        arrows = {**faint_dots, "marker": "v", "markersize": 3}
        axes.plot(
            rank[below],
            np.full(below.sum(), bottom * (top / bottom) ** 0.015),
            **arrows,
            label="not resolved, below the axis",
        )

    fitted = rank[resolved & (rank >= first) & (rank <= last)]
    if math.isfinite(alpha) and len(fitted):
        ends = np.array([fitted[0], fitted[-1]], dtype=float)
        line = np.exp(log_amplitude - alpha * np.log(ends))
        axes.plot(ends, line, color=style.FIT, linewidth=1.6, label=f"fit: α = {alpha:.3f}, R² = {r2:.4f}")
    else:
        axes.text(
            0.97,
            0.95,
            f"no fit{': ' + reason if reason else ''}",
            transform=axes.transAxes,
            ha="right",
            va="top",
            color=style.FIT,
            fontsize=7,
        )

    axes.set_xlim(0.9, len(rank) * 1.15)
    axes.set_ylim(bottom, top)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.set_xlabel("Rank j")
    axes.set_ylabel("Eigenvalue λ")
    axes.set_title(label, loc="left")
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.4)
    return figure


def _limits(eigenvalues, resolved):
    """Ends of the λ axis: the resolved eigenvalues, and at most a decade of rounding noise under them."""
    if not resolved.any():
        noise = eigenvalues[eigenvalues > 0]
        return (noise.min() / 1.6, noise.max() * 1.6) if noise.size else (0.1, 10.0)
    low, high = eigenvalues[resolved].min(), eigenvalues[resolved].max()
    return (low / 10 if not resolved.all() else low / 1.6), high * 1.6
