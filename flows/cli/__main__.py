"""`python -m flows.cli`: the command line, where no `wavlm` is on the path."""

from flows.cli.main import main

main()
