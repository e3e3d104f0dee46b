"""A replica of the next release as a process of its own."""

import sys

from tests.contracts.ledger.releases import main

main(sys.argv[1])
