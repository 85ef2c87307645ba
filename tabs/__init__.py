"""The tabs of the app: thin handlers between Gradio and `ipl_core`, a file each and a line of TABS each.

They hold no tensor arithmetic. This package imports none of them by itself, since what settles the environment comes
before Gradio and PyTorch.
"""

#: The tabs in their order on the page: a class of `base.Tab` each, as `pkgutil.resolve_name` finds it.
TABS = (
    "tabs.adapt:AdaptTab",
    "tabs.compare:CompareTab",
    "tabs.sample:SampleTab",
    "tabs.interpolate:InterpolateTab",
    "tabs.picture:PictureTab",
    "tabs.library:LibraryTab",
    "tabs.study:StudyTab",
)
