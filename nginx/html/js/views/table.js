// The table: all applications in one list, sorted by its heads, a row edited in its place.

import { get } from "../api.js";
import {
	Pages,
	applications,
	changeFacts,
	endless,
	isRemoved,
	matches,
	removeLater,
	setPriority,
	tell,
} from "../applications.js";
import { $, $$, h } from "../dom.js";
import { dropDraft, keepDraft, readDraft } from "../draft.js";
import { filterBar, isFiltered, readFilters, toQuery } from "../filters.js";
import { icon } from "../icons.js";
import { FACT, count, since } from "../labels.js";
import {
	announce,
	button,
	complain,
	empty,
	failure,
	iconButton,
	prioritySelect,
	roving,
	skeleton,
	statusBadge,
} from "../ui.js";
import { firstVisit, pageHead } from "./parts.js";

const COLUMNS = [
	["Company and role", "company_name", "main"],
	["Location", null, "aside"],
	["Priority", "priority_level"],
	["Status", null],
	["Added", "created_at", "aside"],
	["Changed", "updated_at", "aside"],
	["Actions", null, "tools"],
];
const EDITABLE = [
	["company_name", 255],
	["role_title", 255],
	["location", 255],
];

const rowOf = new WeakMap(); // what a line shows

function line(row, replace) {
	const name = `${row.role_title} at ${row.company_name}`;
	const node = h(
		"tr",
		{ data: { id: row.id } },
		h(
			"th",
			{ scope: "row" },
			h(
				"a",
				{ href: `/applications/${row.id}` },
				h("strong", null, row.company_name),
				h("span", null, row.role_title),
			),
		),
		h("td", { class: "aside" }, h("span", null, row.location ?? "")),
		h(
			"td",
			null,
			prioritySelect(row, (level, control) => setPriority(row, level, control)),
		),
		h("td", null, statusBadge(row.status)),
		h("td", { class: "aside" }, since(row.created_at)),
		h("td", { class: "aside" }, since(row.updated_at)),
		h(
			"td",
			{ class: "tools" },
			iconButton("pen", `Edit ${name}`, { onclick: () => edit(row, replace) }),
			iconButton("bin", `Delete ${name}`, { onclick: () => removeLater(row) }),
		),
	);
	rowOf.set(node, row);
	return node;
}

const draftOf = (id) => `row:${id}`;

/** Turns a row into fields, with what the server has now or what was typed before a reload (`kept`). */
async function edit(row, replace, kept = null) {
	let answer;
	try {
		answer = await get(`/applications/${row.id}`);
	} catch (problem) {
		return complain(problem);
	}
	const base = kept?.base ?? answer.data;
	const etag = kept?.etag ?? answer.etag;
	const fields = EDITABLE.map(([name, maxlength]) =>
		h(
			"label",
			null,
			h("span", null, FACT[name]),
			h("input", {
				name,
				maxlength,
				value: kept?.values[name] ?? base[name] ?? "",
				required: name !== "location",
			}),
		),
	);
	const fault = h("p", { class: "fault", role: "alert" });
	const stop = (next) => {
		dropDraft(draftOf(row.id));
		replace(row.id, line(next, replace), true);
	};
	const values = () =>
		Object.fromEntries(
			fields.map((one) => {
				const { name, value } = $("input", one);
				return [name, value.trim() === "" && name === "location" ? null : value.trim()];
			}),
		);
	const changed = () => Object.entries(values()).filter(([name, value]) => value !== (base[name] ?? null));
	let saving = false;
	const save = async () => {
		if (saving) return;
		if (changed().length === 0) return stop({ ...row, ...base });
		saving = true;
		try {
			const saved = await changeFacts(base, etag, Object.fromEntries(changed()));
			if (saved === null) return $("input", cell).focus();
			const next = { ...row, ...saved.row };
			tell("changed", next);
			announce("Saved");
			stop(next);
		} catch (problem) {
			if (problem.status === undefined) throw problem;
			showFaults(problem);
		} finally {
			saving = false;
		}
	};
	const showFaults = (problem) => {
		const of = (name) => fields.map((one) => $("input", one)).find((input) => input.name === name);
		const named = (problem.errors ?? []).map(({ pointer, detail }) => [pointer.slice(1), detail]);
		for (const [name] of named) of(name)?.setAttribute("aria-invalid", "true");
		fault.textContent =
			named.map(([name, detail]) => `${FACT[name] ?? name} ${detail}.`).join(" ") || problem.message;
		of(named[0]?.[0])?.focus();
	};
	const cell = h(
		"tr",
		{
			class: "editing",
			data: { id: row.id },
			oninput: (event) => {
				event.target.removeAttribute("aria-invalid");
				keepDraft(draftOf(row.id), { values: values(), base: pick(base), etag });
			},
			onkeydown: (event) => {
				if (event.key === "Escape") stop(row);
				if (event.key === "Enter" && event.target.tagName === "INPUT") save();
			},
		},
		h(
			"td",
			{ colspan: COLUMNS.length },
			h(
				"div",
				{ class: "row-form" },
				fields,
				button("Save", { class: "small", onclick: save }),
				button("Cancel", { class: "quiet small", onclick: () => stop(row) }),
				fault,
			),
		),
	);
	replace(row.id, cell, false);
	if (kept === null) $("input", cell).focus();
}

/** Of an application what the outbox and the fields of a row need. */
const pick = ({ id, company_name, role_title, location }) => ({ id, company_name, role_title, location });

export default function table(page) {
	const filters = readFilters(page.query);
	// Replaced by the first rows, never moved by them.
	const shape = () =>
		h("tr", { class: "shape", "aria-hidden": "true" }, h("td", { colspan: COLUMNS.length }, skeleton(1)));
	const body = h("tbody", null, Array.from({ length: 8 }, shape));
	const end = h("div");
	const total = h("p", { class: "muted total", role: "status" });
	const instead = h("div");
	let pages;
	let visible;
	const ready = new Promise((resolve) => {
		visible = resolve;
	});
	const refreshFocus = roving(body, "tr");

	const replace = (id, node, focus) => {
		const before = $(`tr[data-id="${id}"]`, body);
		before?.replaceWith(node);
		refreshFocus();
		if (focus) $("a", node)?.focus();
	};
	const heads = COLUMNS.map(([label, key, kind]) => {
		if (key === null)
			return h(
				"th",
				{ scope: "col", class: kind },
				label === "Actions" ? h("span", { class: "unseen" }, label) : label,
			);
		const sort = h(
			"button",
			{
				type: "button",
				class: "sort",
				onclick: () => {
					const falling = filters.sort === `-${key}` || (filters.sort !== key && key === "company_name");
					bar.setSort(falling ? key : `-${key}`);
				},
			},
			label,
			icon("down"),
		);
		return h("th", { scope: "col", class: kind, data: { key } }, sort);
	});
	const showOrder = () => {
		for (const head of heads) {
			if (!head.dataset.key) continue;
			const order = { [head.dataset.key]: "ascending", [`-${head.dataset.key}`]: "descending" }[filters.sort];
			head.setAttribute("aria-sort", order ?? "none");
		}
	};
	const frame = h(
		"div",
		{ class: "table-frame" },
		h(
			"table",
			{ class: "table" },
			h("caption", { class: "unseen" }, "Applications"),
			h("thead", null, h("tr", null, heads)),
			body,
		),
		end,
	);

	const show = () => {
		const none = pages.total === 0 && pages.rows.length === 0;
		const first = none && !isFiltered(filters);
		total.textContent = pages.total === null || first ? "" : count(pages.total, "application");
		frame.hidden = none;
		bar.bar.hidden = first;
		instead.replaceChildren(
			...(!none
				? []
				: [
						first
							? firstVisit()
							: empty(
									"Nothing found",
									"No application matches this filter.",
									button("Clear the filter", { class: "quiet", onclick: () => bar.clear() }),
								),
					]),
		);
		visible();
	};
	const fill = async (mine) => {
		try {
			const rows = await mine.load(page.signal);
			if (mine !== pages) return false;
			if (body.dataset.stale) {
				delete body.dataset.stale;
				body.replaceChildren();
			}
			body.append(...rows.map((row) => line(row, replace)));
			end.replaceChildren();
			show();
			refreshFocus();
			for (const row of rows) {
				const kept = readDraft(draftOf(row.id));
				if (kept !== null) edit(row, replace, kept);
			}
			return mine.more;
		} catch (problem) {
			if (mine !== pages || page.signal.aborted) return false;
			for (const one of $$(".shape", body)) one.remove();
			end.replaceChildren(failure(problem, () => fill(mine)));
			return false;
		}
	};
	const scroll = endless(end, null, () => (pages.rows.length > 0 && pages.more ? fill(pages) : false));
	const load = async () => {
		pages = new Pages("/applications", toQuery(filters));
		body.dataset.stale = "yes";
		showOrder();
		if (await fill(pages)) scroll.again();
	};
	const bar = filterBar(filters, {
		states: true,
		typed: () => {
			for (const item of body.children) {
				const row = rowOf.get(item);
				item.hidden = filters.q.trim() !== "" && row !== undefined && !matches(row, filters.q);
			}
		},
		changed: load,
	});
	const on = (name, run) => applications.addEventListener(name, run, { signal: page.signal });
	on("removed", ({ detail: id }) => {
		const item = $(`tr[data-id="${id}"]`, body);
		if (item === null) return;
		const beside = item.nextElementSibling ?? item.previousElementSibling;
		if (item.contains(document.activeElement)) (beside ? $("a", beside) : document.querySelector("h1")).focus();
		item.remove();
		pages.rows = pages.rows.filter((row) => row.id !== id);
		pages.total--;
		show();
		refreshFocus();
	});
	on("restored", load);
	on("changed", ({ detail: row }) => {
		const item = $(`tr[data-id="${row.id}"]`, body);
		if (
			item &&
			!item.classList.contains("editing") &&
			!item.contains(document.activeElement) &&
			!isRemoved(row.id)
		) {
			item.replaceWith(line(row, replace));
			refreshFocus();
		}
	});
	load();

	return {
		title: "Table",
		ready,
		body: h(
			"div",
			{ class: "page wide" },
			pageHead(
				"Applications",
				total,
				h(
					"div",
					{ class: "views", role: "group", "aria-label": "View" },
					h("a", { href: "/board" }, icon("board"), "Board"),
					h("a", { href: "/table", "aria-current": "page" }, icon("table"), "Table"),
				),
			),
			bar.bar,
			instead,
			frame,
		),
		close: () => scroll.stop(),
	};
}
