"""A Python without network: on the path of a process, every connection beyond the machine fails."""

import socket


def _refuse(*_, **__):
    raise OSError("there is no network here")


class _LocalSocket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            _refuse()
        return super().connect(address)

    connect_ex = connect


socket.socket = _LocalSocket
socket.getaddrinfo = socket.create_connection = _refuse
