# Neighbours in the tree of parts are merged as soon as both are there, so that few moments wait for the last part.


rule merged_moments:
    input:
        stores=halves,
    output:
        # Temporary also where the parts' own are kept, from which it can be made again.
        store=temp(directory(MERGED)),
    log:
        "<results>/logs/merged_moments/{model}/{dataset}/{split}/layer_{layer}.parts_{first}_{last}.log",
    benchmark:
        "<results>/benchmarks/merged_moments/{model}.{dataset}.{split}.layer_{layer}.parts_{first}_{last}.tsv"
    # Above the chain, so that what is merged goes before new parts come.
    priority: 10
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("merged_moments"),
    params:
        code=code("merged_moments.py"),
    script:
        "../scripts/merged_moments.py"
