"""The real app on the real models, once for all its tests: a server, clients and a headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gradio_client import Client
from visitor import SHARED_TOKEN, Visitor

from tabs.access.policy import MEGABYTE, Policy

SHARED_POLICY = Policy(shared=True, steps=20, entries_each=4, picture_bytes=MEGABYTE, generator_bytes=4 * MEGABYTE)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def app_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module `app`, whoever asks first; Gradio's files lie in a temporary folder, the same for all its apps.

    The components of `app.demo`, which is built on import, remember where that was.
    """
    folder = tmp_path_factory.mktemp("app")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_HOME", str(folder / "home"))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        import app

        yield app


@pytest.fixture(scope="package")
def app_url(app_module: ModuleType) -> Iterator[str]:
    """Address of the running app; its library and Gradio's files lie in a temporary folder."""
    _, url, _ = app_module.demo.launch(prevent_thread_lock=True, quiet=True, **app_module.LAUNCH)
    yield url
    app_module.demo.close()


@pytest.fixture(scope="module")
def shared_url(
    app_module: ModuleType, tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path
) -> Iterator[str]:
    """Address of an app on tiny models that people share who don't know each other, within narrow limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_HOME", str(tmp_path_factory.mktemp("shared")))
        patch.setenv("IPL_PRETRAINED", str(tiny_pretrained))
        patch.setenv("IPL_ADMIN", SHARED_TOKEN)
        demo = app_module.build(SHARED_POLICY)
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app_module.LAUNCH)
        yield url
        demo.close()


@pytest.fixture
def connect(app_url: str) -> Iterator[Callable[[], Client]]:
    """Makes clients; each is a session of its own."""
    clients = []

    def make() -> Client:
        clients.append(Client(app_url, verbose=False))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="package")
def client(app_url: str) -> Iterator[Client]:
    """One client for all tests that need no session of their own."""
    client = Client(app_url, verbose=False)
    yield client
    client.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A headless Chromium. Without one the tests are skipped, but not where CI promises one."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        message = f"no browser on the PATH (looked for {', '.join(BROWSERS)})"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    """Adds to the report of a failed test what its visitors could read, as its machine may be out of reach."""
    report = yield
    if report.when == "call" and report.failed:
        for number, visitor in enumerate(getattr(item, "visitors", ()), start=1):
            try:
                words = visitor.reads()
            except Exception as error:  # a page that is gone must not hide why the test failed
                words = f"not to be had: {error}"
            report.sections.append((f"what visitor {number} could read", words))
    return report


@pytest.fixture
def visit(browser: Any, app_url: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Opens the app as a new visitor, in a window of the given size and colour scheme."""
    contexts = []
    request.node.visitors = []

    def enter(width: int = 1440, height: int = 900, scheme: str = "light") -> Visitor:
        size = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, accept_downloads=True))
        request.node.visitors.append(Visitor(contexts[-1], app_url))
        return request.node.visitors[-1]

    yield enter
    for context in contexts:
        context.close()
