// Comma-separated values (RFC 4180), as the server reads them, and what a sheet of applications may hold.

export const FIELDS = {
	company_name: {
		label: "Company",
		required: true,
		max: 255,
		also: ["company", "employer", "organisation", "organization"],
	},
	role_title: { label: "Role", required: true, max: 255, also: ["role", "title", "job title", "position", "job"] },
	job_description: {
		label: "Posting",
		required: true,
		min: 50,
		max: 100_000,
		also: ["description", "job description", "posting", "text", "notes"],
	},
	location: { label: "Location", max: 255, also: ["place", "city", "where"] },
	job_url: {
		label: "Address of the posting",
		max: 2048,
		also: ["url", "link", "job url", "job posting url", "website"],
	},
	priority_level: { label: "Priority", choices: ["low", "medium", "high"], also: ["priority", "excitement"] },
	name: { label: "Name of the application", max: 255, also: [] },
};
export const ROWS_MAX = 5000;

/** The rows of a text; throws an Error that says where it is wrong. The separator is , or ; or a tab, by the first line. */
export function parse(text) {
	const source = text.replace(/^\uFEFF/, "");
	const head = source.slice(0, source.search(/\r?\n|$/)).replace(/"[^"]*"/g, "");
	const separator = [",", ";", "\t"].reduce(
		(best, one) => (head.split(one).length > head.split(best).length ? one : best),
		",",
	);
	const rows = [];
	let row = [];
	let at = 0;
	const fail = (message) => {
		throw new Error(`Row ${rows.length + 1}, column ${row.length + 1}: ${message}`);
	};
	while (at < source.length) {
		let value = "";
		if (source[at] === '"') {
			for (at++; ; at += 2) {
				const end = source.indexOf('"', at);
				if (end < 0) fail("a quote is not closed");
				value += source.slice(at, end);
				at = end;
				if (source[at + 1] !== '"') break;
				value += '"';
			}
			at++;
			if (at < source.length && ![separator, "\r", "\n"].includes(source[at]))
				fail("there is text after a closing quote");
		} else {
			const from = at;
			while (at < source.length && source[at] !== separator && source[at] !== "\n" && source[at] !== "\r") at++;
			value = source.slice(from, at);
			if (value.includes('"')) fail("a quote stands in a field that is not quoted");
		}
		row.push(value);
		if (source[at] === separator) {
			at++;
			if (at < source.length) continue;
			row.push("");
		}
		if (source[at] === "\r") at++;
		if (source[at] === "\n") at++;
		rows.push(row);
		row = [];
	}
	if (row.length > 0) rows.push(row);
	while (rows.length > 0 && rows.at(-1).every((cell) => cell === "")) rows.pop();
	return rows;
}

const plain = (text) =>
	text
		.trim()
		.toLowerCase()
		.replace(/[_\s]+/g, " ");

/** Which field a column with this head is, or "". */
export const fieldOf = (head) =>
	Object.entries(FIELDS).find(([name, field]) =>
		[name.replaceAll("_", " "), ...field.also].includes(plain(head)),
	)?.[0] ?? "";

/** What is wrong with a value, or "". */
export function faultOf(name, value) {
	const field = FIELDS[name];
	const text = value.trim();
	if (text === "") return field.required ? `${field.label} is missing` : "";
	const length = [...value].length;
	if (field.min && length < field.min) return `${field.label} has ${length} characters, and needs ${field.min}`;
	if (field.max && length > field.max) return `${field.label} has more than ${field.max} characters`;
	if (field.choices && !field.choices.includes(value))
		return `${field.label} is not one of ${field.choices.join(", ")}`;
	if (name === "job_url" && !/^https?:\/\/[^\s/$.?#][^\s]*$/i.test(value))
		return `${field.label} is not an http or https address`;
	return "";
}

const cell = (value) => (/[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

/** Rows of { name: value } as a sheet with these columns. */
export const format = (names, rows) =>
	[names, ...rows.map((row) => names.map((name) => row[name] ?? ""))]
		.map((cells) => cells.map(cell).join(","))
		.join("\r\n") + "\r\n";
