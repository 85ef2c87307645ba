"""What the tabs show, as HTML, tables and looks. Tabs call it `show.NAME`; each subject has a file of its own.

Pure functions of plain values and pictures. Text that a visitor typed is escaped here and nowhere else. Knows no
session and no model.
"""

from .ballot import invitation, question, tally, thanks
from .curves import MAX_POINTS, Curve
from .entries import (
    cards,
    entry_facts,
    entry_method,
    entry_name,
    entry_title,
    method_choices,
    method_ideas,
    method_name,
)
from .pictures import before_and_after, collage, crop, examples, matrix, people
from .runs import STAGE_NAMES, diversity, ended, forecast, frame_progress, progress, seen, waiting
from .tables import BESIDE, beside_remark, figures, figures_remark, kept_diversity, metric_title
from .text import duration, facts, heading, masthead, note, roughly, spoken, trouble
