"""Mean, scatter and Gram matrix of a layer's tokens, of one part.

In: an activation store. Out: a moment store.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.geometry import moments
    from tokengeometry.operations import devices, product_rates
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    device = devices.for_sums(snakemake.config["compute"]["device"], snakemake.threads, snakemake.resources.gpu)
    products = product_rates.chosen(device)
    activations = zarr_store.open_store(snakemake.input.store)
    moments.write(
        snakemake.output.store,
        moments.accumulate(
            moments.batches(activations), device=device, threads=snakemake.threads, products=products.scatter
        ),
        activations.labels,
        eight_bit=activations.attributes.get("eight_bit"),
        scatter_products=products.scatter,
        gram_products=products.gram,
        dtypes=[activations.attributes["compute_dtype"], str(activations["activations"].dtype)],
        **dict(snakemake.wildcards.items()),
    )
