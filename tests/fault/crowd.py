#!/usr/bin/python3
"""
A crowd of clients that do harm by being slow: idle connections, headers and bodies byte by byte, answers read byte by byte. Each
comes back when it is thrown out. Says "ready" once all are there, and their figures, in JSON, when its standard input ends.
"""

import argparse
import asyncio
import itertools
import json
import resource
import socket
import ssl
import sys

PAUSE = 4.0     # seconds between two bytes: less than nginx waits for them
AT_ONCE = 200   # that connect at the same time
SMALL = 4096    # bytes of a slow reader's receive buffer


class Crowd:
    def __init__(self, options):
        self.options = options
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.there = 0
        self.figures = {}
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        # Few to an address, as many harmless-looking ones would be.
        self.addresses = itertools.cycle([f"127.0.{high}.{low}" for high in range(1, 21) for low in range(1, 11)])

    def count(self, kind, what):
        key = f"{kind} {what}"
        self.figures[key] = self.figures.get(key, 0) + 1

    async def connect(self, kind, encrypted):
        sock = socket.socket()
        sock.setblocking(False)
        if kind == "reader":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.bind((next(self.addresses), 0))
        port = self.options.https if encrypted else self.options.http
        async with self.gate:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            return await asyncio.open_connection(sock=sock, limit=SMALL, ssl=self.tls if encrypted else None,
                                                 server_hostname="localhost" if encrypted else None)

    async def live(self, kind, encrypted, delay):
        await asyncio.sleep(delay)
        arrived = False
        while True:
            writer = None
            try:
                reader, writer = await self.connect(kind, encrypted)
                self.there += not arrived
                arrived = True
                self.count(kind, "connections")
                await getattr(self, kind)(reader, writer)
                self.count(kind, "ended")
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError) as error:
                self.count(kind, "thrown out" if writer else f"not connected: {error!r}"[:80])
                await asyncio.sleep(PAUSE)
            finally:
                if writer:
                    writer.transport.abort()

    @staticmethod
    async def send(writer, data):
        writer.write(data)
        await writer.drain()

    async def wait(self, reader):
        """Until the other side has enough of it."""
        answer = b""
        while data := await reader.read(SMALL):
            answer = (answer + data)[:20]
        if answer[9:12].isdigit():
            self.count("answers", answer[9:12].decode())

    async def idle(self, reader, writer):
        await self.send(writer, b"GET /favicon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await self.wait(reader)

    async def drip(self, writer, first):
        await self.send(writer, first)
        while True:
            await asyncio.sleep(PAUSE)
            await self.send(writer, b"x")

    async def both(self, reader, writer, first):
        """Sends byte after byte until there is an answer, or an end."""
        sending = asyncio.ensure_future(self.drip(writer, first))
        try:
            await self.wait(reader)
        finally:
            sending.cancel()

    async def header(self, reader, writer):
        await self.both(reader, writer, b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

    async def body(self, reader, writer):
        await self.both(reader, writer, b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        b"Content-Length: 60000\r\n\r\n{")

    async def reader(self, reader, writer):
        """The longest answer that there is for strangers."""
        await self.send(writer, b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.count("answers", (await reader.readexactly(12))[9:].decode())
        while await reader.read(256):
            await asyncio.sleep(PAUSE)

    async def run(self):
        kinds = itertools.cycle(("idle", "header", "body", "reader"))
        clients = [asyncio.ensure_future(self.live(next(kinds), number % 10 == 0, number / self.options.arrivals))
                   for number in range(self.options.clients)]
        while self.there < len(clients):
            await asyncio.sleep(0.1)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        print(json.dumps(self.figures), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--http", type=int, required=True, help="port of the plain listener")
    parser.add_argument("--https", type=int, required=True, help="port of the other, for every tenth client")
    parser.add_argument("--arrivals", type=float, default=2000, help="clients that come in a second")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Crowd(options).run())


if __name__ == "__main__":
    main()
