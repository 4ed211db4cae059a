"""What reduced tokens are worth, image by image.

In: what a policy made of the images, the same of the whole model, and the data set's labels. Out: a table.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.data import splits
    from tokengeometry.data.labels import labels_of
    from tokengeometry.reduction import scores
    from tokengeometry.storage import zarr_store
    from tokengeometry.tables import write

with log_to(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    store, labels = zarr_store.open_store(inputs.store), None
    if params.scores["labels"]:
        split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
        labels = labels_of(split, store["sample"][:])
        print("no labels: the images have none, or all the same one" if labels is None else "with labels")
    table = scores.of_images(
        store,
        zarr_store.open_store(inputs.whole),
        labels,
        neighbours=params.scores["neighbors"],
        folds=params.scores["folds"],
        fit=params.fit,
    )
    write(snakemake.output.table, table)
