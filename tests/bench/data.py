#!/usr/bin/python3
"""
Makes users with applications, documents and embeddings in a migrated database, fast, as its administrator:

    tests/bench/data.py [--users 2000] [--applications 50] [--vector-users 4] CONNECTION

There are three kinds of user: `reader` (--users of them), `writer` (to whom a load may add applications) and `vector`
(1,000 documents with an embedding each). Every user's first five applications have a research report. Row Level Security
stays on. For a million applications and more, indexes are made afterwards, and words that are known are not read again. Needs python3-psycopg2.
"""

import argparse
import random
import sys
import threading
import time

import psycopg2

SEED = 20261123
PASSWORD = "correct horse 1"
WRITERS = 200
VECTORS = 1000       # of each vector user
DOCUMENTED = 5       # applications of a user that have a document
TEXTS = 1000         # different descriptions
CHUNK = 20000        # applications a statement
LARGE = 1000000      # applications, from which on fill_at_once() pays

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

# Times are whole seconds, and one user's all differ, so that each peer can tell them and their order is one. Documents come with
# their applications, since there may be no index to find those by.
APPLICATIONS = """
WITH made AS (
    INSERT INTO public.applications (user_id, name, company_name, role_title, job_url, job_description, location,
        priority_level, status, research_completed, resume_optimized, cover_letter_generated, created_at, updated_at)
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
    WHERE t.n = (u * 7919 + a) %% %(texts)s
    RETURNING *)
INSERT INTO public.documents (user_id, application_id, document_type, content, created_at, updated_at)
SELECT a.user_id, a.id, d.type, E'# Report\\n\\n' || repeat(a.job_description || E'\\n\\n', %(length)s), a.created_at, a.created_at
FROM made a, unnest(enum_range(NULL::public.document_type_enum)) AS d (type)
WHERE CASE d.type WHEN 'research_report' THEN a.research_completed WHEN 'optimized_resume' THEN a.resume_optimized
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


# In the order in which they were made, which decides between two that cost the same.
INDEXES = """
SELECT c.oid IS NOT NULL, i.indexrelid::regclass, i.indrelid::regclass, quote_ident(c.conname),
    coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid))
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
WHERE i.indrelid IN ('public.applications'::regclass, 'public.documents'::regclass)
ORDER BY i.indexrelid"""

REFERENCES = """
SELECT conrelid::regclass, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND (conrelid IN ('public.applications'::regclass, 'public.documents'::regclass)
    OR confrelid IN ('public.applications'::regclass, 'public.documents'::regclass)) AND conparentid = 0
ORDER BY oid"""


def take_indexes(sql):
    """Drops the indexes and foreign keys of the two large tables; returns the statements that make them again."""
    sql.execute(REFERENCES)
    references = sql.fetchall()
    sql.execute(INDEXES)
    indexes = sql.fetchall()
    for table, name, _ in references:
        sql.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for is_constraint, index, table, name, _ in indexes:
        sql.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}" if is_constraint else f"DROP INDEX {index}")
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}" if is_constraint else text
            for is_constraint, _, table, name, text in indexes] + [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}" for table, name, text in references]


# The texts are a thousand, and reading their words is most of what a row costs: they are read once.
KNOWN_WORDS = """
CREATE TABLE jobforge.bench_words AS
    SELECT t.text, jobforge.search_vector(t.text) AS words FROM (SELECT text FROM texts
        UNION SELECT E'# Report\\n\\n' || repeat(text || E'\\n\\n', 3) FROM texts) AS t;
CREATE INDEX ON jobforge.bench_words USING hash (text);
ANALYZE jobforge.bench_words;
CREATE OR REPLACE FUNCTION jobforge.search_vector(p_text text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN (SELECT w.words FROM jobforge.bench_words AS w WHERE w.text = p_text);
END $$"""


def fill_at_once(maker, sql, users, applications):
    """Many rows: what each would cost again and again is done before or after."""
    sql.execute("SELECT pg_get_functiondef('jobforge.search_vector(text)'::regprocedure)")
    function, = sql.fetchone()
    later = take_indexes(sql)
    sql.execute(KNOWN_WORDS)
    try:
        maker.fill("reader", users, applications)
    finally:
        sql.execute(function)
        sql.execute("DROP TABLE jobforge.bench_words")
    for statement in later:
        sql.execute(statement)


def make(dsn, users, applications, vector_users, password_hash):
    chance = random.Random(SEED)
    maker = Maker(dsn, [description(chance) for _ in range(TEXTS)])
    connection = maker.connect()
    with connection.cursor() as sql:
        sql.execute("SET maintenance_work_mem = '1GB'")
        for kind, count in (("reader", users), ("writer", WRITERS), ("vector", vector_users)):
            maker.users(kind, count, password_hash)
        if users * applications >= LARGE:
            fill_at_once(maker, sql, users, applications)
        else:
            maker.fill("reader", users, applications)
        maker.fill("writer", WRITERS, applications)
        maker.fill("vector", vector_users, (VECTORS + 2) // 3, whole=(VECTORS + 2) // 3, length=1)
        sql.execute("VACUUM (ANALYZE) public.users, public.applications, public.documents, public.document_embeddings")
        sql.execute("CHECKPOINT")
    connection.close()


def size(dsn):
    """Bytes on disk."""
    connection = psycopg2.connect(dsn)
    with connection.cursor() as sql:
        sql.execute("SELECT pg_database_size(current_database())")
        found, = sql.fetchone()
    connection.close()
    return found


def main():
    parser = argparse.ArgumentParser(description="Makes users with applications, documents and embeddings.")
    parser.add_argument("connection", help="of a superuser, to a database that `jobforgectl migrate` has prepared")
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--applications", type=int, default=50, help="of each user")
    parser.add_argument("--vector-users", type=int, default=4)
    options = parser.parse_args()
    from passwords import password_hash
    began = time.monotonic()
    make(options.connection, options.users, options.applications, options.vector_users, password_hash(PASSWORD, 12))
    print(f"{options.users * options.applications:,} applications in {time.monotonic() - began:.0f} s,"
          f" {size(options.connection) / 1e9:.1f} GB on disk")


if __name__ == "__main__":
    sys.exit(main())
