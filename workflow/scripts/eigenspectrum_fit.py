"""Figure: the eigenspectrum of one token at one layer with its power law.

In: the layer's spectra and the model's tokens.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.figures.eigenspectrum_fit import eigenspectrum_fit
    from tokengeometry.figures.style import save
    from tokengeometry.geometry.statistics.power_law import fit_power_law
    from tokengeometry.model.tokens import layer_tokens
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import spectra_of

with log_to(snakemake.log[0]):
    spectra = zarr_store.open_store(snakemake.input.store)
    model = json.loads(Path(snakemake.input.model).read_text())
    layer, name, fit = snakemake.params.layer, snakemake.params.token, snakemake.params.fit
    index = layer_tokens(model, layer).name.tolist().index(name)
    eigenvalues, floor, samples = spectra_of(spectra)["token"]
    law = fit_power_law(eigenvalues, floor=floor, samples=samples, **fit)
    figure = eigenspectrum_fit(
        eigenvalues[index],
        floor[index],
        fit["ranks"],
        law.alpha[index],
        law.r2[index],
        law.log_amplitude[index],
        f"{'CLS token' if name == 'cls' else f'token {name}'}, layer {layer}",
        samples=samples,
        reason=f"{law.resolved[index]} resolved ranks",
    )
    save(figure, snakemake.params.branches, *snakemake.output)
