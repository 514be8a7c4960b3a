"""Where does the time of a checkout go? `make flame` draws it as docs/checkout.svg, from a worker under load."""

import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ROOT, await_answer, free_port, migrated_server, running
from benchmarks.catalogue import Scale, fill
from benchmarks.speed import CASES, Bench
from shop import serving

PICTURE = ROOT / "docs" / "checkout.svg"
SECONDS = 20


def main() -> None:
    (case,) = (case for case in CASES if case.name == "checkout, 1 line")
    with migrated_server() as url, ExitStack() as servers:
        fill(url, Scale())
        bench = Bench(url, Scale(), servers)
        port = free_port()
        # The profiler is the server's parent: who is not, may not look into it unless they are root.
        spy = [Path(sys.executable).with_name("py-spy"), "record", "--subprocesses", "--gil", "--rate", "400",
               "--duration", str(SECONDS + 5), "--output", PICTURE, "--"]  # fmt: skip
        command = [*spy, *serving.command(port=port, workers=1)]
        bench.shop = f"http://127.0.0.1:{port}"
        with running(command) as process:
            await_answer(process, f"{bench.shop}/readyz")
            bench.measure(case, seconds=SECONDS)
            process.wait()
    PICTURE.write_text(PICTURE.read_text().replace(f"{ROOT}/", ""))  # where it stood says nothing
    print(f"{PICTURE.relative_to(ROOT)}: open it in a browser.")


if __name__ == "__main__":
    main()
