"""
The product's description of itself, and a client that knows nothing but that: it calls every operation with bodies made
from the schemas, valid and invalid, and takes the answers at the description's word.
"""

import copy
import csv
import io
import json
import os
import random
import re
import string
import subprocess
import uuid
from urllib.parse import quote, urlencode

import jsonschema
import pytest
import yaml

from stack import BUILD, CLUSTER, NO_SUCH_ID, SOURCE, child_environment

OPTIONS = {"login_attempts": 1000}
SPECIFICATION = "/usr/share/openapi-specification/schemas"
SEED = int(os.environ.get("JOBFORGE_TEST_SEED", "20260131"))
METHODS = ("get", "put", "post", "delete", "patch")

# What a person who reads the description fills in, since chance would not: by operation, properties of its body.
KNOWN = {
    "postAuthLogin": ("email", "password"),
    "postAuthRefresh": ("refresh_token",),
    "postAuthLogout": ("refresh_token",),
    "postMePassword": ("current_password",),
    "deleteMe": ("password",),
    "postDocumentsSimilar": ("document_id",),
}
# What is said to be passed over, and what refers to other rows of the same body.
PASSED_OVER = {"postMeImport": ("exported_at", "user")}
REFERRING = {"postMeImport": ("documents", "embeddings")}


# --- The document ---------------------------------------------------------------------------------------------------

def routes():
    """The program's own table: (method, path)."""
    if not CLUSTER:
        return []
    text = subprocess.run([os.path.join(BUILD, "jobforged"), "--routes"], env=child_environment(), check=True,
                          capture_output=True, text=True, timeout=30).stdout
    return [tuple(line.split()[:2]) for line in text.splitlines()]


ROUTES = routes()


def operations_that(condition):
    """The tests below are made before there is a description; test_kinds_of_operations holds this against it."""
    chosen = [(method, path) for method, path in ROUTES if condition(method, path)]
    return pytest.mark.parametrize("method, path", chosen, ids=[f"{method} {path}" for method, path in chosen])


def has_body(method, path):
    return method in ("POST", "PUT", "PATCH") or (method, path) == ("DELETE", "/api/v1/me")


def is_list(method, path):
    return method == "GET" and path.endswith(("s", "/usage", "/audit-log")) and path.startswith("/api/")


def has_id(method, path):
    return "{" in path


every_operation = operations_that(lambda method, path: True)


def without_repeats(pairs):
    assert len({key for key, _ in pairs}) == len(pairs), [key for key, _ in pairs]
    return dict(pairs)


def resolve(node, document):
    """The same with every reference replaced by what it refers to; one that refers to nothing is a KeyError."""
    if isinstance(node, dict):
        if "$ref" in node:
            target = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            return resolve(target, document)
        return {key: resolve(value, document) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve(value, document) for value in node]
    return node


FORMATS = jsonschema.FormatChecker(formats=())


for form, pattern in {
        "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "date-time": r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
        "date": r"\d{4}-\d\d-\d\d",
        "email": r"[^@\s]+@[^@\s]+",
        "uri": r"[a-z]+://\S+"}.items():
    FORMATS.checks(form)(lambda value, pattern=pattern: not isinstance(value, str)
                         or re.fullmatch(pattern, value) is not None)


def faults_of(value, schema):
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def byte_faults(value, schema):
    """What no keyword of JSON Schema says: bounds in bytes."""
    if isinstance(value, str) and "x-max-bytes" in schema and len(value.encode()) > schema["x-max-bytes"]:
        return ["too many bytes"]
    return []


@pytest.fixture(scope="module")
def document(stack):
    answer = stack.anyone.get("/openapi.json")
    answer.ok()
    return json.loads(answer.body, object_pairs_hook=without_repeats)


@pytest.fixture(scope="module")
def operations(document):
    """(method, path) -> operation, without references."""
    return {(method.upper(), path): {"path": path, "method": method.upper(), **resolve(operation, document)}
            for path, item in document["paths"].items() for method, operation in item.items()}


# --- Is it valid ----------------------------------------------------------------------------------------------------

def official_schema():
    """The OpenAPI Initiative's own for 3.1, and where Debian has none yet, that for 3.0 with what 3.1 changed in it."""
    newer = os.path.join(SPECIFICATION, "v3.1", "schema.yaml")
    if os.path.exists(newer):
        with open(newer) as file:
            return yaml.safe_load(file)
    with open(os.path.join(SPECIFICATION, "v3.0", "schema.yaml")) as file:
        schema = yaml.safe_load(file)
    schema["properties"]["openapi"]["pattern"] = r"^3\.1\.\d$"
    schema["definitions"]["Schema"] = {"type": "object", "not": {"required": ["$ref"]}}
    schema["definitions"]["License"]["properties"]["identifier"] = {"type": "string"}
    return schema


def schemas_in(node, where=""):
    """Every schema of the document, with its place. A schema's own parts come again by themselves."""
    if isinstance(node, dict):
        for key, value in node.items():
            place = f"{where}/{key}"
            if key in ("schema", "items") and isinstance(value, dict):
                yield place, value
            if key in ("schemas", "properties"):
                yield from ((f"{place}/{name}", schema) for name, schema in value.items())
            if key != "examples":
                yield from schemas_in(value, place)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from schemas_in(value, f"{where}/{index}")


def test_is_valid_by_the_official_schema(document):
    schema = official_schema()
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert [f"{error.json_path}: {error.message[:300]}" for error in validator(schema).iter_errors(document)] == []
    broken = copy.deepcopy(document)
    del broken["paths"]["/healthz"]["get"]["responses"]["200"]["description"]
    assert list(validator(schema).iter_errors(broken)), "the check finds nothing"


def test_schemas_are_valid_and_so_are_their_examples(document):
    count = 0
    for place, schema in schemas_in(document):
        jsonschema.Draft202012Validator.check_schema(schema)
        whole = resolve(schema, document)
        for example in whole.get("examples", []):
            assert faults_of(example, whole) == [], place
            assert byte_faults(example, whole) == [], place
            count += 1
    assert count > 200


def test_every_schema_of_a_value_has_an_example(document):
    for place, schema in schemas_in(document):
        if "/items/" in place or place.endswith("/items") or "$ref" in schema or "oneOf" in schema:
            continue
        if place.startswith("/components/"):
            assert schema.get("examples"), place


def test_names_and_references_are_sound(document, operations):
    resolve(document, document)
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in ids), ids
    tags = {tag["name"] for tag in document["tags"]}
    assert len(tags) == len(document["tags"])
    for (method, path), operation in operations.items():
        assert operation["summary"].endswith("."), path
        assert set(operation["tags"]) <= tags
        names = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert names == re.findall(r"\{(\w+)\}", path)
        places = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
        assert len(set(places)) == len(places), places
        assert all(parameter.get("description") for parameter in operation["parameters"]), (method, path)
    used = set(re.findall(r'"#/components/(\w+/[\w-]+)"', json.dumps(document)))
    there = {f"{kind}/{name}" for kind, members in document["components"].items() for name in members}
    assert used | {"securitySchemes/bearer"} == there | {"securitySchemes/bearer"}


def test_every_field_of_a_body_and_an_answer_is_described(document):
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            assert value.get("description"), (name, field)


def test_every_route_is_described_and_nothing_else(document):
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == set(ROUTES)
    assert all(set(item) <= set(METHODS) for item in document["paths"].values())


def test_kinds_of_operations(operations):
    for (method, path), operation in operations.items():
        assert has_body(method, path) == ("requestBody" in operation), (method, path)
        assert is_list(method, path) == operation["operationId"].startswith("list"), (method, path)
        assert has_id(method, path) == any(parameter["in"] == "path" for parameter in operation["parameters"])


def test_says_who_may_call(stack, operations):
    lines = subprocess.run([os.path.join(BUILD, "jobforged"), "--routes"], env=child_environment(), check=True,
                           capture_output=True, text=True).stdout.splitlines()
    for method, path, access, _ in map(str.split, lines):
        assert operations[method, path]["security"] == ([{"bearer": []}] if access == "user" else []), path


def test_says_what_the_web_server_says(document):
    with open(os.path.join(SOURCE, "nginx", "jobforge.conf.in")) as file:
        text = file.read()
    for slug in ("too-many-requests", "bad-gateway", "gateway-timeout"):
        problem = document["components"]["examples"][slug]["value"]
        for name, value in (("problem", slug), ("problem_title", problem["title"]), ("problem_detail", problem["detail"])):
            block = re.search(r"map \$status \$jobforge_%s \{(.*?)\n\}" % name, text, re.S).group(1)
            assert f'\t{problem["status"]} "{value}";' in block, (slug, name)


def test_problems_are_valid(document):
    schema = resolve(document["components"]["schemas"]["Problem"], document)
    for slug, example in document["components"]["examples"].items():
        assert example["value"]["type"] == "/problems/" + slug
        assert faults_of(example["value"], schema) == []


def test_is_the_same_each_time_and_asked_for_again_by_its_tag(stack):
    first = stack.anyone.get("/openapi.json")
    tag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = stack.anyone.get("/openapi.json", headers={"If-None-Match": tag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert stack.anyone.get("/openapi.json").body == first.body
    assert stack.anyone.get("/openapi.json", headers={"If-None-Match": '"x"'}).body == first.body
    head = stack.anyone.request("HEAD", "/openapi.json")
    assert head.status == 200 and head.headers["ETag"] == tag and not head.body


# --- Values made from schemas ---------------------------------------------------------------------------------------

LETTERS = string.ascii_letters + string.digits
ALPHABETS = ("aB3 -_.,;:'\"\\/<>&%{}[]()\t\néßÄçœñ漢字かな한글😀🧪\u200d\u202e\ufeff\u2028́", LETTERS + " ", LETTERS)


class Maker:
    """Values that are valid by a schema: `size` is least, most or some."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def letters(self, count):
        return "".join(self.random.choice(LETTERS) for _ in range(count))

    def make(self, schema, size, known=None):
        if "const" in schema or "enum" in schema:
            return self.random.choice(schema.get("enum") or [schema["const"]])
        if "oneOf" in schema and "type" not in schema:
            return self.make(schema["oneOf"][0 if size != "some" else self.random.randrange(2)], size, known)
        kind = schema.get("type", "object")
        if isinstance(kind, list):
            if size == "some" and "null" in kind and self.random.random() < 0.3:
                return None
            kind = kind[0]
        return getattr(self, "make_" + kind)(schema, size, known)

    def make_boolean(self, schema, size, known):
        return size == "most" or (size == "some" and self.random.random() < 0.5)

    def make_integer(self, schema, size, known):
        low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
        return low if size == "least" else high if size == "most" else self.random.randint(low, high)

    def make_number(self, schema, size, known):
        low, high = schema.get("minimum", -1), schema.get("maximum", 1)
        edge = [low, high, 0, -0.0, 1e-300, 5e-324, 1e-45, 1, -1]
        return self.random.choice(edge) if size == "most" else self.random.uniform(-1, 1)

    def make_array(self, schema, size, known):
        low, high = schema.get("minItems", 0), schema.get("maxItems", 3)
        count = low if size == "least" else high if size == "most" else self.random.randint(low, min(high, low + 5))
        return [self.make(schema["items"], "least" if high > 100 > low else size) for _ in range(count)]

    def make_object(self, schema, size, known):
        known = known or {}
        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        branches = [set(branch["required"]) for branch in schema.get("oneOf", ())]
        if branches:
            wanted = next((branch for branch in branches if branch & set(known)), branches[0])
            required |= wanted
            properties = {name: value for name, value in properties.items()
                          if name in wanted or not any(name in branch for branch in branches)}
        made = {}
        for name, value in properties.items():
            if name in known:
                made[name] = known[name]
            elif name in required or size == "most" or (size == "some" and self.random.random() < 0.6):
                made[name] = self.make(value, size)
        return made

    def make_string(self, schema, size, known):
        made = self.formatted(schema, size) or self.text(schema, size)
        assert faults_of(made, schema) == [] and byte_faults(made, schema) == [], (schema, made[:100])
        return made

    def formatted(self, schema, size):
        form = schema.get("format") or (schema["anyOf"][self.random.randrange(2)]["format"] if "anyOf" in schema else None)
        high = schema.get("maxLength", 0)
        if form == "uuid":
            return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        if form == "email":
            tail = f"@{self.letters(3)}.{self.random.choice(['de', 'example', 'COM'])}"
            return self.letters(high - len(tail) if size == "most" else 3 if size == "least" else 12) + tail
        if form == "uri":
            head = f"https://{self.letters(4)}.example/"
            return head + self.letters(high - len(head)) if size == "most" else head + "?q=%20#" + self.letters(4)
        if form in ("date", "date-time"):
            day = f"{self.random.randint(1990, 2030)}-{self.random.randint(1, 12):02}-{self.random.randint(1, 28):02}"
            return day if form == "date" else day + self.random.choice(["T00:00:00Z", "T23:59:59.999999+05:30"])
        if form == "password":
            return self.text({**schema, "x-max-bytes": schema["maxLength"]}, size)
        return None

    def text(self, schema, size):
        low = schema.get("minLength", 0)
        high = schema.get("maxLength", low + 40)
        length = low if size == "least" else high if size == "most" else self.random.randint(low, min(high, low + 60))
        for alphabet in ALPHABETS:
            made = "".join(self.random.choices(alphabet, k=length))
            if not faults_of(made, schema) and not byte_faults(made, schema):
                return made
        raise AssertionError(f"nothing made for {schema}")


def invalid_values(schema):
    """Values that a schema does not allow, each with what is wrong with it."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and "null" not in kinds:
        yield "null", None
    for kind, value in (("string", 7), ("integer", "7"), ("boolean", "yes"), ("array", {}), ("object", 7)):
        if kind in kinds:
            yield "of another type", value
            yield "nested", [[value]]
    if "enum" in schema:
        yield "no choice", "nonesuch"
        yield "no choice in another case", str(schema["enum"][0]).upper() + "_"
    if schema.get("minLength", 0) > 0:
        yield "too short", "x" * (schema["minLength"] - 1)
    if "maxLength" in schema:
        yield "too long", "x" * (schema["maxLength"] + 1)
    if "\\u0000" in schema.get("pattern", ""):
        yield "with U+0000", "x" * 60 + "\0"
    if schema.get("format") in ("uuid", "email", "uri"):
        yield "of another form", "x"
    if "integer" in kinds:
        yield "a fraction", 1.5
    if "minimum" in schema and "integer" in kinds:
        yield "too small", schema["minimum"] - 1
        yield "too large", schema["maximum"] + 1
        yield "far too large", 10 ** 30
    if "minItems" in schema and schema["minItems"] == schema.get("maxItems"):
        yield "one too few", [0] * (schema["minItems"] - 1)
        yield "one too many", [0] * (schema["minItems"] + 1)
        yield "no numbers", ["0"] * schema["minItems"]


def invalid_bodies(schema, valid, skipped):
    """Bodies that a schema of an object does not allow: (what, body, where the fault is or None)."""
    for name in schema.get("required", ()):
        yield f"without {name}", {key: value for key, value in valid.items() if key != name}, "/" + name
    for name, value in schema["properties"].items():
        for what, wrong in invalid_values(value):
            if name not in skipped:
                yield f"{name} {what}", {**valid, name: wrong}, "/" + name
    for name in ("nonesuch", "id", "user_id", "__proto__", ""):
        if name not in schema["properties"]:
            yield f"with {name!r}", {**valid, name: "x"}, "/" + name
    branches = [branch["required"][0] for branch in schema.get("oneOf", ())]
    if branches:
        yield "neither", {key: value for key, value in valid.items() if key not in branches}, ""
    for what in (None, True, 7, "x", [], [None], [valid, 7]):
        yield f"not an object: {str(what)[:20]}", what, None


# --- The client -----------------------------------------------------------------------------------------------------

class Described:
    """A client of the description: it sends nothing that is not in it and believes no answer that is not."""

    def __init__(self, stack, operations, seed=SEED):
        self.stack = stack
        self.operations = operations
        self.by_id = {operation["operationId"]: operation for operation in operations.values()}
        self.maker = Maker(seed)
        self.known = {}
        self.token = None
        self.seen = set()

    # Requests

    def send(self, operation, values=None, query="", body=None, media=None, headers=None, token=...):
        path = re.sub(r"\{(\w+)\}", lambda match: quote(str((values or {})[match[1]]), safe=""), operation["path"])
        if isinstance(query, dict):
            query = "?" + urlencode(query, doseq=True) if query else ""
        token = (self.token if operation["security"] else None) if token is ... else token
        if media == "application/json" and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        answer = self.stack.root.request(operation["method"], path + query, body=body, type=media, token=token,
                                         headers=headers)
        self.check(operation, answer)
        return answer

    def check(self, operation, answer):
        """The answer is one of those described: status, headers, media type, body."""
        where = f"{operation['operationId']} {answer}"
        assert str(answer.status) in operation["responses"], where
        described = operation["responses"][str(answer.status)]
        for name, header in described.get("headers", {}).items():
            value = answer.headers.get(name)
            assert value is not None or not header.get("required"), (name, where)
            if value is not None:
                value = int(value) if header["schema"]["type"] == "integer" else value
                assert faults_of(value, header["schema"]) == [], (name, where)
        content = described.get("content")
        media = (answer.headers.get("Content-Type") or "").split(";")[0]
        if not content:
            assert not answer.body and not media, where
            return
        assert media in content, where
        if media.endswith("json"):
            assert faults_of(answer.json(), content[media]["schema"]) == [], where
        if answer.status >= 400:
            slug = answer.problem(answer.status)["type"].removeprefix("/problems/")
            assert slug in content[media]["examples"], where
            self.seen.add((operation["operationId"], slug))

    def body_of(self, operation, size="some"):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        wanted = KNOWN.get(operation["operationId"], ())
        known = {name: self.known[name] for name in wanted if name in self.known}
        made = self.maker.make(schema, size, {**known, **{name: [] for name in REFERRING.get(operation["operationId"], ())}})
        assert faults_of(made, schema) == [], made
        return made

    def call(self, operation, values=None, size="some", **options):
        """Sends a valid request and takes only a success for an answer."""
        if "requestBody" in operation and "body" not in options:
            options.update(body=self.body_of(operation, size), media="application/json")
        answer = self.send(operation, values, **options)
        assert 200 <= answer.status < 300, (operation["operationId"], str(options)[:500], answer)
        return answer

    # What an operation stands on

    def sign_up(self):
        operation = self.by_id["postAuthRegister"]
        body = {**self.body_of(operation, "least"), "cookie": False}
        session = self.call(operation, body=body, media="application/json").json()
        self.token = session["access_token"]
        self.known = {**body, "current_password": body["password"], "refresh_token": session["refresh_token"]}
        return self

    def reach(self, operation):
        """Makes what the path names: by POST to the collection before an id, by PUT where there is none. -> its ids"""
        values, path = {}, ""
        segments = operation["path"].strip("/").split("/")
        for place, segment in enumerate(segments):
            collection, path = path, f"{path}/{segment}"
            if not segment.startswith("{"):
                continue
            name = segment.strip("{}")
            creation = self.operations.get(("POST", collection))
            if creation:
                answer = self.call(creation, values, "least")
                values[name] = answer.headers["Location"].rpartition("/")[2]
                assert answer.headers["Location"].startswith(re.sub(r"\{.*", "", collection))
            else:
                schema = next(parameter["schema"] for parameter in operation["parameters"] if parameter["name"] == name)
                values[name] = schema["enum"][0]
            if place < len(segments) - 1:
                self.put(path, values)
        return values

    def put(self, path, values):
        operation = self.operations.get(("PUT", path))
        if operation:
            row = self.call(operation, values, "least").json()
            self.known.update({name: value for name, value in row.items() if name == "document_id"})

    def prepare(self, operation):
        """As reach(), and the resource itself is there too."""
        values = self.reach(operation)
        if operation["method"] != "PUT":
            self.put(operation["path"], values)
        if "document_id" in KNOWN.get(operation["operationId"], ()):
            embedding = next(path for _, path in self.operations if path.endswith("/embedding"))
            self.put(embedding, self.reach(self.operations["PUT", embedding]))
        return values


@pytest.fixture
def client(stack, operations, request):
    """Signed in as a new user; the seed is the test's own, so that each can be run alone."""
    return Described(stack, operations, f"{SEED} {request.node.name}").sign_up()


@pytest.fixture
def operation(operations, method, path):
    return operations[method, path]


# --- Valid requests -------------------------------------------------------------------------------------------------

@every_operation
@pytest.mark.parametrize("size", ["least", "most", "some", "some more", "some others"])
def test_valid(client, operation, size):
    if operation["operationId"] == "postDocumentsSimilar" and size == "some more":
        client.call(operation)  # by an embedding, as long as no document is known
    values = client.prepare(operation)
    answer = client.call(operation, values, size.split()[0])
    if operation["method"] == "PUT":
        assert answer.status == 201
        assert client.call(operation, values).status == 200


def test_an_export_is_a_valid_import(stack, operations):
    giver, taker = Described(stack, operations, 1).sign_up(), Described(stack, operations, 2).sign_up()
    giver.prepare(giver.by_id["getApplicationDocumentEmbedding"])
    giver.call(giver.by_id["createResume"], size="least")
    export = giver.call(giver.by_id["getMeExport"]).json()
    operation = taker.by_id["postMeImport"]
    assert faults_of(export, operation["requestBody"]["content"]["application/json"]["schema"]) == []
    counts = taker.call(operation, body=export, media="application/json").json()
    assert counts == {"resumes": 1, "applications": 1, "documents": 1, "embeddings": 1}


def texts_of(value):
    """A parameter's value as a query has it."""
    return [str(item) for item in value] if isinstance(value, list) else str(value)


@every_operation
def test_valid_query(client, operation):
    """Every parameter alone at its bounds, then several at once."""
    parameters = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]
                  if parameter["in"] == "query"}
    values = client.prepare(operation)
    for name, schema in parameters.items():
        if name == "cursor":
            continue
        choices = schema.get("enum") or [client.maker.make(schema, size) for size in ("least", "most", "some", "some")]
        for value in choices:
            query = {name: texts_of(value)}
            if value == "-rank":
                query["q"] = "developer"
            client.call(operation, values, query=query)
    alone = {name: texts_of(client.maker.make(schema, "some")) for name, schema in parameters.items()
             if name not in ("cursor", "sort", "format")}
    client.call(operation, values, query=alone)


@operations_that(is_list)
def test_pages(client, operation):
    """`next` is the cursor of the page after, and Link says the same."""
    values = client.prepare(operation)
    creation = client.operations.get(("POST", operation["path"]))
    if creation:
        for _ in range(3):
            client.call(creation, values, "least")
    first = client.call(operation, values, query={"limit": 1, "count": "exact"})
    page = first.json()
    seen = page["data"]
    while page["next"] is not None:
        page = client.call(operation, values, query={"limit": 1, "cursor": page["next"]}).json()
        seen += page["data"]
    assert len(seen) == first.json()["total"]
    assert len(seen) <= 1 or "Link" in first.headers


@every_operation
def test_versions(client, operation):
    """If-Match, If-None-Match and Idempotency-Key where they are described, and nowhere else an ETag."""
    headers = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"}
    values = client.prepare(operation)
    reading = client.operations.get(("GET", operation["path"]))
    tag = None
    if reading and "304" in reading["responses"] and operation["method"] != "PUT":
        tag = client.call(reading, values).headers["ETag"]
    if operation["method"] == "GET":
        assert ("If-None-Match" in headers) == (tag is not None) == ("304" in operation["responses"])
        if tag:
            assert client.send(operation, values, headers={"If-None-Match": tag}).status == 304
            assert client.send(operation, values, headers={"If-None-Match": '"other"'}).status == 200
    if "Idempotency-Key" in headers:
        body = client.body_of(operation, "least")
        answers = [client.call(operation, values, body=body, media="application/json",
                               headers={"Idempotency-Key": "key-1"}) for _ in range(2)]
        assert answers[0].body == answers[1].body
        assert answers[1].headers["Idempotency-Replayed"] == "true"
        other = client.send(operation, values, body=client.body_of(operation, "least"), media="application/json",
                            headers={"Idempotency-Key": "key-1"})
        assert other.status == 422
        assert client.send(operation, values, body=body, media="application/json",
                           headers={"Idempotency-Key": "é"}).status == 400
    if "If-Match" in headers:
        options = {}
        if "requestBody" in operation:
            options = {"body": client.body_of(operation, "least"), "media": "application/json"}
        if operation["method"] == "PUT":
            assert client.send(operation, values, headers={"If-Match": '"stale"'}, **options).status == 412
            assert client.send(operation, values, headers={"If-None-Match": "*"}, **options).status == 201
            assert client.send(operation, values, headers={"If-None-Match": "*"}, **options).status == 412
            tag = client.call(reading, values).headers["ETag"]
        assert client.send(operation, values, headers={"If-Match": '"stale"'}, **options).status == 412
        assert client.send(operation, values, headers={"If-Match": "no tag"}, **options).status == 400
        assert client.send(operation, values, headers={"If-Match": tag}, **options).status in (200, 204)


@every_operation
def test_other_forms_of_the_answer(client, operation):
    forms = [media for media in operation["responses"].get("200", {}).get("content", ()) if media != "application/json"]
    values = client.prepare(operation)
    for media in forms:
        answer = client.call(operation, values, headers={"Accept": media})
        assert answer.headers["Content-Type"].split(";")[0] == media
    if "406" in operation["responses"]:
        assert client.send(operation, values, headers={"Accept": "image/png"}).status == 406


@operations_that(has_body)
def test_other_forms_of_the_body(client, operation):
    content = operation.get("requestBody", {}).get("content", {})
    values = client.prepare(operation)
    rows = content.get("application/json", {}).get("schema", {})
    rows = rows.get("oneOf", [rows])[0]
    for media in content:
        if media == "application/json":
            continue
        if media == "text/markdown":
            for size in ("least", "most", "some"):
                body = client.maker.make(content[media]["schema"], size).encode()
                client.call(operation, values, body=body, media=media)
        elif media == "text/csv":
            made = [client.maker.make(rows, size) for size in ("least", "most", "some", "some")]
            out = io.StringIO()
            sheet = csv.DictWriter(out, list(rows["properties"]), lineterminator="\r\n")
            sheet.writeheader()
            sheet.writerows(made)
            answer = client.call(operation, values, body=out.getvalue().encode(), media=media)
            assert [row["company_name"] for row in answer.json()["data"]] == [row["company_name"] for row in made]
        else:
            body = json.dumps(client.body_of(operation)).encode()
            client.call(operation, values, body=body, media=media)


def test_creates_many_at_once(client):
    operation = client.by_id["createApplication"]
    single, several = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    for size in ("least", "most"):
        body = client.maker.make(several, size)
        answer = client.call(operation, body=body, media="application/json")
        assert [row["company_name"] for row in answer.json()["data"]] == [row["company_name"] for row in body]
    for body in ([], client.maker.make(several, "most") + [client.maker.make(single, "least")], [{}], [[]]):
        assert client.send(operation, body=body, media="application/json").status == 422


# --- Invalid requests -----------------------------------------------------------------------------------------------

@operations_that(has_body)
def test_invalid_bodies(client, operation, comment):
    """Whatever the schema does not allow is refused as described, at the place of the fault, and changes nothing."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = schema.get("oneOf", [schema])[0] if "type" not in schema else schema
    values = client.prepare(operation)
    valid = client.body_of(operation, "least")
    valid = valid[0] if isinstance(valid, list) else valid
    skipped = PASSED_OVER.get(operation["operationId"], ())
    before = client.stack.snapshot()
    count = 0
    for what, body, pointer in invalid_bodies(schema, valid, skipped):
        if operation["method"] == "PATCH" and what.startswith("without "):
            continue
        answer = client.send(operation, values, body=body, media="application/json")
        assert answer.status in (400, 422) and (answer.status == 422 or operation["operationId"] == "postMeImport"), what
        faults = [fault["pointer"] for fault in answer.json().get("errors", ())]
        if pointer is not None and faults:
            assert any(fault == pointer or fault.startswith(pointer + "/") for fault in faults), (what, faults)
        assert faults or operation["operationId"] == "postMeImport", (what, answer)
        count += 1
    assert count > 5
    assert client.stack.snapshot() == before
    comment(f"{operation['operationId']}: {count} invalid bodies")


@operations_that(has_body)
def test_invalid_media(client, operation):
    values = client.prepare(operation)
    body = json.dumps(client.body_of(operation, "least")).encode()
    for media in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "application/json; charset=latin1"):
        assert client.send(operation, values, body=body, media=media).status == 415, media
    for text in (b"{", b"{}{}", b"\xff", b"{'a':1}", b"[" * 100, b'{"a":NaN}', b'{"a":"\\ud800"}'):
        answer = client.send(operation, values, body=text, media="application/json")
        # What is read piece by piece is refused at its first fault.
        assert answer.status == 400 or (answer.status == 422 and operation["operationId"] == "postMeImport"), text
    if operation["operationId"] != "postMeImport":
        large = b'{"x":"' + b"x" * 1024 * 1024 + b'"}'
        assert client.send(operation, values, body=large, media="application/json").status == 413
    if operation["requestBody"]["required"]:
        assert client.send(operation, values, body=b"", media=None).status in (400, 415, 422)


def bad_texts(schema):
    """Texts that a parameter's schema does not allow."""
    schema = schema.get("items", schema)
    yield from (str(value) for what, value in invalid_values(schema) if isinstance(value, (int, float, str))
                and not isinstance(value, bool) and what not in ("of another type",))
    if schema.get("type") == "integer" or "format" in schema or "anyOf" in schema:
        yield from ("x", "", "1e3", "0x10", "2026-02-30", "٣")


@every_operation
def test_invalid_query(client, operation):
    values = client.prepare(operation)
    options = {}
    if "requestBody" in operation:
        options = {"body": client.body_of(operation, "least"), "media": "application/json"}
    bad = [("nonesuch", "1"), ("Limit", "1"), ("", "1")]
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            bad += [(parameter["name"], text) for text in bad_texts(parameter["schema"])]
            if parameter["schema"].get("type") != "array":
                text = texts_of(client.maker.make(parameter["schema"], "least"))
                bad.append((parameter["name"], [text, text]))
    names = {parameter["name"] for parameter in operation["parameters"]}
    if "cursor" in names:
        bad += [("cursor", "x"), ("cursor", "x" * 5000), ("sort", "id"), ("sort", "created_at;")]
    for name, value in bad:
        answer = client.send(operation, values, query={name: value}, **options)
        assert answer.status == 400, (name, value, answer)
    for query in ("?%", "?%zz=1", "?%00=1", "?nonesuch=%ff"):
        assert client.send(operation, values, query=query, **options).status == 400, query


@operations_that(has_id)
def test_invalid_ids(client, operation):
    values = client.prepare(operation)
    options = {}
    if "requestBody" in operation:
        options = {"body": client.body_of(operation, "least"), "media": "application/json"}
    for name in values:
        for value in (NO_SUCH_ID, "x", "0", "null", "nonesuch", "../x", "x" * 2000, "é", "%00", values[name] + "0",
                      "{" + values[name] + "}"):
            answer = client.send(operation, {**values, name: value}, **options)
            assert answer.status == 404, (name, value, answer)


@every_operation
def test_without_a_valid_token(client, operation):
    values = client.prepare(operation)
    options = {}
    if "requestBody" in operation:
        options = {"body": client.body_of(operation, "least"), "media": "application/json"}
    if not operation["security"]:
        assert client.send(operation, values, token="x", **options).status < 300
        return
    for token in (None, "", "x", "a.b.c", client.token[:-2], client.token + "x", "é"):
        answer = client.send(operation, values, token=token and token.encode().decode("latin1"), **options)
        assert answer.status == 401, token
    assert client.call(operation, values, **options)


# --- The page that shows it -----------------------------------------------------------------------------------------

def test_the_page_is_served_and_runs_nothing_from_elsewhere(stack):
    page = stack.root.get("/api/docs")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    assert not re.search(r"<script(?![^>]* src=\"/)|<style|\sstyle=|\son\w+=|https?:", text)
    links = re.findall(r'(?:src|href)="(/[^"#]+\.\w+)"', text)
    assert {"/docs.js", "/docs.css"} <= set(links)
    for link in links:
        part = stack.root.get(link)
        assert part.status == 200, link
        assert b"http://" not in part.body.replace(b"http://www.w3.org/2000/svg", b""), link
    script = stack.root.get("/docs.js").body.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\.style\b", script)
    assert "/api/v1/openapi.json" in script
