// The bar above the board and the table: search as you type, priorities, states, order. It lives in the address.

import { $, $$, debounce, h } from "./dom.js";
import { icon } from "./icons.js";
import { PRIORITY, STATUS } from "./labels.js";
import { note } from "./router.js";

const ORDERS = {
	"-created_at": "Newest first",
	created_at: "Oldest first",
	"-updated_at": "Changed last",
	company_name: "Company, A to Z",
	"-company_name": "Company, Z to A",
	"-priority_level": "Priority, high first",
	priority_level: "Priority, low first",
};

export const readFilters = (query) => ({
	q: query.get("q") ?? "",
	priority_level: query.getAll("priority").filter((level) => level in PRIORITY),
	status: query.getAll("status").filter((state) => state in STATUS),
	sort: query.get("sort") in ORDERS ? query.get("sort") : "-created_at",
});

/** As the API takes it: a search is at most 200 characters. */
export const toQuery = ({ q, ...filters }) => ({ ...filters, q: q.trim().slice(0, 200) });

export const isFiltered = (filters) =>
	filters.q.trim() !== "" || filters.priority_level.length > 0 || filters.status.length > 0;

function toAddress({ q, priority_level: levels, status, sort }) {
	const words = [...levels.map((level) => ["priority", level]), ...status.map((state) => ["status", state])];
	if (q.trim() !== "") words.unshift(["q", q]);
	if (sort !== "-created_at") words.push(["sort", sort]);
	return words;
}

const toggle = (list, value) => (list.includes(value) ? list.filter((one) => one !== value) : [...list, value]);

/**
 * The bar. `typed(filters)` runs with every key, on what is loaded; `changed(filters)` when the server is to be asked.
 */
export function filterBar(filters, { typed, changed, states = false }) {
	const ask = debounce(() => changed(filters), 220);
	const set = (change, now = true) => {
		Object.assign(filters, change);
		note(toAddress(filters));
		if (now) {
			ask.cancel();
			changed(filters);
		}
	};
	const chips = (legend, key, choices) =>
		h(
			"fieldset",
			{ class: "chips" },
			h("legend", { class: "unseen" }, legend),
			Object.entries(choices).map(([value, choice]) =>
				h(
					"label",
					{ class: "chip" },
					h("input", {
						type: "checkbox",
						name: key,
						value,
						checked: filters[key].includes(value),
						onchange: () => set({ [key]: toggle(filters[key], value) }),
					}),
					h("span", null, choice.label ?? choice),
				),
			),
		);
	const bar = h(
		"div",
		{ class: "filters", role: "search", "aria-label": "Applications" },
		h(
			"label",
			{ class: "search-box" },
			icon("search"),
			h("span", { class: "unseen" }, "Filter applications"),
			h("input", {
				type: "search",
				name: "filter",
				value: filters.q,
				placeholder: "Filter by company, role, words of the posting",
				autocomplete: "off",
				spellcheck: "false",
				maxlength: 200,
				oninput: (event) => {
					set({ q: event.target.value }, false);
					typed(filters);
					ask();
				},
			}),
		),
		chips("Priority", "priority_level", PRIORITY),
		states && chips("Status", "status", STATUS),
		h(
			"label",
			{ class: "sort-box" },
			h("span", { class: "unseen" }, "Order"),
			h(
				"select",
				{ name: "sort", value: filters.sort, onchange: (event) => set({ sort: event.target.value }) },
				Object.entries(ORDERS).map(([value, label]) => h("option", { value }, label)),
			),
		),
	);
	return {
		bar,
		clear: () => {
			$("[name=filter]", bar).value = "";
			for (const box of $$("[type=checkbox]", bar)) box.checked = false;
			set({ q: "", priority_level: [], status: [] });
		},
		setSort: (sort) => {
			$("[name=sort]", bar).value = sort;
			set({ sort });
		},
	};
}
