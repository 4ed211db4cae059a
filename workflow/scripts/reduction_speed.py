"""How fast a policy is at each budget, beside the whole model.

In: the model and its weights, the budgets' schedules, and what of the geometry the policy takes. Out: JSON.
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
    schedules = [json.loads(Path(path).read_text())["r"] for path in inputs.schedules]
    found = {budget: {} for budget in params.budgets}
    reduction = dict(
        policy=policy_of(snakemake.wildcards.policy).module,
        geometry=signature.read(model, alpha="".join(inputs.alpha), correlation=inputs.correlation),
    )
    for precision in speed.PRECISIONS:
        if precision == "bfloat16" and not speed.has_bfloat16(device):
            print("no bfloat16: this hardware does not multiply it")
            continue
        before, dtype = "" if precision == "float32" else f"{precision}_", getattr(torch, precision)
        network = forward.load_network(model, inputs.weights, device=device, dtype=dtype)
        shape = params.speed["batch_size"], model["in_chans"], *model["image_size"]
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        for budget, schedule in zip(params.budgets, schedules, strict=True):
            its = speed.compare(network, images, schedule, repeats=params.speed["repeats"], **reduction)
            found[budget] |= {f"{before}{name}": value for name, value in its.items()}
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    for its in found.values():
        its |= {"device": on, "threads": snakemake.threads}
    with whole(snakemake.output.speed) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
