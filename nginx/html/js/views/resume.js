// One résumé: name, focus, and its text in the editor.

import { get, patch, remove } from "../api.js";
import { h } from "../dom.js";
import { keepDraft, readDraft, sendDraft } from "../draft.js";
import { editor } from "../editor.js";
import { icon } from "../icons.js";
import { FOCUS } from "../labels.js";
import * as outbox from "../outbox.js";
import { go } from "../router.js";
import { announce, button, complain, confirm, failure, field, form, iconButton, skeleton, toast } from "../ui.js";
import { pageHead } from "./parts.js";
import { duplicate, makePrimary } from "./resumes.js";

const OUTLINE =
	"# Your Name\n\nWhat you do, in a sentence. Where you are, how to reach you.\n\n## Experience\n\n**Role, Company** (from to)\n- What you did, and what came of it\n\n## Skills\n\n\n## Education\n\n";

const DRAFT = "new-resume";

function newResume() {
	const draft = readDraft(DRAFT) ?? {};
	return {
		title: "New résumé",
		body: h(
			"div",
			{ class: "page narrow" },
			h("a", { class: "back", href: "/resumes" }, icon("left"), "Résumés"),
			pageHead("New résumé"),
			form(
				{
					class: "stack panel",
					oninput: (event) => keepDraft(DRAFT, Object.fromEntries(new FormData(event.currentTarget))),
				},
				async (values) => {
					const body = { name: values.name.trim(), focus_area: values.focus_area, content: values.content };
					const made = await sendDraft(DRAFT, values, () =>
						outbox.create("/resumes", body, `New résumé: ${body.name}`),
					);
					if (made === null) {
						toast("It could not be sent and is kept here. It is sent when the network is back.");
						return go("/resumes");
					}
					toast("The résumé is added. From here on it saves by itself.");
					go(`/resumes/${made.id}`, { replace: true });
				},
				h(
					"div",
					{ class: "pair" },
					field({
						label: "Name",
						name: "name",
						required: true,
						maxlength: 255,
						value: draft.name ?? "",
						placeholder: "General",
					}),
					field({
						label: "Focus",
						name: "focus_area",
						as: "select",
						options: FOCUS,
						value: draft.focus_area ?? "software_development",
					}),
				),
				field({
					label: "Text",
					name: "content",
					as: "textarea",
					rows: 16,
					required: true,
					minlength: 100,
					maxlength: 524288,
					value: draft.content ?? OUTLINE,
					hint: "In Markdown, 100 characters or more. Paste what you have; it can be put in shape later.",
				}),
				h("p", { class: "actions" }, button("Add the résumé", { type: "submit" })),
			),
		),
	};
}

export default function resume(page) {
	const { id } = page.params;
	if (id === "new") return newResume();
	const path = `/resumes/${id}`;
	const body = h("div", { class: "page wide" }, skeleton(2), skeleton(1, "block"));
	let open = null;
	let row = null;
	let first = null; // what the page has loaded is what the editor begins with

	const title = h("h1", { class: "unseen", tabindex: -1 });
	const name = h("input", {
		"aria-label": "Name of the résumé",
		class: "title-input",
		maxlength: 255,
		onchange: () => (name.value.trim() === "" ? show() : change({ name: name.value.trim() })),
	});
	const focus = h(
		"select",
		{ "aria-label": "Focus", class: "badge", onchange: () => change({ focus_area: focus.value }) },
		Object.entries(FOCUS).map(([value, label]) => h("option", { value }, label)),
	);
	const badge = h("span", { class: "badge", tabindex: -1, data: { status: "cover_letter_ready" } }, "Primary");
	const promote = button(
		"Make primary",
		{ class: "quiet small", onclick: () => take({ is_primary: true }, makePrimary(row)) },
		icon("star"),
	);

	/** Changes what stands above the text; without a network it is kept and sent later. */
	const change = (values) =>
		take(
			values,
			outbox.update({
				key: `head:${id}`,
				label: () => `Résumé ${row.name}`,
				href: path,
				path,
				change: values,
				before: row,
			}),
		);

	async function take(values, sent) {
		try {
			const answer = await sent;
			Object.assign(row, answer?.data ?? values);
			if (answer !== null) first = null;
		} catch (problem) {
			if (problem.status === undefined) throw problem;
			complain(problem, "Not changed.");
		}
		show();
	}

	function show() {
		const held = document.activeElement === promote;
		title.textContent = row.name;
		if (document.activeElement !== name || name.value.trim() === "") name.value = row.name;
		focus.value = row.focus_area;
		badge.hidden = !row.is_primary;
		promote.hidden = row.is_primary;
		if (held && row.is_primary) badge.focus();
		document.title = `${row.name} · JobForge`;
	}

	const head = () =>
		h(
			"div",
			{ class: "page-head" },
			title,
			name,
			h(
				"div",
				{ class: "actions" },
				badge,
				promote,
				focus,
				iconButton("copy", "Duplicate", {
					onclick: async () => {
						try {
							go(`/resumes/${(await duplicate(id)).id}`);
							toast("A copy is made.");
						} catch (problem) {
							complain(problem);
						}
					},
				}),
				iconButton("bin", "Delete this résumé", { onclick: erase }),
			),
		);

	async function erase() {
		if (!(await confirm(`Delete ${row.name}?`, "The résumé is gone for good.", "Delete", { danger: true }))) return;
		try {
			await remove(path);
			open.area.value = "";
			outbox.discard(`resume:${id}`);
			toast("The résumé is deleted.");
			go("/resumes");
		} catch (problem) {
			complain(problem, "Not deleted.");
		}
	}

	async function load() {
		try {
			const { data, etag } = await get(path, { signal: page.signal });
			row = data;
			first = { text: data.content, etag };
		} catch (problem) {
			if (!page.signal.aborted) body.replaceChildren(failure(problem, load, "h1"));
			return;
		}
		show();
		announce(row.name);
		open = editor({
			key: `resume:${id}`,
			label: row.name,
			href: path,
			path,
			method: "PATCH",
			least: 100,
			load: async () => {
				const known = first;
				first = null;
				if (known !== null) return known;
				const { data, etag } = await get(path);
				return { text: data.content, etag };
			},
			send: async (text, at) => {
				const answer = await patch(path, { content: text }, { etag: at.etag });
				return { text, etag: answer.etag };
			},
			render: async () => (await get(path, { accept: "text/html" })).data,
			extra: h(
				"button",
				{ type: "button", class: "quiet small", onclick: () => print() },
				icon("print"),
				"Print or PDF",
			),
		});
		body.replaceChildren(h("a", { class: "back", href: "/resumes" }, icon("left"), "Résumés"), head(), open.node);
		if (document.activeElement === document.body) title.focus({ preventScroll: true });
	}
	load();
	return { title: "Résumé", body, close: () => open?.close() };
}
