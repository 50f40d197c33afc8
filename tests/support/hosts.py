"""Hosts in network namespaces, and ways of cutting one off from a single server, as a broken switch does."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

NOBODY = "02:00:00:00:00:66"  # what is sent there arrives nowhere, and nobody says so


def need_namespaces() -> None:
    """Skip the test where no network namespace can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip")
    probe = f"probe-{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine makes no network namespaces")
    ip("netns", "del", probe)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


@dataclass(frozen=True)
class Host:
    """A namespace with one cable to the others."""

    name: str

    def command(self, *command: str) -> tuple[str, ...]:
        """What starts ``command`` on this host."""
        return ("ip", "netns", "exec", self.name, *command)

    def cut_off(self, address: str) -> None:
        """Lose every packet to ``address`` from now on, without a word to whoever sends."""
        ip("-n", self.name, "neigh", "replace", address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")

    def reconnect(self, address: str) -> None:
        """Let packets to ``address`` through again."""
        ip("-n", self.name, "neigh", "del", address, "dev", "eth0")


@dataclass(frozen=True)
class Network:
    """Hosts on one switch, and an address of ours on it for each server."""

    hosts: Sequence[Host]
    addresses: Sequence[str]


@contextmanager
def network(*, hosts: int, servers: int) -> Iterator[Network]:
    """Build the network, and take it down whatever happens."""
    tag = secrets.token_hex(2)
    subnet = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
    switch, names = f"sw{tag}", [f"host{n}-{tag}" for n in range(hosts)]
    addresses = [f"{subnet}.{100 + n}" for n in range(servers)]
    try:
        ip("link", "add", switch, "type", "bridge")
        for address in addresses:
            ip("addr", "add", f"{address}/24", "dev", switch)
        ip("link", "set", switch, "up")
        for n, name in enumerate(names):
            _plug_in(name, switch, f"{subnet}.{n + 1}", cable=f"c{n}{tag}")
        yield Network(hosts=[Host(name) for name in names], addresses=addresses)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", switch], capture_output=True, check=False)


def _plug_in(name: str, switch: str, address: str, *, cable: str) -> None:
    ip("netns", "add", name)
    ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", cable, "master", switch, "up")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
