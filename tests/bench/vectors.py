#!/usr/bin/python3
"""
Measures the search for the ten nearest of one user's embeddings: the exact ways against each other (storage, index,
operator), the whole statement of POST /documents/similar, and what ivfflat and HNSW give instead, in time and recall.

    tests/bench/vectors.py [--quick] CONNECTION

CONNECTION is that of a superuser. A database of its own is made there by the files of sql/migrations, and dropped at
the end. Every statement runs as the workers run it: as jobforge_app with that role's settings, under forced row level
security, prepared, with the generic plan. Times are medians of repetitions in turn over all ways, parsing of the
query's vector included; read the ratios. The vectors are those of a fixed seed. Needs python3-psycopg2; no numpy. Takes
six minutes on two cores and 3 GB of disk, with --quick less than half a minute.
"""

import argparse
import array
import glob
import io
import math
import os
import random
import secrets
import signal
import statistics
import struct
import sys
import time

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

WIDTH = 1536
SEED = 20261123
K = 10
MIGRATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sql", "migrations")

# What a migration runner makes before the first file.
LEDGER = """
CREATE SCHEMA IF NOT EXISTS jobforge;
CREATE TABLE jobforge.schema_migrations (version integer PRIMARY KEY, name text, checksum text, applied_at timestamptz)
"""


# --- Vectors --------------------------------------------------------------------------------------------------------

def noise(rng):
    """A vector in a random direction: 16 bits of chance for each of many components are as good as a normal law."""
    return array.array("h", rng.randbytes(2 * WIDTH))


class Random:
    """Uniform directions: nothing is near anything, the worst there is for an approximate index."""
    name = "random"

    def __init__(self, seed):
        self.rng = random.Random(f"random {seed}")

    def vector(self, user):
        return array.array("f", noise(self.rng))


class Clustered:
    """
    Like embeddings of texts: one common direction, 64 subjects of which a user writes about six, and what is particular
    to a text. The cosine of two texts is about 0.63 in one subject and 0.26 otherwise.
    """
    name = "clustered"

    def __init__(self, seed):
        self.rng = random.Random(f"clustered {seed}")
        self.common = noise(self.rng)
        self.subjects = [array.array("f", (0.5 * c + 0.6 * s for c, s in zip(self.common, noise(self.rng))))
                         for _ in range(64)]
        self.users = {}

    def vector(self, user):
        subjects = self.users.setdefault(user, self.rng.sample(self.subjects, 6))
        return array.array("f", [s + 0.6 * n for s, n in zip(self.rng.choice(subjects), noise(self.rng))])


def literal(vector):
    return "[" + ",".join("%.9g" % component for component in vector) + "]"


# --- The database ---------------------------------------------------------------------------------------------------

class Database:
    def __init__(self, administrator):
        self.administrator = administrator
        self.name = "jobforge_bench_" + secrets.token_hex(4)

    def connect(self, name):
        connection = psycopg2.connect(make_dsn(**{**parse_dsn(self.administrator), "dbname": name}))
        connection.autocommit = True
        return connection

    def __enter__(self):
        self.home = self.connect(parse_dsn(self.administrator).get("dbname", "postgres"))
        self.home.cursor().execute(f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            self.admin = self.connect(self.name)
            self.run("SET client_min_messages = warning;" + LEDGER)
            for path in sorted(glob.glob(os.path.join(MIGRATIONS, "*.sql"))):
                with open(path) as file:
                    self.run("BEGIN;" + file.read() + ";COMMIT")
            self.run("SET synchronous_commit = off; SET session_replication_role = replica; CREATE SCHEMA bench;"
                     "GRANT USAGE ON SCHEMA bench TO jobforge_app")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.home.cursor().execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self.home.close()

    def run(self, statement, *values):
        with self.admin.cursor() as sql:
            sql.execute(statement, values or None)
            return sql.fetchall() if sql.description else None

    def copy(self, table, rows):
        """Binary COPY of (bytes, bytes, ...)."""
        out = io.BytesIO()
        out.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
        for row in rows:
            out.write(struct.pack(">h", len(row)))
            for value in row:
                out.write(struct.pack(">i", len(value)) + value)
        out.write(struct.pack(">h", -1))
        out.seek(0)
        with self.admin.cursor() as sql:
            sql.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary)", out)

    def table(self, name, columns, select, *finish):
        """A table of embeddings in the schema bench, under the policy of the product's own."""
        self.run(f"CREATE UNLOGGED TABLE bench.{name} (user_id uuid, document_id uuid, {columns});"
                 f"INSERT INTO bench.{name} {select};"
                 f"ALTER TABLE bench.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
                 f"CREATE POLICY own ON bench.{name} USING (user_id = (SELECT public.get_current_user_id()));"
                 f"GRANT SELECT ON bench.{name} TO jobforge_app;" + "".join(finish))
        self.run(f"VACUUM ANALYZE bench.{name}")


def text_id(number):
    return f"00000000-0000-4000-8000-{number:012x}"


def binary_id(number):
    return bytes.fromhex(text_id(number).replace("-", ""))


def load(database, sizes, others, distribution):
    """
    The vectors of the measured users among those of the others, in the order of chance, as they come in over the years.
    """
    owners = [user for user, size in enumerate(sizes) for _ in range(size)]
    owners += [1000 + number % max(1, others // 50) for number in range(others)]
    random.Random(SEED).shuffle(owners)

    def rows():
        for number, user in enumerate(owners):
            vector = distribution.vector(user)
            vector.byteswap()
            yield binary_id(user), binary_id(number), struct.pack(">hh", WIDTH, 0) + vector.tobytes()
    name = "source_" + distribution.name
    database.run(f"CREATE UNLOGGED TABLE bench.{name} (user_id uuid, document_id uuid,"
                 f" embedding public.vector({WIDTH}) STORAGE EXTERNAL)")
    rows = list(rows())
    for start in range(0, len(rows), 2000):
        database.copy("bench." + name, rows[start:start + 2000])
    return owners


def load_documents(database):
    """The documents and applications that an answer names: three documents an application."""
    database.run("""
        INSERT INTO public.applications (id, user_id, name, company_name, role_title, job_description)
        SELECT gen_random_uuid(), s.user_id, 'application ' || s.place, 'Company ' || s.place, 'Engineer',
            repeat('A description. ', 20)
        FROM (SELECT DISTINCT user_id, (row_number() OVER (PARTITION BY user_id ORDER BY document_id) - 1) / 3 AS place
            FROM bench.source_random) AS s;
        INSERT INTO public.documents (id, user_id, application_id, document_type, content)
        SELECT s.document_id, s.user_id, a.id,
            (enum_range(NULL::public.document_type_enum))[1 + s.place % 3], repeat('Some words of content. ', 40)
        FROM (SELECT user_id, document_id, row_number() OVER (PARTITION BY user_id ORDER BY document_id) - 1 AS place
            FROM bench.source_random) AS s
        JOIN public.applications AS a ON a.user_id = s.user_id AND a.name = 'application ' || s.place / 3""")
    database.run("VACUUM ANALYZE public.applications, public.documents")


class Worker:
    """A connection as a worker has it."""

    def __init__(self, database):
        self.connection = database.connect(database.name)
        settings = database.run("SELECT unnest(setconfig) FROM pg_catalog.pg_db_role_setting"
                                " WHERE setdatabase = 0 AND setrole = 'jobforge_app'::regrole")
        self.sql = self.connection.cursor()
        self.sql.execute("LOAD 'vector'; SET SESSION AUTHORIZATION jobforge_app")
        for setting, in settings:
            name, value = setting.split("=", 1)
            self.sql.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value.strip('"')))
        self.prepared = {}
        self.current = {}

    def user(self, number):
        self.sql.execute("SELECT pg_catalog.set_config('app.current_user_id', %s, false)", (text_id(number),))

    def apply(self, settings):
        for name in self.current.keys() - settings.keys():
            self.sql.execute(f"RESET {name}" if name != "enable_seqscan" else "SET enable_seqscan = off")
        for name, value in settings.items():
            if self.current.get(name) != value:
                self.sql.execute(f"SET {name} = {value}")
        self.current = dict(settings)

    def prepare(self, way):
        """Prepares it under its settings, which hold for the generic plan; returns the scan of that plan."""
        self.apply(way.settings)
        self.prepared[way] = f"way_{len(self.prepared)}"
        self.sql.execute(f"PREPARE {self.prepared[way]} (public.vector) AS {way.statement}")
        self.sql.execute(f"EXPLAIN (COSTS OFF) EXECUTE {self.prepared[way]} ('{literal([1] * WIDTH)}')")
        plan = [line for line, in self.sql.fetchall()]
        return plan

    def search(self, way, query):
        """The ids found, and how long it took in milliseconds."""
        self.apply(way.settings)
        statement = f"EXECUTE {self.prepared[way]} ('{query}')"
        start = time.perf_counter()
        self.sql.execute(statement)
        rows = self.sql.fetchall()
        return [row[0] for row in rows], 1000 * (time.perf_counter() - start)


# --- The ways -------------------------------------------------------------------------------------------------------

class Way:
    def __init__(self, name, table, distance, settings=None, statement=None):
        self.name = name
        self.settings = {"max_parallel_workers_per_gather": "0", **(settings or {})}
        self.statement = statement or f"SELECT e.document_id FROM bench.{table} e ORDER BY {distance} LIMIT {K}"


VECTOR = f"public.vector({WIDTH})"
COSINE = "e.embedding OPERATOR(public.<=>) $1"
# The sub-select makes the query's direction once; in the order itself it would be made for every row.
DIRECTION = "(SELECT public.l2_normalize($1))"
INNER = f"e.direction OPERATOR(public.<#>) {DIRECTION}"
NORMED = (f"embedding {VECTOR} STORAGE PLAIN, norm float8 GENERATED ALWAYS AS (public.vector_norm(embedding)) STORED")
DIRECTED = (f"embedding {VECTOR} STORAGE EXTERNAL, direction {VECTOR} STORAGE PLAIN"
            " GENERATED ALWAYS AS (public.l2_normalize(embedding)) STORED")
HALVED = (f"embedding {VECTOR} STORAGE EXTERNAL, half public.halfvec({WIDTH}) STORAGE PLAIN"
          " GENERATED ALWAYS AS (public.l2_normalize(embedding)::public.halfvec) STORED")
# As in src/api_embeddings.c.
CHOSEN = (f"CASE WHEN e.norm BETWEEN 1e-12 AND 1e12 THEN (e.embedding OPERATOR(public.<#>) {DIRECTION}) / e.norm"
          f" ELSE public.l2_normalize(e.embedding) OPERATOR(public.<#>) {DIRECTION} END")

# Nothing less makes the planner use more than one process: it takes every user for an average one.
PARALLEL = {"max_parallel_workers_per_gather": "2", "parallel_setup_cost": "0", "parallel_tuple_cost": "0",
            "min_parallel_table_scan_size": "0", "min_parallel_index_scan_size": "0", "seq_page_cost": "0",
            "random_page_cost": "0", "cpu_tuple_cost": "100"}

# In general the nearest in half precision are not the nearest. They are among those that it cannot tell from them: it
# is wrong by at most 2^-11 of a component, or 2^-25 where that is subnormal, and so by Cauchy-Schwarz the product of
# two directions by at most 0.00049 + 39 * 2^-25 for each of the two. Who is more than twice that behind the tenth is
# out; the rest are compared again.
HALF = f"""
WITH q AS MATERIALIZED (SELECT public.l2_normalize($1) AS v, public.l2_normalize($1)::public.halfvec({WIDTH}) AS h),
near AS MATERIALIZED (
    SELECT e.ctid AS place, e.half OPERATOR(public.<#>) (SELECT h FROM q) AS distance FROM bench.half e),
bound AS (SELECT distance FROM near ORDER BY distance OFFSET {K - 1} LIMIT 1)
SELECT e.document_id FROM near n JOIN bench.half e ON e.ctid = n.place
WHERE n.distance <= (SELECT distance FROM bound) + 2 * 2 * 0.0005
ORDER BY public.l2_normalize(e.embedding) OPERATOR(public.<#>) (SELECT v FROM q) LIMIT {K}"""


def make_exact(database):
    source = "SELECT user_id, document_id, embedding FROM bench.source_random"

    def table(name, columns, select=source):
        database.table(name, columns, select, f"CREATE INDEX ON bench.{name} (user_id);")
    for storage in ("plain", "external", "extended"):
        table(storage, f"embedding {VECTOR} STORAGE {storage.upper()}")
    table("gathered", f"embedding {VECTOR} STORAGE PLAIN", source + " ORDER BY user_id")
    table("normed", NORMED)
    table("directed", DIRECTED)
    table("half", HALVED)
    database.table("unindexed", f"embedding {VECTOR} STORAGE PLAIN", source)
    return [
        Way("PLAIN, btree(user_id), `<=>`", "plain", COSINE),
        Way("the same, EXTERNAL (TOAST)", "external", COSINE),
        Way("the same, EXTENDED (TOAST)", "extended", COSINE),
        Way("the same, no index", "unindexed", COSINE, {"enable_seqscan": "on"}),
        Way("the same, rows put in the order of users", "gathered", COSINE),
        Way("the same, parallel (2 workers)", "plain", COSINE, PARALLEL),
        Way("PLAIN, norm stored, `<#>` / norm (JobForge)", "normed", CHOSEN),
        Way("PLAIN, normalised copy, `<#>`", "directed", INNER),
        Way("PLAIN, normalised copy, `<->`", "directed", INNER.replace("<#>", "<->")),
        Way("halfvec PLAIN, all within its error compared again", "half", None, statement=HALF),
    ]


# As in src/api_embeddings.c, but for the table and the parameters.
SIMILAR = """
SELECT json_build_object('id', d.id, 'application_id', d.application_id, 'document_type', d.document_type,
        'created_at', to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'updated_at', to_char(d.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS document,
    json_build_object('id', a.id, 'company_name', a.company_name, 'role_title', a.role_title) AS application,
    least(1, greatest(-1, 0 - n.distance)) AS similarity
FROM (SELECT e.document_id, {distance} AS distance FROM bench.{table} e WHERE e.document_id IS DISTINCT FROM {document}
    AND ({type} IS NULL OR e.document_id IN (SELECT t.id FROM public.documents t WHERE t.document_type = {type}))
    ORDER BY distance, e.document_id LIMIT 10) n
JOIN public.documents d ON d.id = n.document_id JOIN public.applications a ON a.id = d.application_id
ORDER BY n.distance, n.document_id"""


def make_whole():
    def way(name, table, distance, type="NULL::public.document_type_enum"):
        return Way(name, table, None, statement=SIMILAR.format(table=table, distance=distance, type=type,
                                                               document=f"'{text_id(0)}'"))
    return [
        way("with `<=>`", "plain", COSINE),
        way("with `<#>` / norm (JobForge)", "normed", CHOSEN),
        way("the same, of one document_type", "normed", CHOSEN, "'cover_letter'::public.document_type_enum"),
    ]


# --- Measuring and printing -----------------------------------------------------------------------------------------

def measure(worker, ways, sizes, rounds, queries):
    """Milliseconds for each way and size: the median of two runs a round, after one that warms the cache."""
    times = {(way, size): [] for way in ways for size in sizes}
    order = random.Random(SEED)
    for user, size in enumerate(sizes):
        worker.user(user)
        for turn in range(rounds):
            for way in order.sample(ways, len(ways)):
                worker.search(way, queries[user][turn % len(queries[user])])
                for _ in range(2):
                    times[way, size].append(worker.search(way, queries[user][turn % len(queries[user])])[1])
    return {key: statistics.median(values) for key, values in times.items()}


def found(worker, way, queries):
    """What it found for each query."""
    return [set(worker.search(way, query)[0]) for query in queries]


def recall(truth, answers):
    return statistics.mean(len(right & answer) / len(right) for right, answer in zip(truth, answers))


def show(title, header, rows):
    print(f"\n{title}\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def say(text):
    print(f"# {time.perf_counter() - START:.0f} s: {text}", file=sys.stderr)


def show_times(title, header, ways, sizes, times):
    show(title, header, [[way.name] + [f"{times[way, size]:.2f} ({times[way, size] / times[ways[0], size]:.2f})"
                                       for size in sizes] for way in ways])


def prepare(worker, ways, plans):
    for way in ways:
        plan = worker.prepare(way)
        if plans:
            print(f"\n{way.name}\n" + "\n".join(plan))
        assert way.settings.get("seq_page_cost") != "0" or any("Gather" in line for line in plan), plan


def check_exact(worker, ways, sizes, queries):
    """Every exact way must find what the first finds, or it is none. By rounding two may change places at the end."""
    for user, size in enumerate(sizes):
        worker.user(user)
        truth = found(worker, ways[0], queries[user])
        for way in ways[1:]:
            if recall(truth, found(worker, way, queries[user])) < 0.99:
                raise SystemExit(f"{way.name}: not exact at {size}")


def run_approximate(database, worker, sizes, others, rounds, queries, distribution):
    table = "approximate_" + distribution
    database.table(table, DIRECTED, f"SELECT user_id, document_id, embedding FROM bench.source_{distribution}",
                   f"CREATE INDEX approximate_own ON bench.{table} (user_id);")
    database.run("SET maintenance_work_mem = '1GB'")
    exact = Way("exact", table, INNER)
    worker.prepare(exact)
    truth = []
    for user, _ in enumerate(sizes):
        worker.user(user)
        truth.append(found(worker, exact, queries[user]))
    total = sum(sizes) + others
    lists = max(10, total // 1000)
    ivfflat = [Way(f"ivfflat, lists {lists}, probes {probes}", table, INNER, {"ivfflat.probes": str(probes)})
               for probes in sorted({1, round(math.sqrt(lists)), 10})]
    hnsw = [Way(f"HNSW, ef_search {ef}{text}", table, INNER, {"hnsw.ef_search": str(ef), "hnsw.iterative_scan": scan})
            for ef in (40, 200)
            for scan, text in (("off", ""), ("strict_order", ", iterative, strict"),
                               ("relaxed_order", ", iterative, relaxed"))]
    rows = []
    for method, options, ways in (("ivfflat", f"WITH (lists = {lists})", ivfflat), ("hnsw", "", hnsw)):
        start = time.perf_counter()
        # With the index on user_id the planner takes the exact way, as it should.
        database.run(f"DROP INDEX IF EXISTS bench.approximate_own, bench.approximate_vector;"
                     f"CREATE INDEX approximate_vector ON bench.{table} USING {method}"
                     f" (direction public.vector_ip_ops) {options}")
        say(f"{method} over {total} {distribution} vectors made in {time.perf_counter() - start:.0f} s")
        for way in ways:
            plan = worker.prepare(way)
            assert any("approximate_vector" in line for line in plan), plan
        times = measure(worker, ways, sizes, rounds, queries)
        for way in ways:
            cells = []
            for user, size in enumerate(sizes):
                worker.user(user)
                cells.append(f"{times[way, size]:.2f} ms, "
                             f"{recall(truth[user], found(worker, way, queries[user])):.2f}")
            rows.append([way.name] + cells)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("connection", help="connection string of an administrator")
    parser.add_argument("--quick", action="store_true", help="small and rough")
    parser.add_argument("--exact", action="store_true", help="only the exact ways")
    parser.add_argument("--plans", action="store_true", help="print the plans too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it, the database is dropped
    sizes, others, rounds = ([100, 1000], 2000, 5) if options.quick else ([100, 1000, 10000], 20000, 11)
    header = [""] + [f"{size:,} vectors" for size in sizes]

    with Database(options.connection) as database:
        worker = Worker(database)
        queries = {}
        for distribution in (Random(SEED), Clustered(SEED)):
            load(database, sizes, others, distribution)
            queries[distribution.name] = [[literal(distribution.vector(user)) for _ in range(10)]
                                          for user, _ in enumerate(sizes)]
            if options.exact:
                break
        say("vectors made")
        load_documents(database)
        ways = make_exact(database)
        say("tables made")
        prepare(worker, ways, options.plans)
        check_exact(worker, ways, sizes, queries["random"])
        show_times(f"The ten nearest, exact, among {others:,} vectors of others: ms (ratio to the first)", header,
                   ways, sizes, measure(worker, ways, sizes, rounds, queries["random"]))
        ways = make_whole()
        prepare(worker, ways, options.plans)
        show_times("The whole statement of POST /documents/similar: ms (ratio to the first)", header,
                   ways, sizes, measure(worker, ways, sizes, rounds, queries["random"]))
        say("exact ways measured")
        if not options.exact:
            for distribution in queries:
                show(f"Approximate, {distribution} vectors: ms, recall of the ten nearest", header,
                     run_approximate(database, worker, sizes, others, rounds // 2, queries[distribution], distribution))
        worker.connection.close()
        say("done")


START = time.perf_counter()
if __name__ == "__main__":
    main()
