"""Power laws of a layer's spectra, as the tests of numbers look at them."""

from tokengeometry.geometry.statistics.power_law import fit_power_law
from tokengeometry.tables import spectra_of


def fit_layer(store, **fit):
    """By the kind of its spectra, `PowerLaw` each."""
    spectra = spectra_of(store).items()
    return {kind: fit_power_law(values, floor=floor, samples=count, **fit) for kind, (values, floor, count) in spectra}
