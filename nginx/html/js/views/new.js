// A new application: by a form, from the text of a posting, or many from a CSV file.

import { get, newKey, post, withQuery } from "../api.js";
import { tell } from "../applications.js";
import { FIELDS, ROWS_MAX, faultOf, fieldOf, format, parse } from "../csv.js";
import { $, debounce, h } from "../dom.js";
import { dropDraft, keepDraft, readDraft, sendDraft } from "../draft.js";
import { PRIORITY, count, since } from "../labels.js";
import * as outbox from "../outbox.js";
import { guess } from "../posting.js";
import { go } from "../router.js";
import { announce, button, controlOf, field, form, statusBadge, toast } from "../ui.js";
import { pageHead, tabs } from "./parts.js";

const DRAFT = "new";

// ---- Already applied? ----

const same = (a, b) => a.trim().toLowerCase() === b.trim().toLowerCase();

/** Shows what there is already of the company and the role. */
function doubles(signal) {
	const node = h("div", { class: "doubles", role: "status" });
	let turn = 0;
	const look = debounce(async (company, role) => {
		const mine = ++turn;
		const words = (company.trim().length > 1 ? company : role).trim();
		if (words.length < 2) return node.replaceChildren();
		try {
			const { data } = await get(
				withQuery("/applications", { q: words.slice(0, 200), sort: "-rank", limit: 20 }),
				{ signal },
			);
			if (mine !== turn) return;
			const close = data.data.filter((row) =>
				company.trim().length > 1
					? row.company_name.toLowerCase().includes(company.trim().toLowerCase())
					: row.role_title.toLowerCase().includes(role.trim().toLowerCase()),
			);
			close.sort((a, b) => same(b.role_title, role) - same(a.role_title, role));
			const exact = close.some((row) => same(row.company_name, company) && same(row.role_title, role));
			node.replaceChildren(
				...(close.length === 0
					? []
					: [
							h(
								"h3",
								null,
								exact
									? "You have this application already"
									: `You have ${count(close.length, "application")} like this`,
							),
							h(
								"ul",
								null,
								close
									.slice(0, 5)
									.map((row) =>
										h(
											"li",
											null,
											h(
												"a",
												{ href: `/applications/${row.id}`, target: "_blank" },
												`${row.role_title} at ${row.company_name}`,
											),
											h("span", { class: "muted" }, ` ${since(row.created_at)} `),
											statusBadge(row.status),
										),
									),
							),
						]),
			);
		} catch {
			// Nothing to warn of, as far as is known.
		}
	}, 250);
	return { node, look };
}

// ---- The form ----

/** Creates; without a network the creation is kept and sent later. */
async function create(values) {
	const body = {
		company_name: values.company_name.trim(),
		role_title: values.role_title.trim(),
		job_description: values.job_description,
		priority_level: values.priority_level,
		...(values.location.trim() && { location: values.location.trim() }),
		...(values.job_url.trim() && { job_url: values.job_url.trim() }),
	};
	const label = `New: ${body.role_title} at ${body.company_name}`;
	const made = await sendDraft(DRAFT, values, () => outbox.create("/applications", body, label));
	if (made === null) {
		toast("It could not be sent and is kept here. It is sent when the network is back.");
		return go("/board");
	}
	tell("created", made);
	toast("The application is added.");
	go(`/applications/${made.id}`);
}

function applicationForm(signal, paste) {
	const draft = readDraft(DRAFT) ?? {};
	const { node: warning, look } = doubles(signal);
	const text = (label, name, more) => field({ label, name, value: draft[name] ?? "", autocomplete: "off", ...more });
	const fields = [
		h(
			"div",
			{ class: "pair" },
			text("Company", "company_name", { required: true, maxlength: 255 }),
			text("Role", "role_title", { required: true, maxlength: 255 }),
		),
		warning,
		h(
			"div",
			{ class: "pair" },
			text("Location", "location", { maxlength: 255 }),
			field({
				label: "Priority",
				name: "priority_level",
				as: "select",
				options: PRIORITY,
				value: draft.priority_level ?? "medium",
			}),
		),
		text("Address of the posting", "job_url", { type: "url", maxlength: 2048, placeholder: "https://" }),
	];
	const posting = field({
		label: paste ? "The posting, pasted" : "The posting",
		name: "job_description",
		as: "textarea",
		rows: paste ? 12 : 9,
		required: true,
		minlength: 50,
		maxlength: 100_000,
		value: draft.job_description ?? "",
		autofocus: paste,
		hint: paste
			? "Select all on the posting's page, copy, and paste it here. What can be read from it goes into the fields below."
			: "Its text, 50 characters or more: it is what the documents are written against.",
	});
	const node = form(
		{ class: "stack panel" },
		create,
		...(paste ? [posting, ...fields] : [...fields, posting]),
		h(
			"p",
			{ class: "actions" },
			button("Add the application", { type: "submit" }),
			button("Clear", {
				class: "quiet",
				onclick: () => {
					node.reset();
					for (const control of node.elements)
						if (control.name) control.value = control.name === "priority_level" ? "medium" : "";
					dropDraft(DRAFT);
					warning.replaceChildren();
					$("textarea, input", node).focus();
				},
			}),
		),
	);
	const value = (name) => controlOf(node, name).value;
	const check = () => look(value("company_name"), value("role_title"));
	const touched = new Set();
	const read = () => {
		const found = guess(value("job_description"));
		const filled = [];
		for (const [name, word] of Object.entries(found)) {
			const control = controlOf(node, name);
			if (word === "" || (touched.has(name) && control.value !== "")) continue;
			control.value = word;
			control.dispatchEvent(new Event("input"));
			filled.push(FIELDS[name].label);
		}
		announce(
			filled.length > 0
				? `Read from the posting: ${filled.join(", ")}`
				: "Nothing could be read from the posting.",
		);
		check();
	};
	const readSoon = debounce(read, 400);
	node.addEventListener("input", (event) => {
		keepDraft(DRAFT, Object.fromEntries(new FormData(node)));
		if (event.isTrusted && event.target.name !== "job_description") touched.add(event.target.name);
		if (/company_name|role_title/.test(event.target.name)) check();
		if (paste && event.target.name === "job_description" && event.target.value.length > 50) readSoon();
	});
	if (draft.company_name || draft.role_title) check();
	return node;
}

// ---- CSV ----

const MAPS_NOTHING = "";
const SHOWN = 200;

function csvPart() {
	const result = h("div", { class: "stack" });
	const input = h("input", {
		type: "file",
		accept: ".csv,.tsv,.txt,text/csv",
		id: "csv-file",
		"aria-describedby": "csv-hint",
		onchange: () => input.files[0] && read(input.files[0]),
	});
	const read = async (file) => {
		try {
			if (file.size > 16 * 1024 * 1024) throw new Error("The file is larger than 16 MiB.");
			const bytes = await file.arrayBuffer();
			const rows = parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
			if (rows.length < 2) throw new Error("The file has no rows below a row with the names of its columns.");
			if (rows.length - 1 > ROWS_MAX) throw new Error(`The file has more than ${ROWS_MAX} rows. Split it.`);
			preview(rows);
		} catch (error) {
			const text = error instanceof TypeError ? "The file is not UTF-8. Save it as CSV UTF-8." : error.message;
			result.replaceChildren(h("p", { class: "form-fault", role: "alert" }, text));
		}
	};
	const preview = (rows) => {
		const [heads, ...lines] = rows;
		const used = new Set();
		const columns = heads.map((head) => {
			const name = fieldOf(head);
			return used.has(name) ? MAPS_NOTHING : (used.add(name), name);
		});
		const summary = h("div", { class: "stack" });
		const table = h("div", { class: "scroll table-frame", tabindex: 0, role: "region", "aria-label": "Preview" });
		const mapping = h(
			"div",
			{ class: "mapping" },
			heads.map((head, at) =>
				h(
					"label",
					null,
					h("span", null, head.trim() || `Column ${at + 1}`),
					h(
						"select",
						{
							value: columns[at],
							onchange: (event) => {
								const taken = columns.indexOf(event.target.value);
								if (event.target.value !== MAPS_NOTHING && taken >= 0) {
									columns[taken] = MAPS_NOTHING;
									mapping.querySelectorAll("select")[taken].value = MAPS_NOTHING;
								}
								columns[at] = event.target.value;
								draw();
							},
						},
						h("option", { value: MAPS_NOTHING }, "Leave out"),
						Object.entries(FIELDS).map(([name, one]) => h("option", { value: name }, one.label)),
					),
				),
			),
		);
		const draw = () => {
			const names = columns.filter(Boolean);
			const missing = Object.entries(FIELDS)
				.filter(([name, one]) => one.required && !names.includes(name))
				.map(([, one]) => one.label);
			const checked = lines.map((cells, at) => check(cells, at, columns, heads.length));
			const good = checked.filter((one) => one.faults.length === 0);
			const key = newKey(); // of this sheet: sent again, it creates nothing twice
			const bad = checked.filter((one) => one.faults.length > 0);
			table.replaceChildren(previewTable(names, [...bad, ...good].slice(0, SHOWN), checked.length));
			summary.replaceChildren(
				missing.length > 0
					? h("p", { class: "form-fault", role: "alert" }, `Say which column is: ${missing.join(", ")}.`)
					: h(
							"p",
							{ role: "status" },
							h("strong", null, `${count(good.length, "application")} will be created. `),
							bad.length > 0 &&
								`${count(bad.length, "row")} cannot be, for the reasons shown; correct the file, or go on without.`,
						),
				h(
					"p",
					{ class: "actions" },
					button(
						bad.length > 0
							? `Import ${good.length} without the wrong rows`
							: `Import ${count(good.length, "row")}`,
						{
							disabled: missing.length > 0 || good.length === 0,
							onclick: (event) => send(names, good, key, event.target, summary),
						},
					),
				),
			);
		};
		result.replaceChildren(h("h2", null, "Which column is what"), mapping, summary, table);
		draw();
	};
	return h(
		"section",
		{
			class: "panel stack",
			ondragover: (event) => event.preventDefault(),
			ondrop: (event) => {
				event.preventDefault();
				if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
			},
		},
		h(
			"div",
			{ class: "field" },
			h("label", { for: "csv-file" }, "CSV file"),
			input,
			h(
				"p",
				{ class: "hint", id: "csv-hint" },
				"The first row names the columns. Company, role and posting are needed; location, address and ",
				"priority may be there. Nothing is sent before you have seen what comes of it.",
			),
		),
		result,
	);
}

function check(cells, at, columns, width) {
	const values = {};
	const faults = [];
	if (cells.length !== width) faults.push(`It has ${count(cells.length, "column")}, and the first row ${width}`);
	columns.forEach((name, column) => {
		if (name === MAPS_NOTHING) return;
		const value = cells[column] ?? "";
		values[name] = name === "priority_level" ? value.trim().toLowerCase() : value.trim() === "" ? "" : value;
		const fault = faultOf(name, values[name]);
		if (fault) faults.push(fault);
	});
	return { row: at + 2, values, faults };
}

const short = (text) => (text.length > 90 ? `${text.slice(0, 90)}…` : text);

const previewTable = (names, rows, total) =>
	h(
		"table",
		{ class: "table preview" },
		h(
			"caption",
			null,
			rows.length < total
				? `The first ${rows.length} of ${total} rows, wrong ones first`
				: `${count(total, "row")}, wrong ones first`,
		),
		h(
			"thead",
			null,
			h(
				"tr",
				null,
				h("th", { scope: "col" }, "Row"),
				h("th", { scope: "col" }, "Result"),
				names.map((name) => h("th", { scope: "col" }, FIELDS[name].label)),
			),
		),
		h(
			"tbody",
			null,
			rows.map(({ row, values, faults }) =>
				h(
					"tr",
					{ class: faults.length > 0 ? "wrong" : "" },
					h("th", { scope: "row" }, row),
					h(
						"td",
						null,
						faults.length > 0
							? h("span", { class: "fault" }, faults.join(". "))
							: h("span", { class: "fine" }, "Will be created"),
					),
					names.map((name) => h("td", null, short(values[name] ?? ""))),
				),
			),
		),
	);

/** Sends the good rows; what the server finds wrong is told by the rows of the file. */
async function send(names, good, key, control, place) {
	control.setAttribute("aria-busy", "true");
	control.disabled = true;
	$(".server-faults", place)?.remove();
	try {
		const sheet = format(
			names,
			good.map((one) => one.values),
		);
		const { data } = await post("/applications", sheet, { type: "text/csv", key, ms: 120_000 });
		tell("created", null);
		toast(`${count(data?.data?.length ?? good.length, "application")} created.`);
		go("/board");
	} catch (problem) {
		const faults = (problem.errors ?? []).map(({ pointer, detail }) => {
			const at = /^\/(\d+)/.exec(pointer)?.[1];
			return at === undefined
				? detail
				: `Row ${good[at]?.row}: ${detail.replace(/^row \d+,? ?(column \d+)?:? ?/, "")}`;
		});
		place.append(
			h(
				"div",
				{ class: "form-fault server-faults", role: "alert" },
				h("p", null, problem.message),
				h(
					"ul",
					null,
					faults.map((text) => h("li", null, text)),
				),
			),
		);
		control.disabled = false;
	} finally {
		control.removeAttribute("aria-busy");
	}
}

export default function newApplication(page) {
	const by = page.params.by ?? "form";
	const parts = {
		form: () => applicationForm(page.signal, false),
		paste: () => applicationForm(page.signal, true),
		csv: csvPart,
	};
	return {
		title: "New application",
		body: h(
			"div",
			{ class: by === "csv" ? "page" : "page narrow" },
			pageHead(
				"New application",
				tabs("Ways to add", [
					{ href: "/new", text: "Form", current: by === "form" },
					{ href: "/new/paste", text: "Paste a posting", current: by === "paste" },
					{ href: "/new/csv", text: "CSV file", current: by === "csv" },
				]),
			),
			parts[by](),
		),
	};
}
