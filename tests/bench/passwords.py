"""bcrypt as the workers compute it, by libxcrypt; ctypes, since Python 3.13 has no module `crypt` any more."""

import ctypes
import threading
import time

SALT = "abcdefghijklmnopqrstuO"  # of users that exist for an hour


def password_hash(password, cost):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt_r.restype = ctypes.c_char_p
    space = ctypes.create_string_buffer(65536)  # struct crypt_data has 32 KiB
    return library.crypt_r(password.encode(), f"$2b${cost:02d}${SALT}".encode(), space).decode()


def hash_rate(threads, seconds, cost):
    """Hashes per second of so many threads, and the time of each; ctypes lets go of the interpreter's lock."""
    times, end = [], time.monotonic() + seconds

    def work():
        while not times or time.monotonic() < end:
            start = time.monotonic()
            password_hash("correct horse 1", cost)
            times.append(time.monotonic() - start)

    start = time.monotonic()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(times) / (time.monotonic() - start), sorted(times)
