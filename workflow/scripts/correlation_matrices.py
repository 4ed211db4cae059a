"""Figure: the correlation matrices of all layers.

In: the correlation stores.
"""

from tokengeometry import stores
from tokengeometry.figures.correlation_matrices import correlation_matrices
from tokengeometry.figures.style import save
from tokengeometry.logs import log_to

with log_to(snakemake.log[0]):
    layers = [stores.open_store(path) for path in snakemake.input.stores]
    matrices = {int(store.attributes["layer"]): store["correlation"][:] for store in layers}
    save(correlation_matrices(matrices), *snakemake.output)
