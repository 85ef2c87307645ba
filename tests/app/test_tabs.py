"""The registry of tabs: a new tab is a file and a line of `tabs.TABS`, and appears in the app with what it offers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import tabs

TOY = """
import gradio as gr

from tabs.base import Press, Tab


class ToyTab(Tab):
    key, title = "toy", "Toy"

    def build(self):
        self._entry = gr.State("zombie")
        self._button = gr.Button("Draw my toy")
        self._seen = gr.HTML()
        self._page.presses.append(Press(self._button.click, self._entry))

    def opens(self, event):
        event(lambda: "A toy is opened", None, self._seen, api_name="toy-opened")

    def receives(self):
        for ended in self._page.ended:
            ended.then(lambda: "A run has ended", None, self._seen, api_name="toy-heard")
"""


def test_a_new_tab_is_a_file_and_a_line(
    app_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = {block.label for block in app_module.demo.blocks.values() if block.get_block_name() == "tabitem"}
    monkeypatch.setattr(tabs, "TABS", (*tabs.TABS, "toy:ToyTab"))
    demo = app_module.build()
    places = {block.label: block for block in demo.blocks.values() if block.get_block_name() == "tabitem"}
    assert places.keys() - before == {"Toy"}
    assert list(places)[-1] == "Toy"
    listeners = list(demo.fns.values())
    (opened,) = (fn for fn in listeners if fn.api_name == "toy-opened")
    assert opened.targets == [(places["Toy"]._id, "select")]
    assert len([fn for fn in listeners if str(fn.api_name).startswith("toy-heard")]) == 2, "a run, and going on with it"
    (button,) = (block for block in demo.blocks.values() if getattr(block, "value", None) == "Draw my toy")
    (pressed,) = (fn for fn in listeners if (button._id, "click") in fn.targets)
    assert {"Model", "Whom"} <= {block.label for block in pressed.outputs if hasattr(block, "label")}, "Sample draws it"


def test_the_package_imports_no_tab_by_itself() -> None:
    """What settles the environment comes before Gradio."""
    source = Path(tabs.__file__).read_text(encoding="utf-8")
    assert "import " not in source.partition('"""')[2].partition('"""')[2]
