// One résumé: name, focus, and its text in the editor.

import { get, newKey, patch, post, remove } from "../api.js";
import { h } from "../dom.js";
import { editor } from "../editor.js";
import { icon } from "../icons.js";
import { FOCUS } from "../labels.js";
import * as outbox from "../outbox.js";
import { go } from "../router.js";
import { button, complain, confirm, failure, field, form, iconButton, skeleton, toast } from "../ui.js";
import { pageHead } from "./parts.js";
import { duplicate } from "./resumes.js";

const OUTLINE =
	"# Your Name\n\nWhat you do, in a sentence. Where you are, how to reach you.\n\n## Experience\n\n**Role, Company** (from to)\n- What you did, and what came of it\n\n## Skills\n\n\n## Education\n\n";

function newResume() {
	return {
		title: "New résumé",
		body: h(
			"div",
			{ class: "page narrow" },
			h("a", { class: "back", href: "/resumes" }, icon("left"), "Résumés"),
			pageHead("New résumé"),
			form(
				{ class: "stack panel" },
				async (values) => {
					const { data } = await post(
						"/resumes",
						{ name: values.name.trim(), focus_area: values.focus_area, content: values.content },
						{ key: newKey() },
					);
					toast("The résumé is added. From here on it saves by itself.");
					go(`/resumes/${data.id}`, { replace: true });
				},
				h(
					"div",
					{ class: "pair" },
					field({
						label: "Name",
						name: "name",
						required: true,
						maxlength: 255,
						value: "",
						placeholder: "General",
					}),
					field({
						label: "Focus",
						name: "focus_area",
						as: "select",
						options: FOCUS,
						value: "software_development",
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
					value: OUTLINE,
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

	const change = async (values) => {
		try {
			Object.assign(row, (await patch(path, values)).data);
			first = null;
			head();
		} catch (problem) {
			if (problem.status === undefined) throw problem;
			complain(problem, "Not changed.");
			head();
		}
	};
	const place = h("div", { class: "stack" });

	function head() {
		const name = h("input", {
			"aria-label": "Name of the résumé",
			class: "title-input",
			value: row.name,
			maxlength: 255,
			onchange: () => (name.value.trim() === "" ? (name.value = row.name) : change({ name: name.value.trim() })),
		});
		place.replaceChildren(
			h(
				"div",
				{ class: "page-head" },
				h("h1", { class: "unseen", tabindex: -1 }, row.name),
				name,
				h(
					"div",
					{ class: "actions" },
					row.is_primary
						? h("span", { class: "badge", data: { status: "cover_letter_ready" } }, "Primary")
						: button(
								"Make primary",
								{ class: "quiet small", onclick: () => change({ is_primary: true }) },
								icon("star"),
							),
					h(
						"select",
						{
							"aria-label": "Focus",
							class: "badge",
							value: row.focus_area,
							onchange: (event) => change({ focus_area: event.target.value }),
						},
						Object.entries(FOCUS).map(([value, label]) => h("option", { value }, label)),
					),
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
			),
		);
		document.title = `${row.name} · JobForge`;
	}

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
		head();
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
		body.replaceChildren(h("a", { class: "back", href: "/resumes" }, icon("left"), "Résumés"), place, open.node);
	}
	load();
	return { title: "Résumé", body, close: () => open?.close() };
}
