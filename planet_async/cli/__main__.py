"""``python -m planet_async.cli`` is the command `planet-async`."""

from planet_async.cli import main

main()
