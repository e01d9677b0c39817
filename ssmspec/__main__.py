"""`python -m ssmspec` is the same program as `ssmspec`."""

from ssmspec.cli import main

main()
