// Search everywhere: applications, documents, résumés. What is known is shown at once, the rest as it comes.

import { get, withQuery } from "../api.js";
import { $$, debounce, h } from "../dom.js";
import { icon } from "../icons.js";
import { DOCUMENT, FOCUS, since } from "../labels.js";
import { go, note } from "../router.js";
import { announce, failure, snippet, statusBadge } from "../ui.js";
import { pageHead } from "./parts.js";

const known = new Map(); // what searches have found so far, by address

const SOURCES = [
	{
		title: "Applications",
		path: "/applications",
		sort: "-rank",
		icon: "board",
		hit: (row) => ({
			href: `/applications/${row.id}`,
			title: `${row.role_title} at ${row.company_name}`,
			more: [row.location, since(row.created_at)].filter(Boolean).join(" · "),
			badge: statusBadge(row.status),
			snippet: row.snippet,
		}),
	},
	{
		title: "Documents",
		path: "/documents",
		icon: "pen",
		hit: (row) => ({
			href: `/applications/${row.application_id}/${row.document_type}`,
			title: `${DOCUMENT[row.document_type].label}, ${row.application.role_title} at ${row.application.company_name}`,
			more: `changed ${since(row.updated_at)}`,
			snippet: row.snippet,
		}),
	},
	{
		title: "Résumés",
		path: "/resumes",
		icon: "resume",
		hit: (row) => ({
			href: `/resumes/${row.id}`,
			title: row.name,
			more: FOCUS[row.focus_area],
			snippet: row.snippet,
		}),
	},
];

const hitNode = (hit, name) =>
	h(
		"li",
		{ class: "hit" },
		h(
			"a",
			{ href: hit.href },
			icon(name),
			h(
				"span",
				{ class: "hit-text" },
				h("strong", null, hit.title),
				h("span", { class: "muted" }, hit.more),
				hit.snippet && h("span", { class: "snippet" }, snippet(hit.snippet)),
			),
			hit.badge,
		),
	);

function parts(words, limit) {
	const low = words.toLowerCase();
	const fits = (hit) => hit.title.toLowerCase().includes(low);
	return SOURCES.map((source) => ({
		...source,
		hits: [...known.values()]
			.filter((one) => one.path === source.path && fits(one.hit))
			.map((one) => ({ ...one.hit, snippet: null }))
			.slice(0, limit),
	}));
}

/** The field and what it finds. `leave` is called before a hit is opened. */
function searchPanel({ words, limit, typed, leave }) {
	const results = h("div", { class: "results" });
	const status = h("p", { class: "hint", role: "status" });
	let controller = new AbortController();

	const draw = (groups, done) => {
		const shown = groups.filter((group) => group.hits.length > 0);
		results.replaceChildren(
			...shown.map((group) =>
				h(
					"section",
					{ "aria-label": group.title },
					h("h2", null, group.title),
					h(
						"ul",
						null,
						group.hits.map((hit) => hitNode(hit, group.icon)),
					),
				),
			),
		);
		const total = groups.reduce((sum, group) => sum + group.hits.length, 0);
		status.textContent = !done ? "Searching" : total === 0 ? "Nothing found." : "";
		if (done) announce(total === 0 ? "Nothing found" : `${total} found`);
	};
	const ask = debounce(async (text) => {
		controller.abort();
		controller = new AbortController();
		const { signal } = controller;
		try {
			const groups = await Promise.all(
				SOURCES.map(async (source) => {
					const { data } = await get(
						withQuery(source.path, { q: text.slice(0, 200), sort: source.sort, limit }),
						{ signal },
					);
					const hits = data.data.map(source.hit);
					for (const hit of hits) known.set(hit.href, { path: source.path, hit });
					return { ...source, hits };
				}),
			);
			if (!signal.aborted) draw(groups, true);
		} catch (problem) {
			if (!signal.aborted) {
				status.textContent = "";
				results.prepend(failure(problem, () => ask(text)));
			}
		}
	}, 150);
	const search = (text) => {
		const trimmed = text.trim();
		if (trimmed === "") {
			ask.cancel();
			controller.abort();
			results.replaceChildren();
			status.textContent = 'Words, "whole phrases", either or, and -without.';
			return;
		}
		draw(parts(trimmed, limit), false);
		ask(trimmed);
	};
	const input = h("input", {
		type: "search",
		name: "search",
		value: words,
		autofocus: true,
		autocomplete: "off",
		spellcheck: "false",
		maxlength: 200,
		placeholder: "Search applications, documents and résumés",
		oninput: () => {
			typed?.(input.value);
			search(input.value);
		},
	});
	const node = h(
		"div",
		{
			class: "search-panel",
			role: "search",
			onkeydown: (event) => {
				const links = $$("a", results);
				const at = links.indexOf(document.activeElement);
				if (event.key === "ArrowDown" && links.length > 0) {
					event.preventDefault();
					links[Math.min(at + 1, links.length - 1)].focus();
				} else if (event.key === "ArrowUp" && at >= 0) {
					event.preventDefault();
					(links[at - 1] ?? input).focus();
				} else if (event.key === "Enter" && event.target === input && links.length > 0) {
					event.preventDefault();
					links[0].click();
				}
			},
			onclick: (event) => event.target.closest("a") && leave?.(),
		},
		h("label", { class: "search-box" }, icon("search"), h("span", { class: "unseen" }, "Search everything"), input),
		status,
		results,
	);
	search(words);
	return { node, input, stop: () => controller.abort() };
}

/** Search on top of the page. */
export function openSearchDialog() {
	const before = document.activeElement;
	const panel = searchPanel({ words: "", limit: 5, leave: () => node.close() });
	const all = h(
		"button",
		{
			type: "button",
			class: "link",
			onclick: () => {
				const words = panel.input.value.trim();
				node.close();
				go(words === "" ? "/search" : `/search?q=${encodeURIComponent(words)}`);
			},
		},
		"All results on a page",
	);
	const node = h(
		"dialog",
		{
			class: "dialog wide search-dialog",
			"aria-label": "Search everything",
			onkeydown: (event) => {
				if (event.key !== "Escape") return;
				event.preventDefault(); // which would empty the field first
				node.close();
			},
			onclose: () => {
				panel.stop();
				node.remove();
				if (before?.isConnected) before.focus();
			},
			onclick: (event) => event.target === node && node.close(),
		},
		panel.node,
		h(
			"p",
			{ class: "search-foot" },
			all,
			h("span", { class: "hint" }, "Arrow keys move, Enter opens, Escape closes"),
		),
	);
	document.body.append(node);
	node.showModal();
	panel.input.focus();
}

export default function search(page) {
	const panel = searchPanel({
		words: page.query.get("q") ?? "",
		limit: 20,
		typed: (words) => note(words.trim() ? { q: words } : {}),
	});
	return {
		title: "Search",
		body: h("div", { class: "page narrow" }, pageHead("Search"), panel.node),
		close: panel.stop,
	};
}
