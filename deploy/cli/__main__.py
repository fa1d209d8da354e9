"""``python -m deploy.cli``: the console script where it is not on the path, and for child processes."""

from deploy.cli.main import main

main()
