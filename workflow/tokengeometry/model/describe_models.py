"""Models without their weights, in a process of its own: what it imports takes seconds.

In: a JSON list of [architecture, image size, source of the weights] on standard input. Out: for each of them, one JSON
list of `{"model": …}` (as of `tokengeometry.model.token_chain.describe`) or `{"error": …}` (one line), the last line
printed.
"""

import json
import sys

from tokengeometry.errors import StudyError
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.model.token_chain import create_model, describe, pretrained_settings


def answer(architecture, image_size, source):
    try:
        model = describe(create_model(architecture, image_size, device="meta"), architecture)
        if source == "timm":
            pretrained_settings(architecture)
        return {"model": model}
    except StudyError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    print(json.dumps([answer(*question) for question in json.load(sys.stdin)]))
