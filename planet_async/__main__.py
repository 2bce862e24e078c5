"""``python -m planet_async`` is the command `planet-async`."""

from planet_async.cli import main

main()
