"""For all tests."""

import signal

# A shell that starts a command in the background makes it ignore SIGINT, and so all that the command starts: the tests
# of Ctrl-C would wait for ever. A handler of our own is not inherited; a child starts with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
