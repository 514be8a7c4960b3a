"""Images built by buildah, and containers from them by the kernel's own means: nothing here needs an engine."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

# What an engine does for `--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges`: the image's files
# cannot be written by anybody, /tmp, /dev and /proc are its own, and the first process has no way back to root.
START = """
set -eu
root=$1 user=$2 group=$3 folder=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m,mode=1777 tmp "$root/tmp"
mount -t tmpfs -o size=64m dev "$root/dev"
mkdir -m 1777 "$root/dev/shm"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
exec chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --clear-groups \\
    --no-new-privs --inh-caps=-all --bounding-set=-all /usr/bin/env -i -C "$folder" "$@"
"""


@dataclass(frozen=True)
class Store:
    """A place for images that is not the machine's own."""

    folder: Path

    def buildah(self, *arguments: str, show: bool = False) -> str:
        places = ["--root", str(self.folder / "images"), "--runroot", str(self.folder / "state")]
        command = ["buildah", *places, "--storage-driver", "vfs", *arguments]
        done = subprocess.run(command, check=True, text=True, stdout=None if show else subprocess.PIPE)
        return (done.stdout or "").strip()

    def has(self, name: str) -> bool:
        return bool(self.buildah("images", "--quiet", "--filter", f"reference={name}"))

    def add(self, name: str, folder: Path) -> None:
        """Make an image of a folder."""
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(folder), "/")
        self.buildah("commit", "--quiet", "--rm", container, name)

    @contextmanager
    def mounted(self, name: str) -> Iterator["Image"]:
        container = self.buildah("from", "--pull-never", name)
        try:
            config = json.loads(self.buildah("inspect", "--type", "container", container))["Docker"]["config"]
            yield Image(Path(self.buildah("mount", container)), config)
        finally:
            self.buildah("rm", container)

    def depth(self, name: str) -> int:
        """Return of how many layers an image is made."""
        return len(json.loads(self.buildah("inspect", "--type", "image", name))["Docker"]["rootfs"]["diff_ids"])

    def layers(self, name: str) -> list[int]:
        """Return how many bytes each layer has as a registry keeps it."""
        with TemporaryDirectory(dir=self.folder) as copy:
            self.buildah("push", "--quiet", name, f"oci:{copy}:image")
            blobs = Path(copy) / "blobs" / "sha256"
            index = json.loads((Path(copy) / "index.json").read_text())
            manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
        return [layer["size"] for layer in manifest["layers"]]


@dataclass(frozen=True)
class Image:
    """An image's files, and what it says of how they are run."""

    root: Path
    config: dict[str, Any]

    @cached_property
    def bytes(self) -> int:
        return int(subprocess.check_output(["du", "-s", "--bytes", self.root]).split()[0])

    def start(
        self, command: Sequence[str], environment: dict[str, str], *, user: str = "", output: Any = None
    ) -> "Container":
        """Start a command as the first process of a container, with the user and folder that the image names."""
        uid, _, gid = (user or self.config["User"]).partition(":")
        named = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        namespaces = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork"]
        inside = ["sh", "-c", START, "container", str(self.root), uid, gid, self.config["WorkingDir"]]
        process = subprocess.Popen([*namespaces, *inside, *named, *command], stdout=output, stderr=subprocess.STDOUT)
        return Container(process)

    def run(self, *command: str, user: str = "", **environment: str) -> str:
        """Run a command to its end and return what it said; raise RuntimeError with it when it fails."""
        container = self.start(command, environment, user=user, output=subprocess.PIPE)
        said = container.outside.communicate(timeout=120)[0].decode()
        if container.outside.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {container.outside.returncode}:\n{said}")
        return said


@dataclass(frozen=True)
class Container:
    """A command that runs as the first process of a container."""

    outside: "subprocess.Popen[bytes]"

    @property
    def first(self) -> psutil.Process:
        (child,) = psutil.Process(self.outside.pid).children()
        return child

    def stop(self, seconds: float) -> int:
        """Ask it to end and return its exit code; raise TimeoutExpired when it does not."""
        self.first.send_signal(signal.SIGTERM)
        return self.outside.wait(seconds)

    def kill(self) -> None:
        if self.outside.poll() is None:
            self.first.kill()  # the kernel ends the rest of a container with its first process
            self.outside.wait()
