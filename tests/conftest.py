"""What every run of the tests does."""

import pytest

from tests.support.leaks import LeakWatch


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LeakWatch(config), "leaks")
