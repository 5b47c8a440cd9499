"""Which browser, and how it is started: the one of the system, alone with our server."""

import os

EXECUTABLE = os.environ.get("SOLGIK_TEST_BROWSER")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
