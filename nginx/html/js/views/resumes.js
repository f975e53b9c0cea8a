// The user's résumés: the primary one first.

import { get, newKey, post, remove } from "../api.js";
import { $, $$, h } from "../dom.js";
import { icon } from "../icons.js";
import { FOCUS, since } from "../labels.js";
import * as outbox from "../outbox.js";
import { go } from "../router.js";
import { announce, complain, confirm, empty, failure, iconButton, skeleton, toast } from "../ui.js";
import { pageHead } from "./parts.js";

/** Makes a copy and returns it. */
export async function duplicate(id) {
	const { data } = await get(`/resumes/${id}`);
	const name = `${data.name.slice(0, 245)}, copy`;
	return (await post("/resumes", { name, content: data.content, focus_area: data.focus_area }, { key: newKey() }))
		.data;
}

/** One key for all: which is the primary one is one thing, and what was chosen first must not come after what is chosen now. */
export const makePrimary = (row) =>
	outbox.update({
		key: "primary",
		label: () => `Primary résumé: ${row.name}`,
		href: `/resumes/${row.id}`,
		path: `/resumes/${row.id}`,
		change: { is_primary: true },
		before: row,
	});

export default function resumes(page) {
	const list = h("div", null, skeleton(3, "row"));
	let visible;
	const ready = new Promise((resolve) => {
		visible = resolve;
	});

	async function load() {
		try {
			const rows = [];
			for (let cursor = ""; cursor !== null;) {
				const { data } = await get(`/resumes?limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, {
					signal: page.signal,
				});
				rows.push(...data.data);
				cursor = data.next;
			}
			rows.sort((a, b) => b.is_primary - a.is_primary);
			list.replaceChildren(
				rows.length > 0
					? h("ul", { class: "rows" }, rows.map(item))
					: empty(
							"No résumé yet",
							"Write it once in Markdown. From here it goes into each application and is fitted there.",
							h("a", { class: "button", href: "/resumes/new" }, icon("plus"), "Add your résumé"),
						),
			);
		} catch (problem) {
			if (!page.signal.aborted) list.replaceChildren(failure(problem, load));
		}
		visible();
	}

	/** Does something to a résumé; the focus then is on what stands in its place. */
	const act = (run, done, id) => async () => {
		const at = $$(".row", list).findIndex((row) => row.dataset.id === id);
		try {
			if ((await run()) === null)
				return toast("It could not be sent and is kept here. It is sent when the network is back.");
			announce(done);
			await load();
			($(`[data-id="${id}"] a`, list) ?? $$(".row a", list)[at] ?? $(".row a", list) ?? $("main h1")).focus();
		} catch (problem) {
			complain(problem);
		}
	};

	const item = (row) =>
		h(
			"li",
			{ class: "row", data: { id: row.id } },
			h(
				"a",
				{ class: "card-link", href: `/resumes/${row.id}` },
				h("strong", null, row.name),
				h("span", null, `${FOCUS[row.focus_area]} · changed ${since(row.updated_at)}`),
			),
			h(
				"div",
				{ class: "row-tools" },
				row.is_primary
					? h("span", { class: "badge", data: { status: "cover_letter_ready" } }, "Primary")
					: iconButton("star", `Make ${row.name} the primary résumé`, {
							onclick: act(() => makePrimary(row), `${row.name} is the primary résumé now`, row.id),
						}),
				iconButton("copy", `Duplicate ${row.name}`, {
					onclick: async () => {
						try {
							const copy = await duplicate(row.id);
							toast("A copy is made.");
							go(`/resumes/${copy.id}`);
						} catch (problem) {
							complain(problem);
						}
					},
				}),
				iconButton("bin", `Delete ${row.name}`, {
					onclick: async () => {
						if (
							await confirm(
								`Delete ${row.name}?`,
								"The résumé is gone for good. What you have written for applications stays.",
								"Delete",
								{ danger: true },
							)
						) {
							await act(() => remove(`/resumes/${row.id}`), `${row.name} is deleted`, row.id)();
						}
					},
				}),
			),
		);

	load();
	return {
		title: "Résumés",
		ready,
		body: h(
			"div",
			{ class: "page narrow" },
			pageHead("Résumés", h("a", { class: "button", href: "/resumes/new" }, icon("plus"), "New résumé")),
			list,
		),
	};
}
