"""
What a worker says to PostgreSQL: a proxy between the two that writes down the prepared statements and with which values
they are run, so that others can be measured on the very same. And a script for pgbench made of it.
"""

import os
import re
import socket
import struct
import threading


class Bind:
    """One run of a prepared statement; a value is None for NULL, bytes otherwise."""

    def __init__(self, statement, sql, values):
        self.statement = statement
        self.sql = sql
        self.values = values


class Recorder:
    """
    Passes everything on between clients of `directory` and the server's socket. `trips` holds what was sent: a list of
    Binds for each Sync, hence for each round trip.
    """

    def __init__(self, directory, server):
        self.server = server
        self.trips = []
        self.lock = threading.Lock()
        os.makedirs(directory, exist_ok=True)
        self.path = os.path.join(directory, os.path.basename(server))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def take(self):
        """The round trips since the last call."""
        with self.lock:
            trips, self.trips = self.trips, []
        return trips

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            threading.Thread(target=self._questions, args=(client, server), daemon=True).start()

    def _answers(self, server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _questions(self, client, server):
        statements, trip, held, begun = {}, [], b"", False
        try:
            while data := client.recv(65536):
                held += data
                while len(held) >= 5:
                    # The first message has no type.
                    length = struct.unpack_from("!I", held, 1 if begun else 0)[0] + (1 if begun else 0)
                    if len(held) < length:
                        break
                    message, held = held[:length], held[length:]
                    if begun:
                        trip = self._note(message, statements, trip)
                    begun = True
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _note(self, message, statements, trip):
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, sql = body.split(b"\0", 2)[:2]
            statements[name] = sql.decode()
        elif kind == b"B":
            _, name, rest = body.split(b"\0", 2)
            trip.append(Bind(name.decode(), statements[name], read_values(rest)))
        elif kind == b"S":
            with self.lock:
                self.trips.append(trip)
            trip = []
        return trip


def read_values(data):
    """The values of a Bind, after its names."""
    formats = struct.unpack_from("!H", data)[0]
    at = 2 + 2 * formats
    count = struct.unpack_from("!H", data, at)[0]
    at += 2
    values = []
    for _ in range(count):
        length = struct.unpack_from("!i", data, at)[0]
        at += 4
        values.append(None if length < 0 else data[at:at + length])
        at += max(length, 0)
    return values


class Script:
    """
    The round trips of several requests of one kind as one script for pgbench, so that each connection has one plan for a
    statement, as a worker has. Values that all requests share are in `constants` (for -D); the others are columns of
    `rows`, of which the script takes another every hundred transactions or so, from the table that `select` reads. pgbench
    has no value that is NULL, so NULL stands in the statement itself.
    """

    EVERY = 100

    def __init__(self, trips, table):
        self.constants, self.columns, lines = {}, [], []
        for place, bind in enumerate(trips[0]):
            values = [trip[place].values for trip in trips]
            names = []
            for parameter in range(len(bind.values)):
                column = [value[parameter] for value in values]
                assert all(value is None for value in column) or None not in column, (bind.statement, parameter)
                names.append(self._name(column))
            sql = re.sub(r"'(?:[^']|'')*'", hide_colons, " ".join(bind.sql.split()))
            lines.append(re.sub(r"\$(\d+)", lambda match: names[int(match[1]) - 1], sql) + ";")
        self.rows = list(zip(*self.columns))
        names = ", ".join(f"c{number}" for number in range(len(self.columns)))
        self.text = "\n".join([
            "\\set chance random(1, {})".format(self.EVERY), "\\if :begin = 1 or :chance = 1", "\\set begin 0",
            f"\\set row random(1, {len(self.rows)})", f"SELECT {names} FROM {table} WHERE n = :row \\gset", "\\endif",
            "\\startpipeline", *lines, "\\endpipeline", ""])
        self.constants["begin"] = "1"

    def _name(self, column):
        if column[0] is None:
            return "NULL"
        column = [value.decode() for value in column]
        if len(set(column)) == 1:
            name = f"v{len(self.constants)}"
            self.constants[name] = column[0]
            return ":" + name
        if column not in self.columns:
            self.columns.append(column)
        return f":c{self.columns.index(column)}"


def hide_colons(string):
    """What follows a colon is a variable to pgbench, within a string too."""
    return "E" + string[0].replace(":", "\\072") if ":" in string[0] else string[0]
