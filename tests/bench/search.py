#!/usr/bin/python3
"""
Measures a search over 1,000 long documents of one user: matching, ranking, and the snippets of a page.

    tests/bench/search.py [--quick] CONNECTION

CONNECTION is that of a superuser. A database of its own is made there by the files of sql/migrations, and dropped at
the end. The statement is that of GET /documents?q=..., run as the workers run it: as jobforge_app with that role's
settings, under forced row level security, prepared, with the generic plan. Times are medians. The texts are 30 KB each,
of a fixed seed: 20,000 words as frequent as words are in a language. Needs python3-psycopg2. Takes three minutes on two
cores, with --quick (a hundred documents) less than half a minute.
"""

import argparse
import bisect
import itertools
import random
import statistics
import sys
import time

from vectors import Database, Worker, text_id

SEED = 20261123
BYTES = 30 * 1024
USER = 1

# As in src/api_documents.c.
QUERY = "(SELECT jobforge.search_query($1))"
WORDS = "(SELECT jobforge.search_any(jobforge.search_query($1)))"
MATCHING = f"SELECT count(*) FROM public.documents d WHERE d.search @@ {QUERY}"
PAGE = f"""
SELECT d.id, d.application_id, d.document_type, d.created_at, d.updated_at,
    json_build_object('id', a.id, 'company_name', a.company_name, 'role_title', a.role_title) AS application,
    d.rank, jobforge.search_snippet(d.content, {QUERY}) AS snippet
FROM (SELECT * FROM (SELECT d.*, ts_rank(d.search, {WORDS}) AS rank FROM public.documents d
        WHERE d.search @@ {QUERY}) d
    ORDER BY d.rank DESC, d.id DESC LIMIT $2) d
JOIN public.applications a ON a.id = d.application_id ORDER BY d.rank DESC, d.id DESC"""


class Language:
    """Made-up words, the n-th of which is as frequent as 1/n, with capitals, commas, full stops and Markdown."""

    def __init__(self, rng):
        self.rng = rng
        beginnings, ends = "b d f g k l m n p r s t v w br gr st tr".split(), "n r s t l nd rt m".split()
        words = set()
        while len(words) < 20000:
            syllables = rng.choice((1, 2, 2, 3, 3))
            words.add("".join(rng.choice(beginnings) + rng.choice("aeiou") for _ in range(syllables)) + rng.choice(ends))
        self.words = sorted(words)
        rng.shuffle(self.words)
        self.sums = list(itertools.accumulate(1 / (n + 1) for n in range(len(self.words))))

    def word(self):
        return self.words[bisect.bisect(self.sums, self.rng.random() * self.sums[-1])]

    def text(self, size):
        parts, length = ["# Heading\n\n"], 11
        while length < size:
            sentence = " ".join(self.word() for _ in range(self.rng.randrange(6, 18))).capitalize() + ". "
            if self.rng.random() < 0.2:
                sentence += "\n\n- "
            parts.append(sentence)
            length += len(sentence)
        return "".join(parts)[:size]


def load(database, language, count):
    database.run("INSERT INTO public.users (id, email, password_hash, full_name) VALUES (%s, 'b@bench.example', 'h', 'B')",
                 text_id(USER))
    kinds = ("research_report", "optimized_resume", "cover_letter")
    for number in range(count):
        application = text_id(number // 3)
        if number % 3 == 0:
            database.run("INSERT INTO public.applications (id, user_id, name, company_name, role_title, job_description)"
                         " VALUES (%s, %s, 'n', 'Company', 'Role', repeat('x', 50))", application, text_id(USER))
        database.run("INSERT INTO public.documents (user_id, application_id, document_type, content)"
                     " VALUES (%s, %s, %s, %s)", text_id(USER), application, kinds[number % 3], language.text(BYTES))
    database.run("VACUUM ANALYZE public.users, public.applications, public.documents")


def questions(language):
    frequent, rare, words = language.words[:30], language.words[15000], language.words
    return [
        ("a word in every document", frequent[5]),
        ("a word in one of ten", words[2000]),
        ("a rare word", rare),
        ("a word in none", "nowhere"),
        ("two frequent words", " ".join(frequent[10:12])),
        ("a phrase of two frequent words", f'"{frequent[10]} {frequent[11]}"'),
        ("ten words joined by or", " or ".join(frequent[10:20])),
        ("a word without another", f"{words[200]} -{words[2000]}"),
        ("only a minus", "-" + rare),
        ("200 characters of frequent words", " ".join(words[:60])[:200].rpartition(" ")[0]),
        ("200 characters of them joined by or", " or ".join(words[:60])[:200].rpartition(" or ")[0]),
        ("200 characters of one phrase", '"' + " ".join(words[:60])[:198] + '"'),
    ]


def measure(worker, statement, question, limit=None, seconds=1.0):
    """The median in milliseconds, and the rows of the last run."""
    times, end = [], time.perf_counter() + seconds
    values = (question,) if limit is None else (question, limit)
    while not times or len(times) < 15 and time.perf_counter() < end:
        start = time.perf_counter()
        worker.sql.execute(f"EXECUTE {statement} ({', '.join(['%s'] * len(values))})", values)
        rows = worker.sql.fetchall()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), rows


def main():
    parser = argparse.ArgumentParser(description="Measures a search over long documents.")
    parser.add_argument("connection")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    language = Language(random.Random(SEED))
    count = 100 if options.quick else 1000
    with Database(options.connection) as database:
        load(database, language, count)
        worker = Worker(database)
        worker.user(USER)
        worker.sql.execute(f"PREPARE matching (text) AS {MATCHING}")
        worker.sql.execute(f"PREPARE page (text, integer) AS {PAGE}")
        print(f"| {count} documents of {BYTES // 1024} KB | found | matching | first page of 20 | of 100 |")
        print("|---|---|---|---|---|")
        worst = 0
        for name, question in questions(language):
            matching, rows = measure(worker, "matching", question)
            pages = [measure(worker, "page", question, limit) for limit in (21, 101)]
            print(f"| {name} | {rows[0][0]} | {matching:.0f} | {pages[0][0]:.0f} | {pages[1][0]:.0f} |", flush=True)
            for _, found in pages:
                if any("<mark>" not in row[7] for row in found) and name != "only a minus":
                    sys.exit(f"{name}: a snippet without a match")
            worst = max(worst, pages[1][0])
    if worst > 2000:
        sys.exit(f"the slowest takes {worst:.0f} ms")


if __name__ == "__main__":
    main()
