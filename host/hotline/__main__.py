"""`python -m hotline` is the command `hotline`: so a launcher, such as torchrun, can start it as a module."""

from hotline_host.commands.entry import main

if __name__ == "__main__":
    main()
