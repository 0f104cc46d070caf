"""Rules that hold for the whole suite."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, BrowserContext, expect
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

# One fixed profile: examples are derandomised in CI, so that a red run can be repeated by anybody.
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What a page must show is waited for as long as a loaded machine may take; how fast it is, benchmarks measure.
PAGE_SHOWS_WITHIN_MS = 60_000
expect.set_options(timeout=PAGE_SHOWS_WITHIN_MS)
_new_context = Browser.new_context


def _patient_context(browser: Browser, **options: Any) -> BrowserContext:
    context = _new_context(browser, **options)
    context.set_default_timeout(PAGE_SHOWS_WITHIN_MS)
    return context


Browser.new_context = _patient_context  # type: ignore[method-assign]

ROOT = Path(__file__).resolve().parent.parent
# The recorded experiments stand beside the checkout; tests that want them skip, saying why, where they are absent.
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A test of a real server, browser, port or pty that was skipped proves nothing: that is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.get_closest_marker("real") and not os.environ.get("TOCSIN_ALLOW_SKIPS"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} is marked `real` and was skipped ({report.longrepr}); install what it needs with "
            "`make system-packages`, or set TOCSIN_ALLOW_SKIPS=1 to look at the rest"
        )


@functools.cache
def _group_of(file: str) -> str:
    """The file itself where its tests share a house, a server or a browser, else ""."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return file if "xdist_group(" in text or 'scope="module"' in text else ""


class _ByHouse(LoadScopeScheduling):
    """Tests of one file that share a house run on one worker, one after the other; all others go where there is room.
    (`--dist loadgroup` of xdist 3.8 writes its groups into an attribute that pytest 9.2 no longer reads.)"""

    def _split_scope(self, nodeid: str) -> str:
        return _group_of(nodeid.split("::", maxsplit=1)[0]) or nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Whatever --dist says: `make test` and a developer's `-n 4` schedule alike."""
    return _ByHouse(config, log)


def pytest_runtest_setup() -> None:
    """Another file on the same worker may have set a shorter wait for its own pages."""
    expect.set_options(timeout=PAGE_SHOWS_WITHIN_MS)


def pytest_runtest_teardown() -> None:
    """A command that a test called in this process may have sent the log to that test's captured output, which is
    closed now: the next test must not write there."""
    structlog.reset_defaults()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long forms run only when asked for (`make soak`)."""
    if "soak" in (config.getoption("-m") or ""):
        return
    kept = [item for item in items if not item.get_closest_marker("soak")]
    items[:] = kept


@pytest.fixture(scope="session")
def shared_sensors() -> Path:
    """The folder of recorded experiments; skips where it is absent."""
    folder = SHARED / "data" / "sensors"
    if not folder.is_dir():
        pytest.skip("the recorded experiments (shared/data/sensors) are not beside this checkout")
    return folder
