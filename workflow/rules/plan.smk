# What the study costs, printed before anything runs.
rule plan:
    log:
        "<results>/logs/plan.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("plan.py"),
    script:
        "../scripts/plan.py"
