// What was changed in the account, by whom and when: the audit log, newest first.

import { get } from "../api.js";
import { Pages, endless } from "../applications.js";
import { h } from "../dom.js";
import { icon } from "../icons.js";
import { DOCUMENT, FACT, FOCUS, PRIORITY, STATUS, count, momentOf } from "../labels.js";
import { note } from "../router.js";
import { empty, failure, skeleton } from "../ui.js";
import { pageHead } from "./parts.js";
import { sizeOf } from "./plan.js";

const KINDS = {
	applications: "Application",
	documents: "Document",
	user_resumes: "Résumé",
	document_embeddings: "Embedding",
	users: "Account",
	subscriptions: "Subscription",
};
const ACTIONS = { insert: ["added", "plus"], update: ["changed", "pen"], delete: ["deleted", "bin"] };
const FIELDS = {
	...FACT,
	priority_level: "Priority",
	status: "Status",
	content: "Text",
	document_type: "Which",
	focus_area: "Focus",
	is_primary: "Primary",
	full_name: "Your name",
	email: "Email",
	password_hash: "Password",
	embedding: "Embedding",
	plan: "Plan",
	period_start: "From",
	period_end: "Until",
};
const HIDDEN = /^(research_completed|resume_optimized|cover_letter_generated|application_id|document_id|reference)$/;
const WORDS = {
	...Object.fromEntries(Object.entries({ ...STATUS, ...DOCUMENT }).map(([name, one]) => [name, one.label])),
	...PRIORITY,
	...FOCUS,
};

/** A value in words; of long texts the log has the size alone. */
function valueOf(value) {
	if (value === undefined || value === null) return "";
	if (typeof value === "boolean") return value ? "yes" : "no";
	if (typeof value === "object") return typeof value.size === "number" ? `a text of ${sizeOf(value.size)}` : "";
	return WORDS[value] ?? String(value);
}

/** [field, before, after] of what a reader knows by a name. */
const changesOf = (entry) =>
	Object.entries(entry.changes)
		.filter(([name]) => !HIDDEN.test(name))
		.map(([name, one]) =>
			name === "password_hash"
				? ["Password", "", "changed"]
				: [FIELDS[name] ?? name, valueOf(one.old), valueOf(one.new)],
		);

/** What it is about, as far as the entry itself tells; what was only changed is known by `names`. */
function subject({ table_name: table, action, changes, row_id: id }, names) {
	const value = (name) => changes[name]?.new ?? changes[name]?.old;
	if (action === "update") return names.get(id) ?? "";
	if (table === "applications") return `${value("role_title")} at ${value("company_name")}`;
	if (table === "documents") return names.get(id) ?? DOCUMENT[value("document_type")]?.label ?? "";
	return value("name") ?? value("email") ?? "";
}

/** What the newest things of the user are called, by their ids. Without them the history is no less true. */
async function namesOf(signal) {
	const names = new Map();
	const note = async (path, name) => {
		const { data } = await get(`${path}?limit=100`, { signal });
		for (const row of data.data) names.set(row.id, name(row));
	};
	const position = (row) => `${row.role_title} at ${row.company_name}`;
	await Promise.allSettled([
		note("/applications", position),
		note("/documents", (row) => `${DOCUMENT[row.document_type].label}, ${position(row.application)}`),
		note("/resumes", (row) => row.name),
	]);
	return names;
}

const ADDRESSES = { applications: "/applications/", user_resumes: "/resumes/" };

function entryNode(entry, names) {
	const [word, sign] = ACTIONS[entry.action];
	const about = subject(entry, names);
	const rows = changesOf(entry);
	const address = entry.action !== "delete" && ADDRESSES[entry.table_name];
	return h(
		"li",
		{ class: "entry" },
		icon(sign),
		h(
			"div",
			null,
			h("strong", null, `${KINDS[entry.table_name]} ${word}`, about && `: ${about}`),
			h(
				"p",
				{ class: "muted" },
				entry.action === "update" && `${rows.map(([name]) => name).join(", ")} · `,
				h("time", { datetime: entry.created_at }, momentOf(entry.created_at)),
				entry.actor === "user" ? " by you" : ` by the administrator ${entry.actor}`,
			),
			rows.length > 0 &&
				h(
					"details",
					null,
					h("summary", null, "What it was"),
					h(
						"table",
						{ class: "table small-table" },
						h("caption", { class: "unseen" }, "Before and after"),
						h(
							"thead",
							null,
							h(
								"tr",
								null,
								["Field", "Before", "After"].map((head) => h("th", { scope: "col" }, head)),
							),
						),
						h(
							"tbody",
							null,
							rows.map(([name, before, after]) =>
								h(
									"tr",
									null,
									h("th", { scope: "row" }, name),
									h("td", null, before),
									h("td", null, after),
								),
							),
						),
					),
					address && h("p", null, h("a", { href: address + entry.row_id }, "Open it")),
				),
		),
	);
}

export default function history(page) {
	const chosen = page.query.getAll("of").filter((table) => table in KINDS);
	const list = h("ol", { class: "entries" });
	const end = h("div", null, skeleton(6, "row"));
	const total = h("p", { class: "muted", role: "status" });
	const names = namesOf(page.signal);
	let pages = null;
	let visible;
	const ready = new Promise((resolve) => {
		visible = resolve;
	});

	async function fill(mine) {
		try {
			const [rows, known] = await Promise.all([mine.load(page.signal), names]);
			if (mine !== pages) return false;
			list.append(...rows.map((entry) => entryNode(entry, known)));
			total.textContent = count(mine.total, "change");
			end.replaceChildren(
				...(mine.total === 0
					? [empty("Nothing yet", "Whatever you add, change or delete is noted here.")]
					: []),
			);
			return mine.more;
		} catch (problem) {
			if (mine !== pages || page.signal.aborted) return false;
			end.replaceChildren(failure(problem, () => fill(mine)));
			return false;
		} finally {
			visible();
		}
	}
	const scroll = endless(end, null, () => (pages.rows.length > 0 && pages.more ? fill(pages) : false));
	async function load() {
		pages = new Pages("/audit-log", { table_name: chosen }, 30);
		list.replaceChildren();
		end.replaceChildren(skeleton(6, "row"));
		if (await fill(pages)) scroll.again();
	}
	const choose = (table, on) => {
		if (on) chosen.push(table);
		else chosen.splice(chosen.indexOf(table), 1);
		note(chosen.map((one) => ["of", one]));
		load();
	};
	load();
	return {
		title: "History",
		ready,
		body: h(
			"div",
			{ class: "page narrow" },
			h("a", { class: "back", href: "/account" }, icon("left"), "Account"),
			pageHead("History", total),
			h(
				"fieldset",
				{ class: "chips" },
				h("legend", { class: "unseen" }, "Only changes of"),
				Object.entries(KINDS).map(([table, label]) =>
					h(
						"label",
						{ class: "chip" },
						h("input", {
							type: "checkbox",
							checked: chosen.includes(table),
							onchange: (event) => choose(table, event.target.checked),
						}),
						h("span", null, label),
					),
				),
			),
			h("div", null, list, end),
		),
		close: () => scroll.stop(),
	};
}
