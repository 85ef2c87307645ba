"""How the app looks: theme, style sheet and the few lines of script that no component offers.

Fonts are files that Gradio itself serves, so nothing is fetched from elsewhere. Knows no component and no model.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import fonts

#: Colours of curves: readable on the light and on the dark background, and apart for colour-blind eyes.
CURVES = {
    "total": "#c9582d",
    "adaptation": "#c9582d",
    "diversity": "#c9582d",
    "contrastive": "#2f8f96",
    "domain": "#9a78c2",
    "pixel": "#2f8f96",
    "multiscale": "#9a78c2",
    "perceptual": "#b08a1e",
    "locality": "#7d7266",
}

_CLAY = gr.themes.Color(
    name="clay",
    c50="#fdf4ef",
    c100="#fae4d8",
    c200="#f3c6b0",
    c300="#eaa280",
    c400="#df7c52",
    c500="#c9582d",
    c600="#b4481f",
    c700="#943a19",
    c800="#743018",
    c900="#572615",
    c950="#33150b",
)
_PAPER = gr.themes.Color(
    name="paper",
    c50="#faf8f5",
    c100="#f3efe9",
    c200="#e6dfd6",
    c300="#d2c8bc",
    c400="#a89c8e",
    c500="#7d7266",
    c600="#5f564c",
    c700="#473f38",
    c800="#2c2723",
    c900="#1e1a18",
    c950="#151210",
)

#: Colours and the like by what Gradio calls them, in the light mode and in the dark one.
_IN_BOTH_MODES = {
    "body_background_fill": ("*neutral_50", "*neutral_950"),
    "body_text_color": ("*neutral_800", "*neutral_100"),
    "body_text_color_subdued": ("*neutral_600", "*neutral_400"),
    "background_fill_primary": ("white", "*neutral_900"),
    "background_fill_secondary": ("*neutral_100", "*neutral_800"),
    "border_color_primary": ("*neutral_200", "*neutral_700"),
    "block_background_fill": ("white", "*neutral_900"),
    "block_border_color": ("*neutral_200", "*neutral_800"),
    "block_label_background_fill": ("transparent", "transparent"),
    "block_label_text_color": ("*neutral_600", "*neutral_400"),
    "block_title_text_color": ("*neutral_700", "*neutral_300"),
    "block_info_text_color": ("*neutral_600", "*neutral_400"),
    "block_shadow": ("0 1px 2px rgb(60 40 20 / 0.05)", "none"),
    "input_background_fill": ("white", "*neutral_950"),
    "input_border_color": ("*neutral_300", "*neutral_700"),
    "input_border_color_focus": ("*primary_500", "*primary_400"),
    "input_placeholder_color": ("*neutral_500", "*neutral_400"),
    "button_border_width": ("1px", "1px"),
    "button_primary_background_fill": ("*primary_600", "*primary_600"),
    "button_primary_background_fill_hover": ("*primary_700", "*primary_700"),
    "button_secondary_background_fill": ("white", "*neutral_800"),
    "button_secondary_background_fill_hover": ("*neutral_100", "*neutral_700"),
    "button_secondary_border_color": ("*neutral_300", "*neutral_700"),
    "button_cancel_background_fill": ("white", "*neutral_800"),
    "button_cancel_background_fill_hover": ("*primary_50", "*neutral_700"),
    "button_cancel_border_color": ("*primary_600", "*primary_400"),
    "button_cancel_text_color": ("*primary_700", "*primary_300"),
    "checkbox_label_background_fill": ("white", "*neutral_800"),
    "checkbox_label_background_fill_selected": ("*primary_50", "*primary_950"),
    "checkbox_label_border_color": ("*neutral_300", "*neutral_700"),
    "checkbox_label_border_color_selected": ("*primary_600", "*primary_400"),
    "checkbox_label_text_color_selected": ("*primary_800", "*primary_200"),
    "slider_color": ("*primary_600", "*primary_500"),
    "link_text_color": ("*primary_700", "*primary_300"),
    "accordion_text_color": ("*neutral_700", "*neutral_300"),
}


def theme() -> gr.themes.Base:
    """Warm paper and clay; every pair of text and background reaches a contrast of 4.5 in both modes."""
    return gr.themes.Base(
        primary_hue=_CLAY,
        secondary_hue=_CLAY,
        neutral_hue=_PAPER,
        radius_size=gr.themes.sizes.radius_lg,
        # Of the weights that Gradio carries, these hold the whole alphabet; 600 is drawn as 700.
        font=[fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        block_label_border_width="0px",
        block_label_text_weight="600",
        block_title_text_weight="600",
        input_border_width="1px",
        button_primary_border_color="transparent",
        button_primary_text_color="white",
        **{name: light for name, (light, _) in _IN_BOTH_MODES.items()},
        **{f"{name}_dark": dark for name, (_, dark) in _IN_BOTH_MODES.items()},
    )


STYLE_SHEET = Path(__file__).with_name("style.css")

#: Three things for those who listen to the page. A region is announced only if it is one before its words change,
#: and a component's inner nodes are replaced with its value: so the role belongs on the component itself, as soon as
#: its tab is there. What a field complains about has to be said, too. And a picture that is a button is one without a
#: word: an example is therefore called as its file is, an animation by where its words are.
SCRIPT = """
() => {
  const announce = (root) => {
    for (const region of root.querySelectorAll?.('.announcer') ?? []) region.setAttribute('role', 'status');
  };
  const name = (button) => {
    const picture = button?.querySelector('img');
    if (!picture || button.innerText.trim()) return;
    const file = decodeURIComponent(picture.src.split('/').pop()).replace(/[.][a-z]+$/, '');
    button.setAttribute('aria-label', button.closest('.animation') ? 'The animation that is described below' : file);
  };
  const pictures = 'button.gallery-item, .animation .image-container > button';
  announce(document);
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) {
        if (node.classList?.contains('validation-error')) node.setAttribute('role', 'alert');
        announce(node);
        for (const button of node.querySelectorAll?.(pictures) ?? []) name(button);
        name(node.closest?.(pictures));
      }
    }
  }).observe(document.body, { childList: true, subtree: true });
}
"""
#: On a phone the result is below the fold.
SCROLL_TO_STATUS = """
() => {
  const shown = [...document.querySelectorAll('.status')].find((status) => status.offsetParent);
  if (window.innerWidth < 700) shown?.scrollIntoView({ behavior: 'smooth' });
}
"""
#: And so are drawn people.
SCROLL_TO_DRAWN = """
() => {
  const shown = [...document.querySelectorAll('.drawn')].find((heading) => heading.offsetParent);
  if (window.innerWidth < 700) shown?.scrollIntoView({ behavior: 'smooth' });
}
"""
#: What a press on a card has opened may be elsewhere on the page.
FOCUS_ON_ENTRY = """
() => {
  const heading = document.querySelector('.chosen h2');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus({ preventScroll: true });
  heading?.scrollIntoView({ behavior: 'smooth', block: 'nearest' });
}
"""
#: A question that can't be taken back begins at the harmless answer.
FOCUS_ON_QUESTION = """
() => document.querySelector('.question button')?.focus()
"""
