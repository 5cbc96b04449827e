"""For all tests."""

import signal
from typing import Any

import pytest

# A shell that starts a command in the background makes it ignore SIGINT, and nohup makes it ignore SIGHUP, and so all
# that the command starts: the tests of Ctrl-C and of a hang-up would wait for ever. A handler of our own is not
# inherited; a child starts with the default.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out tests to processes: those of a file together, as they share simulators; each proof by itself."""
    from xdist.scheduler import LoadScopeScheduling

    class FilesAndProofs(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file.startswith("tests/formal/") else file

    return FilesAndProofs(config, log)
