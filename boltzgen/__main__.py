"""``python -m boltzgen``: the command line, for programs that start Python themselves, like torchrun."""

from boltzgen.cli import main

if __name__ == "__main__":
    main()
