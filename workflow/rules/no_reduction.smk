# Where the configuration does not say how tokens are to be reduced.
rule reduction:
    input:
        require_reduction,
