// One application: its facts, the posting, and the three documents as steps.

import { get, post, put, remove } from "../api.js";
import { changeFacts, removeLater, setPriority, tell } from "../applications.js";
import { $, h } from "../dom.js";
import { dropDraft, keepDraft, readDraft } from "../draft.js";
import { editor } from "../editor.js";
import { icon } from "../icons.js";
import { DOCUMENT, FACT, STATUS, dateOf, momentOf } from "../labels.js";
import * as outbox from "../outbox.js";
import { go } from "../router.js";
import {
	announce,
	button,
	complain,
	confirm,
	failure,
	iconButton,
	outLink,
	prioritySelect,
	skeleton,
	statusBadge,
	toast,
} from "../ui.js";

const FACTS = {
	company_name: { maxlength: 255, required: true },
	role_title: { maxlength: 255, required: true },
	location: { maxlength: 255, none: "Add a location" },
	job_url: { maxlength: 2048, type: "url", none: "Add the address" },
	name: { maxlength: 255, required: true },
	job_description: { required: true },
};
const SHORT_FACTS = Object.keys(FACTS).filter((name) => name !== "job_description");

const BEGINNINGS = {
	research_report: (row) =>
		`# ${row.company_name}\n\n## What they do\n\n\n## What the posting asks for\n\n- \n\n## How I meet it\n\n- \n\n## Questions to ask\n\n- \n`,
	cover_letter: (row) =>
		`Dear hiring team,\n\nI am applying for the position of ${row.role_title} at ${row.company_name}.\n\n\n\nKind regards,\n`,
};

const NO_VERSION = '"0"'; // an ETag that nothing has

const nameOf = (row) => `${row.role_title} at ${row.company_name}`;

/**
 * A fact that turns into a field when it is chosen. `save(change, base)` returns whether it was saved, or throws; `base` is
 * what the user began with. What was typed comes back after a reload.
 */
function fact(name, row, save) {
	const { none, ...attributes } = FACTS[name];
	const label = FACT[name];
	const draft = `fact:${row.id}:${name}`;
	const long = name === "job_description";
	const place = h(long ? "div" : "dd");
	let shownValue;
	const show = (focus) => {
		const value = row[name] ?? "";
		shownValue = value;
		const editButton = iconButton("pen", `Edit ${label.toLowerCase()}`, { onclick: edit });
		const shown =
			value === ""
				? button(none ?? "Add", { class: "link", onclick: edit })
				: long
					? h("div", { class: "posting" }, value)
					: name === "job_url"
						? outLink(value, value.replace(/^https?:\/\/(www\.)?/, ""))
						: h("span", null, value);
		place.replaceChildren(shown, ...(value === "" ? [] : [editButton]));
		if (focus) (value === "" ? shown : editButton).focus();
	};
	const stop = () => {
		dropDraft(draft);
		show(true);
	};
	function fill(kept = { value: row[name] ?? "", base: row[name] ?? "" }) {
		const { base } = kept;
		shownValue = null;
		const fault = h("p", { class: "fault", role: "alert" });
		const input = h(long ? "textarea" : "input", {
			"aria-label": label,
			...attributes,
			rows: long ? 18 : null,
			value: kept.value,
			oninput: () => keepDraft(draft, { value: input.value, base }),
		});
		const form = h(
			"form",
			{
				class: "fact-form",
				novalidate: true,
				onsubmit: async (event) => {
					event.preventDefault();
					const value = long ? input.value : input.value.trim();
					if (value === (row[name] ?? "")) return stop();
					form.setAttribute("aria-busy", "true");
					try {
						const change = { [name]: value === "" && !attributes.required ? null : value };
						if (!(await save(change, { [name]: base === "" ? null : base }))) return input.focus();
						announce(`${label} saved`);
						stop();
					} catch (problem) {
						if (problem.status === undefined) throw problem;
						const detail = problem.errors?.[0]?.detail;
						fault.textContent = detail ? `It ${detail}.` : problem.message;
						input.setAttribute("aria-invalid", "true");
						input.focus();
					} finally {
						form.removeAttribute("aria-busy");
					}
				},
				onkeydown: (event) => {
					if (event.key !== "Escape") return;
					event.stopPropagation();
					stop();
				},
			},
			input,
			h(
				"div",
				{ class: "actions" },
				button("Save", { type: "submit", class: "small" }),
				button("Cancel", { class: "quiet small", onclick: stop }),
			),
			fault,
		);
		place.replaceChildren(form);
		return input;
	}
	function edit() {
		const input = fill();
		input.focus();
		if (!long) input.select();
	}
	const kept = readDraft(draft);
	if (kept !== null && kept.value !== (row[name] ?? "")) fill(kept);
	else show();
	/** Follows what was changed elsewhere, unless it is being edited. */
	const follow = () => shownValue !== null && shownValue !== (row[name] ?? "") && show();
	return { place, follow, restored: shownValue === null };
}

export default function application(page) {
	const { id } = page.params;
	const path = `/applications/${id}`;
	const body = h(
		"div",
		{ class: "page wide application" },
		h("div", { class: "skeletons" }, skeleton(2), skeleton(1, "block")),
	);
	const view = {
		title: "Application",
		body,
		update: (next) => {
			if (next.params.id !== id || row === null) return false;
			step = next.params.step ?? null;
			showStep();
			$("h1", body).focus();
			return titleOf();
		},
		close: () => open?.close(),
	};
	let row = null;
	let etag = null;
	let step = page.params.step ?? null;
	let open = null; // the editor
	let facts = {};
	const steps = h("nav", { class: "steps", "aria-label": "Steps" });
	const place = h("div", { class: "step-body" });
	const aside = h("div", { class: "step-aside" });
	const badge = h("span");
	const title = h("h1", { tabindex: -1 });

	const titleOf = () => (step ? `${DOCUMENT[step].label}, ${nameOf(row)}` : nameOf(row));

	async function load() {
		try {
			const answer = await get(path, { signal: page.signal });
			row = answer.data;
			etag = answer.etag;
			draw();
			document.title = `${titleOf()} · JobForge`;
			announce(titleOf());
		} catch (problem) {
			if (page.signal.aborted) return;
			body.replaceChildren(failure(problem, load, "h1"));
		}
	}

	function take(changed) {
		Object.assign(row, changed);
		for (const one of Object.values(facts)) one.follow();
		title.replaceChildren(row.role_title, h("small", null, row.company_name));
		badge.replaceChildren(statusBadge(row.status));
		if (Object.keys(changed).length > 0) tell("changed", { ...row });
		drawSteps();
	}

	/** Changes a fact; returns whether it was, which it is not while the user has not decided between two versions. */
	async function save(change, base) {
		const [name] = Object.keys(change);
		// Another version than the one that was begun with is here already: the server is to say so, so that both are shown.
		const version = base[name] === (row[name] ?? null) ? etag : NO_VERSION;
		const answer = await changeFacts({ ...row, ...base }, version, change);
		if (answer === null) return false;
		if (answer.etag !== NO_VERSION) etag = answer.etag;
		take(answer.row);
		return true;
	}

	function draw() {
		facts = Object.fromEntries(Object.keys(FACTS).map((name) => [name, fact(name, row, save)]));
		const list = h(
			"dl",
			{ class: "facts" },
			SHORT_FACTS.map((name) => h("div", null, h("dt", null, FACT[name]), facts[name].place)),
			h(
				"div",
				null,
				h("dt", null, "Added"),
				h(
					"dd",
					null,
					h("time", { datetime: row.created_at, title: momentOf(row.created_at) }, dateOf(row.created_at)),
				),
			),
		);
		body.replaceChildren(
			h("a", { class: "back", href: "/board" }, icon("left"), "Applications"),
			h(
				"div",
				{ class: "page-head" },
				h("div", null, title),
				h(
					"div",
					{ class: "actions" },
					badge,
					prioritySelect(row, (level, control) => setPriority(row, level, control), "Priority"),
					iconButton("bin", "Delete this application", {
						onclick: () => {
							removeLater(row);
							go("/board");
						},
					}),
				),
			),
			steps,
			h(
				"div",
				{ class: "application-parts" },
				place,
				h("aside", { class: "panel facts-panel" }, h("h2", null, "Facts"), list, aside),
			),
		);
		take({});
		showStep();
		if (document.activeElement === document.body) title.focus({ preventScroll: true }); // it was not there before
		if (Object.values(facts).some((one) => one.restored)) toast("What you had typed and was not saved is back.");
	}

	function drawSteps() {
		const next = STATUS[row.status]?.next;
		const held = steps.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
		steps.replaceChildren(
			h(
				"ol",
				null,
				h(
					"li",
					null,
					h(
						"a",
						{ href: path, "aria-current": step === null ? "step" : null },
						h("span", { class: "step-mark" }, icon("resume")),
						h("span", null, "Posting"),
					),
				),
				Object.entries(DOCUMENT).map(([type, one], at) => {
					const done = row[one.flag];
					const locked = !done && one.needs && !row[DOCUMENT[one.needs].flag];
					const word = done
						? "done"
						: type === next
							? "next"
							: locked
								? `after ${DOCUMENT[one.needs].label.toLowerCase()}`
								: "";
					return h(
						"li",
						{ data: { state: done ? "done" : type === next ? "next" : "later" } },
						h(
							"a",
							{ href: `${path}/${type}`, "aria-current": step === type ? "step" : null },
							h(
								"span",
								{ class: "step-mark" },
								done ? icon("check") : locked ? icon("lock") : String(at + 1),
							),
							h("span", null, one.label, h("small", null, word)),
						),
					);
				}),
			),
		);
		if (held !== null) $(`a[href="${held}"]`, steps)?.focus();
	}

	function showStep() {
		open?.close();
		open = null;
		aside.replaceChildren();
		drawSteps();
		if (step === null) return showPosting();
		const one = DOCUMENT[step];
		if (!row[one.flag] && one.needs && !row[DOCUMENT[one.needs].flag]) return showLocked(one);
		showDocument(step);
	}

	function showPosting() {
		const next = STATUS[row.status]?.next;
		place.replaceChildren(
			h(
				"div",
				{ class: "next panel" },
				next
					? [
							h(
								"div",
								null,
								h("h2", null, `Next: ${DOCUMENT[next].label.toLowerCase()}`),
								h("p", { class: "muted" }, DOCUMENT[next].about),
							),
							h("a", { class: "button", href: `${path}/${next}` }, icon("pen"), "Write it"),
						]
					: [
							h(
								"div",
								null,
								h("h2", null, "Everything is written"),
								h("p", { class: "muted" }, "Print the résumé and the letter, and send them."),
							),
							h("a", { class: "button", href: `${path}/cover_letter` }, icon("print"), "To the letter"),
						],
			),
			h(
				"section",
				{ class: "panel", "aria-labelledby": "posting" },
				h("h2", { id: "posting" }, "The posting"),
				facts.job_description.place,
			),
		);
	}

	const showLocked = (one) =>
		place.replaceChildren(
			h(
				"div",
				{ class: "state" },
				icon("lock"),
				h("h2", null, `First: ${DOCUMENT[one.needs].label.toLowerCase()}`),
				h("p", null, "The three documents follow one another, each drawing on the one before."),
				h(
					"p",
					{ class: "actions" },
					h(
						"a",
						{ class: "button", href: `${path}/${STATUS[row.status].next}` },
						`Go to: ${DOCUMENT[STATUS[row.status].next].label.toLowerCase()}`,
					),
				),
			),
		);

	function showDocument(type) {
		const one = DOCUMENT[type];
		const place2 = `${path}/documents/${type}`;
		const label = `${one.label}, ${nameOf(row)}`;
		let opened = false;
		const load2 = async () => {
			if (!opened && !row[one.flag]) return ((opened = true), { text: null, etag: null }); // it is known not to be there
			opened = true;
			try {
				const { data, etag: tag } = await get(place2);
				return { text: data.content, etag: tag };
			} catch (problem) {
				if (problem.status === 404 && row !== null) return { text: null, etag: null };
				throw problem;
			}
		};
		const bin = iconButton("bin", `Delete the ${one.label.toLowerCase()}`, {
			hidden: !row[one.flag],
			onclick: () => removeDocument(type),
		});
		const refresh = async () => {
			const answer = await get(path);
			etag = answer.etag;
			take(answer.data);
			bin.hidden = !row[one.flag];
		};
		open = editor({
			key: `document:${id}:${type}`,
			label,
			href: `${path}/${type}`,
			path: place2,
			method: "PUT",
			least: 10,
			lines: type === "cover_letter",
			placeholder: `${one.about}\n\nMarkdown: # heading, **bold**, - list`,
			load: load2,
			send: async (text, at) => {
				const { etag: tag } = await put(place2, { content: text }, at);
				return { text, etag: tag };
			},
			render: async () => (await get(place2, { accept: "text/html" })).data,
			begin: [
				type === "optimized_resume" && { label: "your primary résumé", text: primaryResume },
				BEGINNINGS[type] && { label: "an outline", text: () => BEGINNINGS[type](row) },
			].filter(Boolean),
			saved: (first) => {
				if (first) refresh().catch(() => {});
			},
			extra: [
				h(
					"button",
					{ type: "button", class: "quiet small", onclick: () => print() },
					icon("print"),
					"Print or PDF",
				),
				bin,
			],
		});
		place.replaceChildren(open.node);
		if (row[one.flag]) showSimilar();
		else showNoSimilar();

		function showNoSimilar() {
			aside.replaceChildren(
				h("p", { class: "hint" }, "Similar documents are shown here once this one has an embedding."),
			);
		}

		/** The server compares documents that have an embedding, and which these are is in the list of them. */
		async function showSimilar() {
			try {
				const { data: all } = await get(`${path}/documents`, { signal: page.signal });
				const own = all.data.find((document) => document.document_type === type);
				if (!own?.has_embedding) return step === type && showNoSimilar();
				const { data } = await post(
					"/documents/similar",
					{ document_id: own.id, limit: 5 },
					{ signal: page.signal },
				);
				if (step === type && data.data.length > 0) drawSimilar(data.data);
			} catch {
				// It is an extra: the document is there without it.
			}
		}

		function drawSimilar(list) {
			aside.replaceChildren(
				h("h2", null, "Similar documents"),
				h(
					"ul",
					{ class: "similar" },
					list.map((found) =>
						h(
							"li",
							null,
							h(
								"a",
								{ href: `/applications/${found.application.id}/${found.document.document_type}` },
								`${DOCUMENT[found.document.document_type].label}, ${nameOf(found.application)}`,
							),
							h("span", { class: "muted" }, ` ${Math.round(found.similarity * 100)} % alike`),
						),
					),
				),
			);
		}
	}

	async function primaryResume() {
		const { data } = await get("/resumes?limit=100");
		const primary = data.data.find((one) => one.is_primary);
		if (primary === undefined)
			throw Object.assign(new Error("You have no résumé yet. Add one under Résumés."), { status: 404 });
		return (await get(`/resumes/${primary.id}`)).data.content;
	}

	async function removeDocument(type) {
		const one = DOCUMENT[type];
		if (
			!(await confirm(`Delete the ${one.label.toLowerCase()}?`, "Its text is gone for good.", "Delete", {
				danger: true,
			}))
		)
			return;
		try {
			await remove(`${path}/documents/${type}`);
			open?.area && (open.area.value = "");
			outbox.discard(`document:${id}:${type}`);
			const answer = await get(path);
			etag = answer.etag;
			take(answer.data);
			toast(`The ${one.label.toLowerCase()} is deleted.`);
			go(path);
		} catch (problem) {
			complain(problem, "Not deleted.");
		}
	}

	load();
	return view;
}
