"""For all tests."""

import signal

import pytest

# A shell that starts a command in the background makes it ignore SIGINT, and so all that the command starts: the tests
# of Ctrl-C would wait for ever. A handler of our own is not inherited; a child starts with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups tests for `pytest --dist loadgroup`: the tests of a file share simulators, each proof stands alone."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        if not file.startswith("tests/formal/"):
            item.add_marker(pytest.mark.xdist_group(file))
