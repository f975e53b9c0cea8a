#!/usr/bin/python3
"""
Makes users with applications, documents and embeddings in a migrated database, fast, as its administrator:

    tests/bench/data.py [--users 2000] [--applications 50] [--vector-users 4] CONNECTION

There are three kinds of user: `reader` (--users of them), `writer` (to whom a load may add applications) and `vector`
(1,000 documents with an embedding each). Every user's first five applications have a research report. Row Level Security
stays on. On two cores 100,000 applications take about ten seconds, 10 million about twenty minutes. Needs
python3-psycopg2.
"""

import argparse
import random
import sys
import threading

import psycopg2

SEED = 20261123
PASSWORD = "correct horse 1"
WRITERS = 200
VECTORS = 1000       # of each vector user
DOCUMENTED = 5       # applications of a user that have a document
TEXTS = 1000         # different descriptions
CHUNK = 20000        # applications a statement

# Every description has five of these, so that a search for one finds a quarter of a user's applications.
QUESTIONS = ("kubernetes compiler ledger payments robotics firmware telemetry genomics logistics analytics scheduler "
             "encryption accessibility forecasting catalogue migration observability networking imaging auctions").split()
WORDS = ("we look for a person who builds and runs the services that our customers rely on every day you will design review "
         "test deploy measure explain improve systems with a team of engineers in an office or remotely the product helps "
         "people find share plan and finish their work our stack is simple well understood and documented salary holidays "
         "and hours are as the law and good sense demand please write what you have done and what you want to learn").split()


def description(chance):
    words = chance.choices(WORDS, k=70) + chance.sample(QUESTIONS, 5)
    chance.shuffle(words)
    return " ".join(words).capitalize() + "."


# What a statement below takes its texts from: a table of its own connection.
TEXTS_TABLE = "CREATE TEMPORARY TABLE texts (n int PRIMARY KEY, text text NOT NULL)"

USERS = """
INSERT INTO public.users (id, email, password_hash, full_name, created_at, updated_at)
SELECT md5(%(kind)s || n)::uuid, %(kind)s || '-' || n || '@bench.example', %(hash)s, 'Person ' || n, t, t
FROM generate_series(1, %(count)s) n, LATERAL (SELECT timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS t) AS at"""

# Times are whole seconds, and one user's all differ, so that each peer can tell them and their order is one.
APPLICATIONS = """
INSERT INTO public.applications (user_id, name, company_name, role_title, job_url, job_description, location, priority_level,
    status, research_completed, resume_optimized, cover_letter_generated, created_at, updated_at)
SELECT md5(%(kind)s || u)::uuid, 'application ' || a, 'Company ' || (u * 31 + a * 7) %% 500,
    (ARRAY['Engineer', 'Analyst', 'Designer', 'Operator', 'Writer'])[1 + (u + a) %% 5],
    'https://jobs.example/' || u || '/' || a, t.text, (ARRAY['Berlin', 'Lyon', 'Porto', NULL])[1 + a %% 4],
    (ARRAY['low', 'medium', 'high'])[1 + a %% 3]::public.priority_level_type,
    CASE WHEN a > %(whole)s + %(begun)s THEN 'draft' WHEN a > %(whole)s THEN 'research_complete'
        ELSE 'cover_letter_ready' END::public.application_status_type,
    a <= %(whole)s + %(begun)s, a <= %(whole)s, a <= %(whole)s, m, m
FROM generate_series(%(first)s, %(last)s) u, generate_series(1, %(count)s) a
    JOIN texts t ON true,
    LATERAL (SELECT timestamptz '2026-02-01 00:00:00Z' + a * interval '1 hour' + u %% 3600 * interval '1 second' AS m) AS at
WHERE t.n = (u * 7919 + a) %% %(texts)s"""

DOCUMENTS = """
INSERT INTO public.documents (user_id, application_id, document_type, content, created_at, updated_at)
SELECT a.user_id, a.id, d.type, '# ' || a.company_name || E'\\n\\n' || repeat(a.job_description || E'\\n\\n', %(length)s),
    a.created_at, a.created_at
FROM public.applications a, unnest(enum_range(NULL::public.document_type_enum)) AS d (type)
WHERE a.user_id IN (SELECT md5(%(kind)s || u)::uuid FROM generate_series(%(first)s, %(last)s) u)
    AND CASE d.type WHEN 'research_report' THEN a.research_completed WHEN 'optimized_resume' THEN a.resume_optimized
        ELSE a.cover_letter_generated END"""

EMBEDDINGS = """
INSERT INTO public.document_embeddings (user_id, document_id, embedding)
SELECT d.user_id, d.id, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 1536) WHERE d.id IS NOT NULL)::public.vector
FROM (SELECT d.id, d.user_id, row_number() OVER (PARTITION BY d.user_id ORDER BY d.id) AS n FROM public.documents d
    WHERE d.user_id IN (SELECT md5('vector' || u)::uuid FROM generate_series(%(first)s, %(last)s) u)) d
WHERE d.n <= %(vectors)s"""


class Maker:
    def __init__(self, dsn, texts):
        self.dsn = dsn
        self.texts = texts

    def connect(self):
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        with connection.cursor() as sql:
            # Foreign keys and phases are right as they are made here; checking each row would double the time.
            sql.execute("SET session_replication_role = replica; SET synchronous_commit = off; SET jit = off")
            sql.execute("SELECT setseed(0.5)")
            sql.execute(TEXTS_TABLE)
            sql.executemany("INSERT INTO texts VALUES (%s, %s)", enumerate(self.texts))
            sql.execute("ANALYZE texts")
        return connection

    def users(self, kind, count, password_hash):
        with self.connect() as connection, connection.cursor() as sql:
            sql.execute(USERS, {"kind": kind, "count": count, "hash": password_hash})
        connection.close()

    def fill(self, kind, users, count, whole=0, begun=DOCUMENTED, length=3):
        """`count` applications a user, the first `whole` with all documents, the next `begun` with the first one."""
        step = max(1, CHUNK // max(count, 1))
        chunks = [(first, min(first + step - 1, users)) for first in range(1, users + 1, step)]
        lock, faults = threading.Lock(), []

        def work():
            connection = self.connect()
            try:
                with connection.cursor() as sql:
                    while not faults:
                        with lock:
                            if not chunks:
                                return
                            first, last = chunks.pop(0)
                        values = {"kind": kind, "first": first, "last": last, "count": count, "whole": whole,
                                  "begun": begun, "length": length, "texts": len(self.texts), "vectors": VECTORS}
                        sql.execute(APPLICATIONS, values)
                        sql.execute(DOCUMENTS, values)
                        if kind == "vector":
                            sql.execute(EMBEDDINGS, values)
            except Exception as error:  # raised below, in the caller's thread
                faults.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]


def make(dsn, users, applications, vector_users, password_hash):
    chance = random.Random(SEED)
    maker = Maker(dsn, [description(chance) for _ in range(TEXTS)])
    for kind, count in (("reader", users), ("writer", WRITERS), ("vector", vector_users)):
        maker.users(kind, count, password_hash)
    maker.fill("reader", users, applications)
    maker.fill("writer", WRITERS, applications)
    maker.fill("vector", vector_users, (VECTORS + 2) // 3, whole=(VECTORS + 2) // 3, length=1)
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as sql:
        sql.execute("VACUUM (ANALYZE) public.users, public.applications, public.documents, public.document_embeddings")
        sql.execute("CHECKPOINT")
    connection.close()


def main():
    parser = argparse.ArgumentParser(description="Makes users with applications, documents and embeddings.")
    parser.add_argument("connection", help="of a superuser, to a database that `jobforgectl migrate` has prepared")
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--applications", type=int, default=50, help="of each user")
    parser.add_argument("--vector-users", type=int, default=4)
    options = parser.parse_args()
    from passwords import password_hash
    make(options.connection, options.users, options.applications, options.vector_users, password_hash(PASSWORD, 12))


if __name__ == "__main__":
    sys.exit(main())
