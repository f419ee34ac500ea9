"""A plugin of pytest: which test runs which line, also in processes that it starts, and how long each test takes.

A line that the set-up of a shared fixture runs belongs to every test that uses the fixture. Lines that run while a
module is imported belong to no test. `coverage` counts; it reads the name of the test, its context, from the
environment.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

CONTEXT = "MUTANTS_CONTEXT"  # the test that runs now, for the processes that it starts


class Trace:
    """Switch the context of `coverage` at each test and each shared fixture; write `tests.json` at the end."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self.fixtures: dict[str, list[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A test is a context; its shared fixtures are noted."""
        definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  pytest has no public way
        self.fixtures[item.nodeid] = [
            fixture_context(definition)
            for found in definitions.values()
            for definition in found
            if definition.scope != "function"
        ]
        switch(item.nodeid)
        result = yield
        switch("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> Iterator[None]:
        """A fixture that tests share is a context of its own."""
        if fixturedef.scope == "function":
            return (yield)
        before = os.environ[CONTEXT]
        switch(fixture_context(fixturedef))
        try:
            return (yield)
        finally:
            switch(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Sum a test's seconds, and note those that fail."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write what was found."""
        tests = {
            name: {"seconds": round(self.seconds[name], 3), "failed": name in self.failed, "fixtures": fixtures}
            for name, fixtures in self.fixtures.items()
        }
        self.out.write_text(json.dumps(tests, indent=1))


def fixture_context(definition: pytest.FixtureDef) -> str:
    """The context of a shared fixture."""
    return f"fixture {definition.baseid}::{definition.argname}"


def switch(context: str) -> None:
    """Lines belong to `context` from here on, in this process and in those that it starts."""
    os.environ[CONTEXT] = context
    running = coverage.Coverage.current()
    if running is not None:
        running.switch_context(context)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin where the environment asks for it."""
    if out := os.environ.get("MUTANTS_TESTS"):
        config.pluginmanager.register(Trace(Path(out)), "mutants-trace")
