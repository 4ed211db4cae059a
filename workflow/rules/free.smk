# On request only: `snakemake free`.
rule free:
    log:
        "<results>/logs/free.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    script:
        "../scripts/free.py"
