"""The fixtures. ``context`` is one test's own; see :mod:`tests.support.context`."""

from __future__ import annotations

import importlib.metadata
import signal
from typing import Any, Callable, Iterator, Optional

import pytest

from tests.support import machines_state
from tests.support.context import Context, World


def _guard_is_installed() -> bool:
    points: Any = importlib.metadata.entry_points()
    group = points.select(group="certbot.plugins") if hasattr(points, "select") else points.get("certbot.plugins", ())
    return any(point.name == "guard" for point in group)


def pytest_configure(config: pytest.Config) -> None:
    """A shell that starts us in the background has these ignored, nohup too, and every certbot that we start would
    inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_make_parametrize_id(val: object, argname: str) -> Optional[str]:
    """What is long is not the same in every process (a certificate, a time), and pytest-xdist compares the names."""
    return argname if isinstance(val, (bytes, str)) and len(val) > 40 else None


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The ACME server and what else one test process starts once."""
    if not _guard_is_installed():
        pytest.exit("certbot-guard is not installed here: script/bootstrap, or pip install -e '.[test]'", 3)
    made = World()
    yield made
    made.close()


@pytest.fixture
def new_context(world: World, request: pytest.FixtureRequest) -> Iterator[Callable[..., Context]]:
    """Makes contexts; arguments are those of ``PrivateApache``: ``new_context(address="::1", tls=False)``."""
    made: list[Context] = []

    def make(**apache: Any) -> Context:
        made.append(Context(world, **apache))
        request.node.guard_contexts = made
        return made[-1]

    yield make
    failed = getattr(request.node, "guard_failed", False)
    left = [process for context in made for process in context.close(2.0 if failed else 20.0)]
    if left and not failed:
        pytest.fail("the test left processes behind:\n" + "\n".join(left), pytrace=False)
    news = [] if failed else machines_state.news_of([context.directory for context in made])
    if news:
        pytest.fail(f"this test left its news in {', '.join(map(str, news))}, the machine's own: name [state] dir, "
                    "or use tests/support/clean-root or tests/support/apart.py", pytrace=False)


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    return new_context()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails shows what its programs said."""
    outcome: Any = yield
    report = outcome.get_result()
    if not report.failed or report.when == "teardown":
        return
    item.guard_failed = True  # type: ignore[attr-defined]
    for context in getattr(item, "guard_contexts", ()):
        for title, text in context.report():
            report.sections.append((title, text))
