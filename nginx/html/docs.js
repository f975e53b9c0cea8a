// The reference of the API, made in the browser from the server's own description. Text enters the page as text alone.

const SOURCE = "/api/v1/openapi.json";
const METHODS = ["get", "post", "put", "patch", "delete"];
const LONG = 8; // arrays of numbers beyond this are shown by their beginning

const element = (id) => document.getElementById(id);

/** An element with attributes and children: nodes, texts, or nothing. */
function make(tag, attributes, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false && child !== ""));
	return node;
}

// ---- the description ----

let description = null;

/** What a reference refers to; anything else is itself. */
function follow(node) {
	while (node?.$ref !== undefined) {
		node = node.$ref.slice(2).split("/").reduce((at, key) => at[key.replaceAll("~1", "/").replaceAll("~0", "~")], description);
	}
	return node;
}

const nameOf = (node) => node?.$ref?.split("/").pop();

/** A value that is valid by the schema. */
function exampleOf(schema) {
	const whole = follow(schema);
	if (whole.examples !== undefined) return whole.examples[0];
	if (whole.oneOf !== undefined) return exampleOf(whole.oneOf[0]);
	if (whole.enum !== undefined) return whole.enum[0];
	const type = [whole.type].flat()[0];
	if (type === "array") return [exampleOf(whole.items)];
	if (type === "object") {
		return Object.fromEntries(Object.entries(whole.properties ?? {}).map(([name, value]) => [name, exampleOf(value)]));
	}
	return { integer: 1, number: 0.5, boolean: true }[type] ?? (whole.type?.includes("null") ? null : "text");
}

/** JSON for readers: long arrays of numbers are cut. */
function pretty(value, indent = "") {
	const deeper = `${indent}  `;
	if (Array.isArray(value)) {
		if (value.length > LONG && typeof value[0] === "number") return `[${value.slice(0, 3).join(", ")}, … ${value.length} numbers]`;
		if (value.length === 0) return "[]";
		return `[\n${value.map((item) => deeper + pretty(item, deeper)).join(",\n")}\n${indent}]`;
	}
	if (value !== null && typeof value === "object") {
		const members = Object.entries(value).map(([name, item]) => `${deeper}${JSON.stringify(name)}: ${pretty(item, deeper)}`);
		return members.length === 0 ? "{}" : `{\n${members.join(",\n")}\n${indent}}`;
	}
	return JSON.stringify(value);
}

// ---- words ----

/** `code` and **strong** within a line. */
function inline(text) {
	return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
		if (piece.startsWith("`")) return make("code", {}, piece.slice(1, -1));
		if (piece.startsWith("**")) return make("strong", {}, piece.slice(2, -2));
		return piece;
	});
}

/** The little Markdown that descriptions have: paragraphs and lists. */
function prose(text) {
	return text.split("\n\n").map((block) => {
		const lines = block.split("\n");
		if (!lines[0].startsWith("- ")) return make("p", {}, inline(block));
		return make("ul", {}, lines.map((line) => make("li", {}, inline(line.replace(/^- /, "")))));
	});
}

function code(text, label) {
	const copy = make("button", { type: "button", class: "copy" }, "Copy");
	copy.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(text);
			copy.textContent = "Copied";
		} catch {
			copy.textContent = "Not allowed";
		}
		setTimeout(() => { copy.textContent = "Copy"; }, 1500);
	});
	return make("figure", {}, make("figcaption", {}, label, copy),
		make("pre", { tabindex: "0", role: "region", "aria-label": label }, make("code", {}, text)));
}

// ---- schemas ----

const range = (low, high, unit) => {
	if (low === undefined && high === undefined) return "";
	if (high === undefined) return low === 0 ? "" : `at least ${low.toLocaleString("en")} ${unit}`.trim();
	const many = (count) => count.toLocaleString("en");
	if (low === high) return `${many(low)} ${unit}`.trim();
	if (low === undefined || low === 0) return `at most ${many(high)} ${unit}`.trim();
	return `${many(low)} to ${many(high)} ${unit}`.trim();
};

/** What a value may be, in a few words. */
function typeOf(schema) {
	const whole = follow(schema);
	if (whole.oneOf !== undefined && whole.type === undefined) return whole.oneOf.map(typeOf).join(", or ");
	const types = [whole.type ?? "any"].flat();
	const formats = whole.anyOf?.map((choice) => choice.format).filter(Boolean).join(" or ");
	const kind = types[0];
	let words = kind;
	if (kind === "string") words = formats || whole.format || "string";
	if (kind === "array") words = `array of ${nameOf(whole.items) ?? typeOf(whole.items)}`;
	if (kind === "object") {
		words = nameOf(schema) ?? `object of ${Object.entries(whole.properties ?? {}).map(([name, value]) => `${name}: ${typeOf(value)}`).join(", ")}`;
	}
	const bounds = [
		range(whole.minLength, whole.maxLength, "characters"),
		whole["x-max-bytes"] === undefined ? "" : range(whole["x-min-bytes"], whole["x-max-bytes"], "bytes"),
		range(whole.minItems, whole.maxItems, "items"),
		Math.abs(whole.maximum ?? 0) > 1e30 ? "single precision" : range(whole.minimum, whole.maximum, ""),
		whole.pattern?.includes("[^\\u0000\\t-\\r ]") ? "not blank" : "",
		whole.default === undefined ? "" : `${whole.default} by default`,
	];
	return [types.includes("null") ? `${words} or null` : words, ...bounds].filter(Boolean).join(", ");
}

function choicesOf(schema) {
	const whole = follow(schema);
	const values = whole.enum ?? (whole.type === "array" ? follow(whole.items).enum : undefined);
	if (values === undefined) return null;
	return make("p", { class: "choices" }, values.map((value) => make("code", {}, String(value))));
}

/** One field or parameter: its name, what it may be, what it means, and the fields below it. */
function entry(name, schema, { required, optional, text, where }) {
	const whole = follow(schema);
	return make("li", {},
		make("p", { class: "field" }, make("code", { class: "name" }, name),
			where && make("span", { class: "where" }, where),
			make("span", { class: "type" }, typeOf(schema)),
			required && make("span", { class: "required" }, "required"),
			optional && make("span", { class: "where" }, "may be absent")),
		(text ?? whole.description) && make("p", { class: "muted" }, inline(text ?? whole.description)),
		choicesOf(schema), below(whole, where === undefined && required === undefined));
}

function below(schema, answered) {
	const inner = [schema.type].flat().includes("array") ? follow(schema.items) : schema;
	return inner?.properties === undefined ? null : fieldsOf(inner, answered);
}

/** The fields of an object. Those of a body are marked when they are required, those of an answer when they are not. */
function fieldsOf(schema, answered) {
	const exactlyOne = schema.oneOf?.flatMap((branch) => branch.required ?? []);
	return make("ul", { class: "fields" },
		exactlyOne && make("li", { class: "muted" }, "Exactly one of ", exactlyOne.flatMap((name, index) =>
			[index > 0 ? " and " : "", make("code", {}, name)])),
		Object.entries(schema.properties).map(([name, value]) => {
			const required = schema.required?.includes(name) ?? false;
			return entry(name, value, answered ? { optional: !required } : { required });
		}));
}

function schemaOf(schema, answered) {
	const whole = follow(schema);
	if (whole.oneOf !== undefined && whole.type === undefined) {
		return whole.oneOf.map((branch, index) => make("div", { class: "branch" },
			make("p", { class: "muted" }, index === 0 ? "Either " : "or ", make("strong", {}, typeOf(branch)),
				index > 0 && follow(branch).description && `: ${follow(branch).description}`), index === 0 && schemaOf(branch, answered)));
	}
	const inner = below(whole, answered);
	return [whole.description && make("p", { class: "muted" }, inline(whole.description)),
		inner ?? make("p", { class: "field" }, make("span", { class: "type" }, typeOf(schema)))];
}

// ---- one operation ----

function parametersOf(operation) {
	const parameters = operation.parameters.map(follow);
	if (parameters.length === 0) return null;
	return make("section", {}, make("h4", {}, "Parameters"), make("ul", { class: "fields" }, parameters.map((parameter) =>
		entry(parameter.name, parameter.schema, { required: parameter.required, text: parameter.description, where: parameter.in }))));
}

/** The forms of a body, each with its schema; those that share one are named together. */
function mediaOf(content, answered) {
	const groups = new Map();
	for (const [media, { schema }] of Object.entries(content)) {
		const key = JSON.stringify(schema);
		groups.set(key, { schema, media: [...(groups.get(key)?.media ?? []), media] });
	}
	return [...groups.values()].map(({ schema, media }) => make("div", { class: "media" },
		make("p", {}, media.flatMap((name, index) => [index > 0 ? " or " : "", make("code", {}, name)])), schemaOf(schema, answered)));
}

function bodyOf(operation) {
	if (operation.requestBody === undefined) return null;
	return make("section", {}, make("h4", {}, "Body", !operation.requestBody.required && make("span", { class: "muted" }, " may be left out")),
		mediaOf(operation.requestBody.content));
}

function headersOf(response) {
	const headers = Object.entries(response.headers ?? {}).filter(([name]) => name !== "X-Request-Id");
	if (headers.length === 0) return null;
	return make("ul", { class: "fields" }, headers.map(([name, header]) =>
		entry(name, follow(header).schema, { text: follow(header).description, where: "header" })));
}

function successesOf(operation) {
	const successes = Object.entries(operation.responses).filter(([status]) => status < 400);
	const [firstStatus, first] = successes[0];
	return make("section", {}, make("h4", {}, "Answers"), successes.map(([status, response]) => {
		const same = response !== first && response.content && JSON.stringify(response.content) === JSON.stringify(first.content);
		return make("div", { class: "answer" },
			make("p", {}, make("span", { class: "status good" }, status), ` ${response.description}`, same && ` As ${firstStatus} otherwise.`),
			!same && headersOf(response), !same && response.content && mediaOf(response.content, true));
	}));
}

function errorsOf(operation) {
	const rows = Object.entries(operation.responses).filter(([status]) => status >= 400).flatMap(([status, response]) =>
		Object.entries(response.content["application/problem+json"].examples ?? {}).map(([slug, example]) => make("tr", {},
			make("td", {}, make("span", { class: "status bad" }, status)), make("td", {}, make("code", {}, slug)),
			make("td", {}, follow(example).value.detail))));
	return make("details", { class: "errors" }, make("summary", {}, `Errors (${rows.length})`),
		make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Errors" }, make("table", {},
			make("thead", {}, make("tr", {}, ["Status", "type: /problems/", "Meaning"].map((head) => make("th", { scope: "col" }, head)))),
			make("tbody", {}, rows))));
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The request as a line for a shell, with the values of the examples. */
function curlOf(method, path, operation) {
	const parameters = operation.parameters.map(follow);
	const filled = path.replace(/\{(\w+)\}/g, (_, name) =>
		exampleOf(parameters.find((parameter) => parameter.in === "path" && parameter.name === name).schema));
	const words = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(location.origin + filled)}`];
	if (operation.security.length > 0) words.push('-H "Authorization: Bearer $ACCESS_TOKEN"');
	const body = operation.requestBody?.content["application/json"];
	if (body !== undefined) words.push("-H 'Content-Type: application/json'", `-d ${quoted(pretty(exampleOf(body.schema)))}`);
	return words.join(" \\\n  ");
}

function examplesOf(method, path, operation) {
	const success = Object.entries(operation.responses).find(([status, response]) => status < 300 && response.content);
	const media = success?.[1].content["application/json"];
	return make("section", { class: "examples" }, code(curlOf(method, path, operation), "Request"),
		media && code(pretty(exampleOf(media.schema)), `Answer ${success[0]}`));
}

function operationOf(method, path, operation) {
	const detail = make("div", { class: "detail" });
	const node = make("details", { class: "operation", id: operation.operationId },
		make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
			make("h3", {}, make("code", {}, path.split(/(\{\w+\})/).map((piece) =>
				(piece.startsWith("{") ? make("span", { class: "placeholder" }, piece) : piece)))),
			make("span", { class: "about" }, operation.summary),
			operation.security.length === 0 && make("span", { class: "open" }, "no token needed")), detail);
	// What nobody opens need not be made.
	node.addEventListener("toggle", () => {
		if (!node.open || detail.childElementCount > 0) return;
		detail.append(make("div", { class: "facts" }, ...[parametersOf(operation), bodyOf(operation), successesOf(operation),
			errorsOf(operation)].filter(Boolean)), examplesOf(method, path, operation));
	});
	return node;
}

// ---- the page ----

/** All operations: the words by which they are found, and their places in the page. */
const operations = [];

function wordsOf(method, path, operation) {
	const parameters = operation.parameters.map((parameter) => follow(parameter).name);
	const slugs = Object.values(operation.responses).flatMap((response) =>
		Object.keys(response.content?.["application/problem+json"]?.examples ?? {}));
	const schema = follow(operation.requestBody?.content["application/json"]?.schema);
	const fields = Object.keys(follow(schema?.oneOf?.[0])?.properties ?? schema?.properties ?? {});
	return [method, path, operation.operationId, operation.summary, ...operation.tags, ...parameters, ...fields,
		...Object.keys(operation.responses), ...slugs].join(" ").toLowerCase();
}

function addTag(tag) {
	const list = make("ul", {});
	const section = make("section", { class: "tag", "aria-labelledby": `tag-${tag.name}` },
		make("h2", { id: `tag-${tag.name}` }, tag.name), make("p", { class: "muted" }, tag.description));
	for (const [path, item] of Object.entries(description.paths)) {
		for (const method of METHODS) {
			const operation = item[method];
			if (operation?.tags[0] !== tag.name) continue;
			const node = operationOf(method, path, operation);
			const link = make("li", {}, make("a", { href: `#${operation.operationId}` },
				make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", {}, path.replace("/api/v1", ""))));
			operations.push({ id: operation.operationId, node, link, words: wordsOf(method, path, operation) });
			section.append(node);
			list.append(link);
		}
	}
	const group = make("div", {}, make("p", { class: "heading" }, make("a", { href: `#tag-${tag.name}` }, tag.name)), list);
	element("reference").append(section);
	element("contents").append(group);
	return { section, group };
}

function filter(groups) {
	const wanted = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
	let shown = 0;
	for (const operation of operations) {
		const hidden = !wanted.every((word) => operation.words.includes(word));
		operation.node.hidden = operation.link.hidden = hidden;
		shown += hidden ? 0 : 1;
	}
	for (const { section, group } of groups) {
		section.hidden = group.hidden = section.querySelector(".operation:not([hidden])") === null;
	}
	document.querySelector(".intro").hidden = wanted.length > 0;
	element("count").textContent = wanted.length === 0 ? `${operations.length} operations` : `${shown} of ${operations.length} operations`;
}

/** Opens what the address names, and marks it in the contents. */
function visit() {
	const id = decodeURIComponent(location.hash.slice(1));
	for (const operation of operations) {
		const here = operation.id === id;
		const link = operation.link.firstElementChild;
		if (here) link.setAttribute("aria-current", "true");
		else link.removeAttribute("aria-current");
		if (!here) continue;
		operation.node.hidden = false;
		operation.node.open = true;
		operation.node.scrollIntoView();
		operation.node.querySelector("summary").focus({ preventScroll: true });
	}
}

function show() {
	const { title, version, description: text, license } = description.info;
	document.title = `${title} API`;
	element("state").remove();
	element("reference").append(make("section", { class: "intro" }, make("h1", {}, `${title} API`),
		make("p", { class: "muted" }, `Version ${version}, OpenAPI ${description.openapi}, licence ${license.name}`), prose(text)));
	const groups = description.tags.map(addTag);
	element("filter").addEventListener("input", () => filter(groups));
	filter(groups);
	// Beside the reference the contents are always there, above it they are a menu.
	const wide = matchMedia("(min-width: 60rem)");
	const adapt = () => { element("menu").open = wide.matches; };
	wide.addEventListener("change", adapt);
	adapt();
	element("contents").addEventListener("click", (event) => {
		const link = event.target.closest("a");
		if (link === null) return;
		if (!wide.matches) element("menu").open = false;
		if (link.hash === location.hash) visit();
	});
	addEventListener("hashchange", visit);
	visit();
}

addEventListener("keydown", (event) => {
	if (event.key !== "/" || event.target.matches("input, textarea")) return;
	event.preventDefault();
	element("filter").focus();
});

try {
	const answer = await fetch(SOURCE, { headers: { Accept: "application/json" } });
	if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
	description = await answer.json();
	show();
} catch (error) {
	(element("state") ?? element("reference")).textContent = `The description could not be loaded. ${error.message}`;
}
