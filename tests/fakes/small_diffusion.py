"""A Diffusion Autoencoder of 16×16 pictures, small enough to draw by in a test."""

from __future__ import annotations

from ipl_core.generators.diffusion.model import DiffusionConfig, MLPConfig
from ipl_core.generators.diffusion.network import UNetConfig
from ipl_core.generators.diffusion.schedule import Schedule, cosine_alphas
from ipl_core.generators.encoder import EncoderConfig

EMBEDDED = DiffusionConfig(
    resolution=16,
    unet=UNetConfig((8, 16), (1,), down_blocks=1, up_blocks=2, groups=4, unshuffle=2, time_features=8, time_width=16),
    encoder=EncoderConfig(rows=1, w_dim=12, resolution=16, widths=(4, 8), features=8),
    schedule=Schedule(cosine_alphas(100, -1.0), "v_prediction"),
    mapping=MLPConfig(width=16, layers=2),
    z_dim=6,
    w_dim=12,
    steps=10,
    encode_steps=20,
)
