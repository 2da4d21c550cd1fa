"""Ports on loopback that stay somebody's while nobody listens on them."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A socket on loopback that shares its port with other sockets of this user that ask for it by number."""
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((HOST, port))
    return one
