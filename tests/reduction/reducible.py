"""What the tests of reductions share: a small model with random weights, images, and a geometry."""

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from tokengeometry.reduction.layer import Geometry

DEPTH, GRID = 3, (6, 5)
PLACES = GRID[0] * GRID[1]


def small_model(**options):
    options = dict(num_classes=0) | options
    model = VisionTransformer(img_size=(48, 40), patch_size=8, embed_dim=32, depth=DEPTH, num_heads=2, **options)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15, generator=generator)
    return model.eval()


def some_images(count=4):
    return torch.randn(count, 3, 48, 40, generator=torch.Generator().manual_seed(1))


def some_geometry():
    random = np.random.default_rng(0)
    layers = range(1, DEPTH + 1)
    return Geometry(
        {layer: random.uniform(1, 2, PLACES) for layer in layers},
        {layer: np.corrcoef(random.normal(size=(PLACES, 40))) for layer in layers},
    )
