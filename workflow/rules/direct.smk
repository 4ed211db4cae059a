# Instead of the chain, where no activations are stored: a part's moments from one forward pass through all layers.
from itertools import product

# What a rule makes can't depend on a wildcard, and the analysed layers are a model's own: so every model has its rules,
# one for the first parts, which also make the concatenated spectra, and one for those after. Of the model `small` with
# the layers 0 and 1 they are
#
#     rule direct_first_small:                                 rule direct_next_small:
#         output:                                                  output:
#             moments=[                                                moments=[
#                 "…/moments/layer_00/part_000.zarr",                      "…/moments/layer_00/part_{part}.zarr",
#                 "…/moments/layer_01/part_000.zarr",                      "…/moments/layer_01/part_{part}.zarr",
#             ],                                                       ],
#             concatenated=[
#                 "…/moments/layer_00/concatenated.zarr",
#                 "…/moments/layer_01/concatenated.zarr",
#             ],
for model, first in product(config["models"], (True, False)):

    rule:
        name:
            f"direct_{'first' if first else 'next'}_{model}"
        input:
            model=rules.model.output.description,
            weights=rules.model.output.weights,
            dataset=rules.dataset.output.description,
        output:
            moments=stores_of(model, of_part(MOMENTS, first), config["moments"]["keep"]),
            concatenated=stores_of(model, CONCATENATED, True) if first else [],
            noise=stores_of(model, NOISE, True, 1) if first and study.coarse else [],
        log:
            of_part(
                "<results>/logs/direct/{model}/{dataset}/{split}/part_{part}.log",
                first,
            ),
        benchmark:
            of_part(
                "<results>/benchmarks/direct/{model}.{dataset}.{split}.part_{part}.tsv",
                first,
            )
        wildcard_constraints:
            model=re.escape(model),
            part=r"(?!000)\d{3}",
        priority: chain_priority
        conda:
            "../../envs/environment.yaml"
        threads: threads_of("direct")
        resources:
            **ask("direct"),
        params:
            code=code("direct.py"),
            dataset_class=lambda wildcards: config["datasets"][wildcards.dataset][
                "class"
            ],
            arguments=split_arguments,
            white=split_white,
            images=in_order(config["images"]),
            seed=config["seed"],
            part=part_range,
            layers=study.layers(model),
            precision=config["forward"]["precision"],
            joint=joint_samples if first else 0,
            measured=measured_samples if first else 0,
        script:
            "../scripts/direct.py"
