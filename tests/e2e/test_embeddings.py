"""Embeddings of documents: bounds, precision, versions, and similarity against a comparison with all in Python."""

import json
import math
import random
import struct

import pytest

from stack import NO_SUCH_ID, TIME, UUID, together

WIDTH = 1536
KINDS = ("research_report", "optimized_resume", "cover_letter")
DOCUMENT = {"id", "application_id", "document_type", "created_at", "updated_at"}
APPLICATION = {"id", "company_name", "role_title"}
LARGEST = 3.4028234663852886e38  # of single precision


def path(application, kind=KINDS[0]):
    return f"/applications/{application}/documents/{kind}/embedding"


def single(number):
    """The nearest number of single precision."""
    return struct.unpack("f", struct.pack("f", number))[0]


def vector(rng, scale=1.0):
    return [rng.gauss(0, scale) for _ in range(WIDTH)]


def filled(*numbers, rest=0.0):
    """A vector that begins with these."""
    return [*numbers, *[rest] * (WIDTH - len(numbers))]


def cosine(one, other):
    """In double precision, of what single precision keeps of each; neither over- nor underflows."""
    one, other = list(map(single, one)), list(map(single, other))
    lengths = [math.hypot(*numbers) for numbers in (one, other)]
    if 0 in lengths:
        return 0.0
    return math.fsum((a / lengths[0]) * (b / lengths[1]) for a, b in zip(one, other))


def write(user, application, *kinds):
    """Writes these documents; the ids."""
    return [user.put(f"/applications/{application}/documents/{kind}", {"content": f"# A {kind}\n\nOf some length."}
                     ).ok(201)["id"] for kind in kinds or KINDS[:1]]


def embed(user, numbers, company="Acme"):
    """An application with one document that has this embedding; the document's id."""
    application = user.create(company)["id"]
    document, = write(user, application)
    user.put(path(application), {"embedding": numbers}).ok(201)
    return document


def similar(user, **body):
    """The rows of an answer, after a look at its shape."""
    answer = user.post("/documents/similar", body)
    page = answer.ok()
    assert set(page) == {"data"}
    for row in page["data"]:
        assert set(row) == {"document", "application", "similarity"}
        assert set(row["document"]) == DOCUMENT and set(row["application"]) == APPLICATION
        assert isinstance(row["similarity"], (int, float)) and -1 <= row["similarity"] <= 1
        assert row["document"]["application_id"] == row["application"]["id"]
    values = [row["similarity"] for row in page["data"]]
    assert values == sorted(values, reverse=True)
    assert b"NaN" not in answer.body and b"-0," not in answer.body
    return page["data"]


def ids(rows):
    return [row["document"]["id"] for row in rows]


@pytest.fixture
def application(user):
    """An application with one document, a research report."""
    id_ = user.create()["id"]
    write(user, id_)
    return id_


# --- Put, read, delete ----------------------------------------------------------------------------------------------

def test_put_is_201_then_200(user, application):
    document = user.get(f"/applications/{application}/documents/{KINDS[0]}")
    first = user.put(path(application), {"embedding": filled(1, 2)})
    row = first.ok(201)
    assert set(row) == {"document_id", "embedding", "created_at"}
    assert row["document_id"] == document.ok()["id"]
    assert row["embedding"] == filled(1, 2)
    assert TIME.fullmatch(row["created_at"])
    second = user.put(path(application), {"embedding": filled(3, 4)})
    assert second.ok(200) == {**row, "embedding": filled(3, 4)}
    assert second.headers["ETag"] != first.headers["ETag"]
    read = user.get(path(application))
    assert read.ok() == second.json() and read.headers["ETag"] == second.headers["ETag"]
    # The document is the same as before.
    assert user.get(f"/applications/{application}/documents/{KINDS[0]}").headers["ETag"] == document.headers["ETag"]


def test_embedding_outlives_a_new_content(user, application):
    user.put(path(application), {"embedding": filled(1)}).ok(201)
    user.put(f"/applications/{application}/documents/{KINDS[0]}", {"content": "something else altogether"}).ok(200)
    assert user.get(path(application)).ok()["embedding"] == filled(1)


def test_what_was_put_comes_back_in_single_precision(user, application):
    rng = random.Random(1)
    for numbers in ([rng.uniform(-1, 1) for _ in range(WIDTH)],
                    [rng.choice((-1, 1)) * rng.random() * 10 ** rng.uniform(-45, 38) for _ in range(WIDTH)],
                    filled(LARGEST, -LARGEST, 1.1754943508222875e-38, 1e-38, 1e-40, -1e-44, 1e-45, 1e-50, -1e-50,
                           1e-300, 5e-324, -0.0, 0, 1, -1, 16777216, 16777217, 123456789, 10 ** 38, 0.1, 1 / 3, 1e10)):
        answer = user.put(path(application), {"embedding": numbers})
        row = answer.json()
        assert answer.status in (200, 201), answer
        expected = list(map(single, numbers))
        # The shortest text that names the number is another double, but the same single.
        assert list(map(single, row["embedding"])) == expected
        assert user.get(path(application)).ok() == row
        # What came back can be put again, and is the same.
        again = user.put(path(application), {"embedding": row["embedding"]}).ok()
        assert list(map(single, again["embedding"])) == expected


@pytest.mark.parametrize("text", ["0", "-0", "-0.0", "1", "1.0", "1E0", "1e+0", "100e-2", "0." + "3" * 500,
                                  "1" + "0" * 38, "3.4028234663852886e38", "3.40282346e38", "0e999999999", "1e-400",
                                  "1e-99999999999"])
def test_every_spelling_of_a_number(user, application, text):
    body = '{"embedding":[%s]}' % ",".join(["1", text] + ["0"] * (WIDTH - 2))
    row = user.put(path(application), body=body.encode()).ok(201)
    assert single(row["embedding"][1]) == single(float(text))


def bad(index, value):
    """A vector of zeros with one element, which may be any JSON text, in it."""
    return "[" + ",".join(["0"] * index + [value] + ["0"] * (WIDTH - 1 - index)) + "]"


@pytest.mark.parametrize("index", [0, 1, 700, 1535])
@pytest.mark.parametrize("value", ['"1"', '""', "null", "true", "false", "[]", "[1]", "{}", '{"a":1}', "1e400",
                                   "-1e400", "1e39", "-1e39", "3.5e38", "1" + "0" * 39, "1" + "0" * 400, '"NaN"',
                                   '"Infinity"'])
def test_an_element_that_is_none_is_422_at_its_index(user, application, unchanged, index, value):
    body = ('{"embedding":%s}' % bad(index, value)).encode()
    answer = user.put(path(application), body=body)
    assert answer.faults() == [f"/embedding/{index}"]
    assert "1536" in answer.json()["errors"][0]["detail"]
    answer = user.post("/documents/similar", body=body)
    assert answer.faults() == [f"/embedding/{index}"]


def test_the_first_of_several_faults_is_named(user, application, unchanged):
    numbers = filled(1.0)
    numbers[17] = numbers[900] = "x"
    assert user.put(path(application), {"embedding": numbers}).faults() == ["/embedding/17"]
    assert user.put(path(application), {"embedding": numbers[:100]}).faults() == ["/embedding/17"]


@pytest.mark.parametrize("count, index", [(0, 0), (1, 1), (1535, 1535), (1537, 1536), (3072, 1536), (100_000, 1536)])
def test_another_width_is_422_where_it_ends(user, application, unchanged, count, index):
    for numbers in ([0] * count, [0.25] * count):
        for answer in (user.put(path(application), {"embedding": numbers}),
                       user.post("/documents/similar", {"embedding": numbers})):
            assert answer.faults() == [f"/embedding/{index}"]
            assert "1536" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("value", ["null", '"[1,2]"', "5", "true", "{}", '{"0":1}'])
def test_no_array_is_422(user, application, unchanged, value):
    body = ('{"embedding":%s}' % value).encode()
    assert user.put(path(application), body=body).faults() == ["/embedding"]
    assert user.post("/documents/similar", body=body).faults() == ["/embedding"]


def test_nested_arrays_are_422(user, application, unchanged):
    for numbers, at in (([filled(1)], 0), ([[1]] * WIDTH, 0), (filled(1, 2, [3]), 2)):
        assert user.put(path(application), {"embedding": numbers}).faults() == [f"/embedding/{at}"]
    deep = ('{"embedding":%s}' % ("[" * 1000 + "]" * 1000)).encode()
    user.put(path(application), body=deep).problem(400)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "nan", "inf", "+1", "01", ".5", "1.", "1e", "0x1",
                                   "1,", "1 2", "- 1", "--1", "1_000", "'1'"])
def test_what_is_no_json_is_400(user, application, unchanged, value):
    body = ('{"embedding":%s}' % bad(3, value)).encode()
    user.put(path(application), body=body).problem(400)
    user.post("/documents/similar", body=body).problem(400)


def test_put_refuses_other_fields(user, application, unchanged):
    assert user.put(path(application), {}).faults() == ["/embedding"]
    for field in ("id", "document_id", "user_id", "created_at", "norm", "model"):
        assert user.put(path(application), {"embedding": filled(1), field: "x"}).faults() == ["/" + field]
    user.put(path(application), [filled(1)]).problem(422)
    user.put(path(application), body=b"1,2,3", type="text/csv").problem(415)
    user.put(path(application)).problem(415, 422)


def test_without_document_or_embedding_is_404(user, application, unchanged):
    for target in (path(application, KINDS[1]), path(application, "unknown"), path(NO_SUCH_ID), path("1")):
        user.put(target, {"embedding": filled(1)}).problem(404)
        user.put(target, {"embedding": filled(1)}, headers={"If-Match": "*"}).problem(404)
    for target in (path(application), path(application, KINDS[1]), path(NO_SUCH_ID)):
        user.get(target).problem(404)
        user.delete(target).problem(404)
        user.delete(target, headers={"If-Match": '"1"'}).problem(404)


def test_another_users_document_is_404(stack, user, application):
    user.put(path(application), {"embedding": filled(1)}).ok(201)
    other = stack.user()
    before = stack.snapshot()
    for method, body in (("GET", {}), ("PUT", {"json": {"embedding": filled(2)}}), ("DELETE", {})):
        theirs, nobodys = (other.request(method, target, **body) for target in (path(application), path(NO_SUCH_ID)))
        theirs.problem(404)
        assert theirs.body.replace(theirs.headers["X-Request-Id"].encode(), b"") == nobodys.body.replace(
            nobodys.headers["X-Request-Id"].encode(), b"")
    assert stack.snapshot() == before


def test_delete(stack, user, application):
    user.put(path(application), {"embedding": filled(1)}).ok(201)
    answer = user.delete(path(application))
    assert answer.status == 204 and answer.body == b""
    user.get(path(application)).problem(404)
    user.delete(path(application)).problem(404)
    # The document is still there, and may have another.
    user.get(f"/applications/{application}/documents/{KINDS[0]}").ok()
    user.put(path(application), {"embedding": filled(2)}).ok(201)


@pytest.mark.parametrize("what", ["document", "application"])
def test_goes_with_its_document(stack, user, application, what):
    user.put(path(application), {"embedding": filled(1)}).ok(201)
    user.delete(f"/applications/{application}" + (f"/documents/{KINDS[0]}" if what == "document" else "")).ok(204)
    user.get(path(application)).problem(404)
    assert stack.sql("SELECT count(*) FROM public.document_embeddings WHERE user_id = %s", user.id) == [(0,)]
    assert similar(user, embedding=filled(1)) == []


# --- Versions -------------------------------------------------------------------------------------------------------

def test_conditions(user, application):
    body = {"embedding": filled(1)}
    user.put(path(application), body, headers={"If-Match": "*"}).problem(412)
    user.put(path(application), body, headers={"If-Match": '"1"'}).problem(412)
    old = user.put(path(application), body, headers={"If-None-Match": "*"})
    old.ok(201)
    user.put(path(application), body, headers={"If-None-Match": "*"}).problem(412)
    new = user.put(path(application), body, headers={"If-Match": old.headers["ETag"]})
    new.ok(200)
    for condition in (old.headers["ETag"], "W/" + new.headers["ETag"], '"x"'):
        user.put(path(application), body, headers={"If-Match": condition}).problem(412)
        user.delete(path(application), headers={"If-Match": condition}).problem(412)
    unmodified = user.get(path(application), headers={"If-None-Match": new.headers["ETag"]})
    assert (unmodified.status, unmodified.body) == (304, b"")
    assert user.get(path(application), headers={"If-None-Match": old.headers["ETag"]}).ok() == new.json()
    user.put(path(application), body, headers={"If-Match": "*"}).ok(200)
    user.delete(path(application), headers={"If-Match": "*"}).ok(204)


def test_one_of_two_writers_wins(user, application):
    for turn in range(10):
        first = user.put(path(application), {"embedding": filled(turn)})
        answers = together(4, lambda index: user.put(path(application), {"embedding": filled(turn, index)},
                                                     headers={"If-Match": first.headers["ETag"]}))
        assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]
        won, = (answer for answer in answers if answer.status == 200)
        assert user.get(path(application)).ok() == won.json()


def test_one_of_two_creates(user):
    for headers, lost in (({}, 200), ({"If-None-Match": "*"}, 412)):
        for turn in range(5):
            application = user.create()["id"]
            write(user, application)
            answers = together(4, lambda index: user.put(path(application), {"embedding": filled(turn, index)},
                                                         headers=headers))
            assert sorted(answer.status for answer in answers) == sorted([201, lost, lost, lost])


# --- Similar --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def library(stack):
    """
    A user with 240 documents of a known embedding, some near each other, and a neighbour with nearer ones: the query
    vectors themselves. Only read by the tests.
    """
    rng = random.Random(20261123)
    user, neighbour = stack.user(), stack.user()
    subjects = [vector(rng) for _ in range(5)]
    user.embeddings = {}
    user.kinds = {}
    applications = user.create_many([{"company_name": f"Company {index}", "role_title": f"Role {index}"}
                                     for index in range(80)])
    for row in applications:
        for kind, document in zip(KINDS, write(user, row["id"], *KINDS)):
            subject = rng.choice(subjects)
            # Lengths differ: only the direction counts.
            length = 10 ** rng.uniform(-3, 3)
            numbers = [length * (a + b) for a, b in zip(subject, vector(rng, 0.7))]
            assert user.put(path(row["id"], kind), {"embedding": numbers}).ok(201)["document_id"] == document
            user.embeddings[document] = numbers
            user.kinds[document] = kind
    user.queries = [[a + b for a, b in zip(rng.choice(subjects), vector(rng, 0.7))] for _ in range(8)] + [
        vector(rng) for _ in range(4)]
    for numbers in user.queries:
        embed(neighbour, numbers)
    user.neighbour = neighbour
    return user


def expected(user, query, without=None, kind=None):
    """[(cosine, id)], the nearest first, by comparison with every vector."""
    return sorted(((cosine(query, numbers), document) for document, numbers in user.embeddings.items()
                   if document != without and (kind is None or kind == user.kinds[document])), reverse=True)


def assert_nearest(rows, nearest):
    """These rows are the first of `nearest`; recall 1.0. What differs by no more than rounding may change places."""
    nearest = nearest[:len(rows)]
    assert len(rows) == len(nearest)
    for row, (value, document) in zip(rows, nearest):
        assert abs(row["similarity"] - value) < 2e-6, (row, value)
    assert sorted(ids(rows)) == sorted(document for _, document in nearest)
    assert ids(rows) == [document for _, document in nearest]


def test_similar_to_a_vector_is_exact(library):
    for query in library.queries:
        rows = similar(library, embedding=query)
        assert len(rows) == 10
        assert_nearest(rows, expected(library, query))


def test_similar_to_a_document_is_exact_and_without_itself(library):
    for document in random.Random(2).sample(sorted(library.embeddings), 12):
        rows = similar(library, document_id=document)
        assert len(rows) == 10 and document not in ids(rows)
        assert_nearest(rows, expected(library, library.embeddings[document], without=document))
        # Its vector, sent as one, finds itself first.
        rows = similar(library, embedding=library.embeddings[document])
        assert ids(rows)[0] == document and abs(rows[0]["similarity"] - 1) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_similar_of_one_type(library, kind):
    query = library.queries[0]
    rows = similar(library, embedding=query, document_type=kind)
    assert {row["document"]["document_type"] for row in rows} == {kind}
    assert_nearest(rows, expected(library, query, kind=kind))
    document = next(iter(library.embeddings))
    rows = similar(library, document_id=document, document_type=kind, limit=50)
    assert len(rows) == 50 and document not in ids(rows)
    assert_nearest(rows, expected(library, library.embeddings[document], without=document, kind=kind))


@pytest.mark.parametrize("limit", [1, 2, 10, 49, 50])
def test_limit(library, limit):
    query = library.queries[1]
    rows = similar(library, embedding=query, limit=limit)
    assert len(rows) == limit
    assert_nearest(rows, expected(library, query))


def test_rows_are_the_documents_and_their_applications(library):
    for row in similar(library, embedding=library.queries[2], limit=5):
        document, application = row["document"], row["application"]
        whole = library.get(f"/applications/{application['id']}/documents/{document['document_type']}").ok()
        assert document == {key: whole[key] for key in DOCUMENT}
        whole = library.get("/applications/" + application["id"]).ok()
        assert application == {key: whole[key] for key in APPLICATION}
        assert UUID.fullmatch(document["id"]) and TIME.fullmatch(document["updated_at"])


def test_never_another_users_though_nearer(stack, library):
    """The neighbour's vectors are the queries themselves: the user sees none of them, and a third user nothing."""
    stranger = stack.user()
    for query in library.queries:
        assert set(ids(similar(library, embedding=query, limit=50))) <= set(library.embeddings)
        nearest = similar(library.neighbour, embedding=query)
        assert abs(nearest[0]["similarity"] - 1) < 1e-6
        assert not set(ids(nearest)) & set(library.embeddings)
        assert similar(stranger, embedding=query, limit=50) == []


def test_another_users_document_id_is_404_as_one_that_never_was(library):
    document = next(iter(library.embeddings))
    for extra in ({}, {"limit": 3}, {"document_type": KINDS[0]}):
        answers = [library.neighbour.post("/documents/similar", {"document_id": id_, **extra})
                   for id_ in (document, document.upper(), NO_SUCH_ID)]
        bodies = {answer.body.replace(answer.headers["X-Request-Id"].encode(), b"") for answer in answers}
        for answer in answers:
            answer.problem(404, slug="not-found")
        assert len(bodies) == 1


def test_a_document_without_embedding_is_422(user, application, unchanged):
    document = user.get(f"/applications/{application}/documents/{KINDS[0]}").ok()["id"]
    assert user.post("/documents/similar", {"document_id": document}).faults() == ["/document_id"]


def test_upper_case_id(library):
    document = next(iter(library.embeddings))
    assert similar(library, document_id=document.upper()) == similar(library, document_id=document)


@pytest.mark.parametrize("body", [{}, {"limit": 5}, {"embedding": filled(1), "document_id": NO_SUCH_ID}])
def test_exactly_one_of_embedding_and_document_id(user, body, unchanged):
    assert user.post("/documents/similar", body).faults() == [""]


@pytest.mark.parametrize("field, value", [
    ("limit", 0), ("limit", 51), ("limit", -1), ("limit", 1.5), ("limit", "5"), ("limit", None), ("limit", True),
    ("limit", 10 ** 30), ("document_type", "letter"), ("document_type", ""), ("document_type", None),
    ("document_type", 1), ("document_type", [KINDS[0]]), ("unknown", 1), ("offset", 1), ("cursor", "x")])
def test_similar_refuses(user, field, value, unchanged):
    assert user.post("/documents/similar", {"embedding": filled(1), field: value}).faults() == ["/" + field]


@pytest.mark.parametrize("value", ["", "x", "1", None, 5, [], NO_SUCH_ID + "0", NO_SUCH_ID[:-1] + "g"])
def test_similar_refuses_what_is_no_id(user, value, unchanged):
    assert user.post("/documents/similar", {"document_id": value}).faults() == ["/document_id"]


def test_similar_takes_nothing_else(user, unchanged):
    user.post("/documents/similar?limit=5", {"embedding": filled(1)}).problem(400)
    user.post("/documents/similar", body=b"x", type="text/plain").problem(415)
    user.post("/documents/similar", [filled(1)]).problem(422)
    user.post("/documents/similar", body=b"").problem(415, 422)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = user.request(method, "/documents/similar")
        answer.problem(405)
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"POST", "OPTIONS"}


def test_zeros_are_at_right_angles_to_all(user):
    """Similarity 0, between those that are near and those that are opposite."""
    near, zero, opposite = (embed(user, numbers) for numbers in (filled(1, 1), filled(), filled(-1, -1)))
    rows = similar(user, embedding=filled(2, 2))
    assert ids(rows) == [near, zero, opposite]
    assert rows[1]["similarity"] == 0
    assert abs(rows[0]["similarity"] - 1) < 1e-6 and abs(rows[2]["similarity"] + 1) < 1e-6
    for query in ({"embedding": filled()}, {"embedding": filled(-0.0)}, {"document_id": zero}):
        assert {row["similarity"] for row in similar(user, **query)} == {0}
    # Nothing but ties then: in the order of the ids.
    assert ids(similar(user, embedding=filled())) == sorted([near, zero, opposite])


def test_ties_are_in_the_order_of_their_ids(user):
    documents = sorted(embed(user, filled(1, 2, 3)) for _ in range(12))
    for limit in (1, 5, 12):
        assert ids(similar(user, embedding=filled(3, 2, 1), limit=limit)) == documents[:limit]


@pytest.mark.parametrize("scale", [LARGEST, 1e38, 1e30, 1e19, 1e12, 1e-12, 1e-19, 1e-30, 1e-37, 1e-38, 1e-40, 1e-44])
def test_whatever_the_length_the_cosine_is_right(user, scale):
    """Sums of squares of single precision would overflow, or vanish."""
    rng = random.Random(3)
    vectors = [[scale * rng.uniform(-1, 1) for _ in range(WIDTH)] for _ in range(3)]
    vectors.append(filled(scale, -scale, scale / 2))
    user.embeddings = {embed(user, numbers): numbers for numbers in vectors}
    for query in (vectors[0], vector(rng), filled(1, 1), filled(rest=1e-30), filled(rest=LARGEST)):
        rows = similar(user, embedding=query)
        nearest = expected(user, query)
        assert [row["similarity"] for row in rows] == pytest.approx([value for value, _ in nearest], abs=2e-6)
    first = next(iter(user.embeddings))
    assert {row["document"]["id"]: row["similarity"] for row in similar(user, document_id=first)} == pytest.approx(
        {document: value for value, document in expected(user, vectors[0], without=first)}, abs=2e-6)


def test_vectors_of_all_lengths_together(user):
    rng = random.Random(4)
    user.embeddings = {}
    for exponent in range(-44, 39, 6):
        numbers = [min(LARGEST, max(-LARGEST, 10.0 ** exponent * (1 + noise))) for noise in vector(rng)]
        user.embeddings[embed(user, numbers)] = numbers
    query = filled(rest=1.0)
    rows = similar(user, embedding=query, limit=50)
    assert len(rows) == len(user.embeddings)
    assert [row["similarity"] for row in rows] == pytest.approx([value for value, _ in expected(user, query)], abs=2e-6)


def test_similar_while_embeddings_come_and_go(user):
    """Whatever the others do, an answer is 200, or 422 for a document that just lost its own."""
    application = user.create()["id"]
    document, = write(user, application)
    others = [embed(user, filled(1, index)) for index in range(3)]

    def run(index):
        for turn in range(30):
            if index == 0:
                user.put(path(application), {"embedding": filled(1, turn)}).ok(201)
                user.delete(path(application)).ok(204)
                continue
            answer = user.post("/documents/similar", {"document_id": document})
            if answer.status == 422:
                assert answer.faults() == ["/document_id"]
            else:
                rows = answer.ok()["data"]
                assert sorted(ids(rows)) == sorted(others)
                assert all(isinstance(row["similarity"], (int, float)) for row in rows)
    together(3, run)


def test_body_is_json(library):
    """No digit of single precision is made up or lost between the database and the client."""
    document = next(iter(library.embeddings))
    for row in similar(library, document_id=document, limit=3):
        target = path(row["application"]["id"], row["document"]["document_type"])
        numbers = json.loads(library.get(target).body)["embedding"]
        assert list(map(single, numbers)) == list(map(single, library.embeddings[row["document"]["id"]]))
