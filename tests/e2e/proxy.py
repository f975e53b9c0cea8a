"""Stands between the workers and the database, and takes answers away."""

import os
import socket
import threading

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete of COMMIT: it is done, and the server says so


class Proxy:
    """Listens in `directory` as a server would, and passes on what comes to the socket of the real one and back."""

    def __init__(self, directory, server):
        self.path = os.path.join(directory, ".s.PGSQL.5432")
        self.server = server
        self.lock = threading.Lock()
        self.pairs = set()
        self.withheld = None  # what ends the connection, instead of being passed on, when the server says it
        self.cuts = 0
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """As a server that is no more: connections end, and no new ones are taken."""
        os.unlink(self.path)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            self.end(pair)

    def withhold(self, answer):
        """The next answer of the server that holds this is lost, and the connection with it."""
        self.cuts = 0
        self.withheld = answer

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            with self.lock:
                self.pairs.add((client, server))
            threading.Thread(target=self.pass_on, args=((client, server), client, server, False), daemon=True).start()
            threading.Thread(target=self.pass_on, args=((client, server), server, client, True), daemon=True).start()

    def pass_on(self, pair, source, target, answers):
        before = b""
        try:
            while chunk := source.recv(65536):
                if answers and self.loses(before + chunk):
                    break
                before = chunk[-len(COMMITTED):]
                target.sendall(chunk)
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        self.end(pair)

    def loses(self, text):
        with self.lock:
            if self.withheld is None or self.withheld not in text:
                return False
            self.withheld = None
            self.cuts += 1
            return True

    @staticmethod
    def end(pair):
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
