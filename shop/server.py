"""The server's own process: granian, with workers that can be stopped from their first moment on."""

import logging
import os
import resource
import shutil
import signal
import tempfile

from granian.cli import entrypoint

from shop import serving


def main() -> None:
    """Run granian with the arguments of `serving.command`.

    A worker is a fork that has the handlers of its parent until it has loaded the application. A SIGTERM in that second
    would be noted where nobody looks, and the worker killed ten seconds later.
    """
    os.register_at_fork(after_in_child=_end_when_told)
    _allow_connections()
    # It warns of many threads because of Python's lock; few of ours are ever in Python at once.
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
    # Where the workers count together (shop.toolkit.telemetry.metrics).
    folder = tempfile.mkdtemp(prefix="shop-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        entrypoint()  # type: ignore[no-untyped-call]  # of its own, it has none
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _allow_connections() -> None:
    """Take as many file descriptors as the connections need, where the system grants them: 1,024 are soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * serving.CONNECTIONS
    granted = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < granted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


def _end_when_told() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
