"""A wire between browser and server that can be cut: nothing passes, and neither end is told."""

import socket
import threading


class Wire:
    def __init__(self, base):
        host, port = base.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._whole = threading.Event()
        self._whole.set()
        self._sockets = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.base = "http://127.0.0.1:{}".format(self._door.getsockname()[1])
        self._start(self._accept)

    def cut(self):
        self._whole.clear()

    def mend(self):
        """What waited on the way arrives, late, as it does with TCP; what was given up stays so."""
        self._whole.set()

    def close(self):
        self._whole.set()
        for end in (self._door, *list(self._sockets)):
            self._end(end)

    def _accept(self):
        while near := self._quietly(lambda: self._door.accept()[0]):
            self._sockets.add(near)
            self._start(self._join, near)

    def _join(self, near):
        self._whole.wait()
        far = self._quietly(lambda: socket.create_connection(self._target))
        if far is None:
            return self._end(near)
        self._sockets.add(far)
        self._start(self._pump, near, far)
        self._pump(far, near)

    def _pump(self, source, sink):
        while chunk := self._quietly(lambda: source.recv(65536)):
            self._whole.wait()
            if self._quietly(lambda: sink.sendall(chunk) or True) is None:
                break
        self._whole.wait()  # an end of a connection doesn't pass either
        self._end(source)
        self._end(sink)

    @staticmethod
    def _quietly(act):
        """None where an end has gone, which is what happens to wires."""
        try:
            return act()
        except OSError:
            return None

    def _end(self, end):
        self._sockets.discard(end)
        self._quietly(lambda: end.shutdown(socket.SHUT_RDWR))
        end.close()

    @staticmethod
    def _start(work, *values):
        threading.Thread(target=work, args=values, daemon=True).start()
