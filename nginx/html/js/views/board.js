// The board: a column for each status, which follows from the documents that are there.

import { Pages, applications, endless, isRemoved, matches, removeLater, setPriority } from "../applications.js";
import { $, $$, h } from "../dom.js";
import { filterBar, isFiltered, readFilters, toQuery } from "../filters.js";
import { icon } from "../icons.js";
import { STATUS, since } from "../labels.js";
import { empty, failure, iconButton, prioritySelect, roving } from "../ui.js";
import { firstVisit, pageHead } from "./parts.js";

const FIRST = 12; // rows of a column: a screen and a half
const PAGE = 50;
let last = null; // what the board showed when it was left: { key, pages }

/** What was kept follows what is changed in other views; where a card would change its column, it is loaded anew. */
function follow({ detail }) {
	const pages = last?.pages[detail?.status];
	const at = pages?.rows.findIndex((row) => row.id === detail.id) ?? -1;
	if (at < 0) last = null;
	else pages.rows[at] = detail;
}
for (const name of ["changed", "created", "restored"]) applications.addEventListener(name, follow);

const rowOf = new WeakMap(); // what a card shows

function card(row) {
	const node = h(
		"li",
		{ class: "card", data: { id: row.id } },
		h(
			"a",
			{ class: "card-link", href: `/applications/${row.id}` },
			h("strong", null, row.company_name),
			h("span", null, row.role_title),
		),
		h("p", { class: "card-facts" }, [row.location, since(row.created_at)].filter(Boolean).join(" · ")),
		h(
			"div",
			{ class: "card-tools" },
			prioritySelect(row, (level, control) => setPriority(row, level, control)),
			iconButton("bin", `Delete ${row.role_title} at ${row.company_name}`, { onclick: () => removeLater(row) }),
		),
	);
	rowOf.set(node, row);
	return node;
}

/** What stands in the place of cards that are loading. They are replaced, never moved. */
const shapes = () => Array.from({ length: 4 }, () => h("li", { class: "skeleton shape", "aria-hidden": "true" }));

/** One column: fills itself from its pages, and goes on when its end comes near. */
function column(status, { signal, across, settled }) {
	const title = `column-${status}`;
	const number = h("span", { class: "count" });
	const list = h("ul", { class: "cards" }, shapes());
	const end = h("div", { class: "column-end" });
	const scroller = h("div", { class: "column-scroll" }, list, end);
	const node = h(
		"section",
		{ class: "column", "aria-labelledby": title, data: { status } },
		h(
			"header",
			null,
			h("h2", { id: title }, STATUS[status].label),
			number,
			h("p", { class: "hint" }, STATUS[status].hint),
		),
		scroller,
	);
	const refreshFocus = roving(list, ".card", across);
	let pages = null;

	const showEnd = () => {
		if (pages.loading === null && !pages.more) {
			end.replaceChildren(list.childElementCount === 0 ? h("p", { class: "column-empty" }, "Nothing here") : "");
		}
		number.textContent = pages.total ?? "";
	};
	const fill = async (mine) => {
		try {
			const rows = await mine.load(signal);
			if (mine !== pages) return false;
			if (list.dataset.stale) {
				delete list.dataset.stale;
				list.replaceChildren();
			}
			list.append(...rows.map(card));
			showEnd();
			refreshFocus();
			return mine.more;
		} catch (problem) {
			if (mine !== pages || signal.aborted) return false;
			for (const shape of $$(".shape", list)) shape.remove();
			end.replaceChildren(failure(problem, () => fill(mine)));
			return false;
		} finally {
			settled();
		}
	};
	const scroll = endless(end, null, () =>
		pages !== null && pages.more && pages.rows.length > 0 ? fill(pages) : false,
	);
	return {
		node,
		status,
		stop: scroll.stop,
		get pages() {
			return pages;
		},
		/** Shows what `next` lists; until it is there, what of the present rows matches stays. */
		show: async (next) => {
			pages = next;
			if (pages.rows.length > 0 || pages.total !== null) {
				list.replaceChildren(...pages.rows.filter((row) => !isRemoved(row.id)).map(card));
				showEnd();
				refreshFocus();
				settled();
			} else {
				list.dataset.stale = "yes";
				await fill(pages);
			}
			if (pages === next) scroll.again();
		},
		/** Hides at once what the search does not find. */
		filter: (words) => {
			for (const item of $$(".card", list)) item.hidden = words.trim() !== "" && !matches(rowOf.get(item), words);
		},
		remove: (id) => {
			const item = $(`[data-id="${id}"]`, list);
			if (item === null) return;
			const beside = item.nextElementSibling ?? item.previousElementSibling;
			if (item.contains(document.activeElement)) (beside ? $("a", beside) : document.querySelector("h1")).focus();
			item.remove();
			pages.rows = pages.rows.filter((row) => row.id !== id);
			pages.total = Math.max(pages.total - 1, 0);
			showEnd();
			refreshFocus();
		},
	};
}

export default function board(page) {
	const filters = readFilters(page.query);
	filters.status = [];
	const lane = h("div", { class: "board", role: "group", "aria-label": "Applications by status" });
	const instead = h("div");
	let visible = null;
	const across = (item, step) => {
		const columns = $$(".column", lane).filter((one) => $(".card:not([hidden])", one) !== null);
		const own = item.closest(".column");
		const at = $$(".card:not([hidden])", own).indexOf(item);
		const beside = columns[columns.indexOf(own) + step];
		const cards = beside ? $$(".card:not([hidden])", beside) : [];
		return cards[Math.min(at, cards.length - 1)];
	};
	const settled = () => {
		if (columns.some((one) => one.pages?.total == null)) return;
		const none = columns.every((one) => one.pages.total === 0);
		const state = !none ? null : isFiltered(filters) ? "nothing" : "first";
		visible();
		if (instead.dataset.state === String(state)) return;
		instead.dataset.state = String(state);
		lane.hidden = none;
		bar.bar.hidden = state === "first";
		instead.replaceChildren(
			...(state === "first"
				? [firstVisit()]
				: state === "nothing"
					? [
							empty(
								"Nothing found",
								"No application matches this filter.",
								h(
									"button",
									{ type: "button", class: "quiet", onclick: () => bar.clear() },
									"Clear the filter",
								),
							),
						]
					: []),
		);
	};
	const ready = new Promise((resolve) => {
		visible = resolve;
	});
	const columns = Object.keys(STATUS).map((status) => column(status, { signal: page.signal, across, settled }));
	lane.append(...columns.map((one) => one.node));

	const load = (fresh = true) => {
		const key = JSON.stringify(filters);
		for (const one of columns) {
			const kept = !fresh && last?.key === key ? last.pages[one.status] : null;
			one.show(kept ?? new Pages("/applications", { ...toQuery(filters), status: one.status }, PAGE, FIRST));
		}
	};
	const bar = filterBar(filters, {
		typed: () => columns.forEach((one) => one.filter(filters.q)),
		changed: () => load(),
	});
	const on = (name, run) => applications.addEventListener(name, run, { signal: page.signal });
	on("removed", ({ detail }) => columns.forEach((one) => one.remove(detail)));
	on("restored", () => load());
	on("created", () => load());
	load(page.state?.scroll === undefined);

	return {
		title: "Board",
		ready,
		body: h(
			"div",
			{ class: "page wide" },
			pageHead(
				"Applications",
				h(
					"div",
					{ class: "views", role: "group", "aria-label": "View" },
					h("a", { href: "/board", "aria-current": "page" }, icon("board"), "Board"),
					h("a", { href: "/table" }, icon("table"), "Table"),
				),
			),
			bar.bar,
			instead,
			lane,
		),
		close: () => {
			columns.forEach((one) => one.stop());
			last = {
				key: JSON.stringify(filters),
				pages: Object.fromEntries(columns.map((one) => [one.status, one.pages])),
			};
		},
	};
}
