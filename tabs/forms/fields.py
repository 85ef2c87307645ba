"""Fields and plots that several tabs have."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..show.look import CURVES

LARGE = 128  # pixels; a picture above takes a CPU seconds
PRESET_CHOICES = [("Default: works best here", "default"), ("As in the paper", "paper"), ("As released", "official")]


def plot(label: str, **options: Any) -> gr.LinePlot:
    """An empty plot of curves by step."""
    return gr.LinePlot(
        x="step",
        y="value",
        color="term",
        x_title="step",
        y_title=" ",
        color_title=" ",
        color_map=CURVES,
        label=label,
        min_width=220,
        buttons=[],
        **options,
    )
