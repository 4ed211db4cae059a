"""How fast a policy at a budget is, beside the whole model.

In: the model and its weights, a schedule, and what of the geometry the policy takes. Out: JSON.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import torch
    from tokengeometry.operations import devices
    from tokengeometry.reduction import forward, signature, speed
    from tokengeometry.reduction.runs import policy_of
    from tokengeometry.storage.whole_files import whole

with log_to(snakemake.log[0]):
    inputs, params, compute = snakemake.input, snakemake.params, snakemake.config["compute"]
    model = json.loads(Path(inputs.model).read_text())
    device = devices.prepare(compute["device"], snakemake.threads)
    found = {}
    for precision in speed.PRECISIONS:
        if precision == "bfloat16" and not speed.has_bfloat16(device):
            print("no bfloat16: this hardware does not multiply it")
            continue
        dtype = getattr(torch, precision)
        network = forward.load_network(model, inputs.weights, device=device, dtype=dtype)
        shape = params.speed["batch_size"], model["in_chans"], *model["image_size"]
        its = speed.compare(
            network,
            torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype),
            json.loads(Path(inputs.schedule).read_text())["r"],
            repeats=params.speed["repeats"],
            policy=policy_of(snakemake.wildcards.policy).module,
            geometry=signature.read(model, alpha="".join(inputs.alpha), correlation=inputs.correlation),
        )
        before = "" if precision == "float32" else f"{precision}_"
        found |= {f"{before}{name}": value for name, value in its.items()}
    found |= {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type}
    found |= {"threads": snakemake.threads}
    with whole(snakemake.output.speed) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
