// Parts that several views share.

import { h } from "../dom.js";
import { icon } from "../icons.js";

export const pageHead = (title, ...more) => h("div", { class: "page-head" }, h("h1", null, title), ...more);

const step = (number, title, text, href, label) =>
	h(
		"li",
		null,
		h("span", { class: "step-number", "aria-hidden": "true" }, number),
		h(
			"div",
			null,
			h("h3", null, title),
			h("p", null, text),
			h("a", { class: number === 1 ? "button" : "button quiet", href }, label),
		),
	);

/** What to do first. */
export const firstVisit = () =>
	h(
		"section",
		{ class: "first-visit", "aria-labelledby": "first-visit" },
		h("h2", { id: "first-visit" }, "Welcome. This is how to begin."),
		h(
			"ol",
			null,
			step(
				1,
				"Add a position",
				"Paste the text of a posting: company, role and place are read from it.",
				"/new/paste",
				"Paste a posting",
			),
			step(
				2,
				"Keep your résumé here",
				"Write it once in Markdown, and fit it to each position.",
				"/resumes/new",
				"Add your résumé",
			),
			step(
				3,
				"Bring what you have",
				"A spreadsheet of applications comes in as CSV, with a preview of every row.",
				"/new/csv",
				"Import a CSV file",
			),
		),
		h(
			"p",
			{ class: "muted" },
			"Or ",
			h("a", { href: "/new" }, "fill in the form"),
			". Press ",
			h("kbd", null, "?"),
			" for the keyboard shortcuts.",
		),
	);

/** Tabs that are addresses. */
export const tabs = (label, items) =>
	h(
		"nav",
		{ class: "tabs", "aria-label": label },
		items.map(({ href, text, name, current, disabled }) =>
			disabled
				? h("span", { "aria-disabled": "true" }, name && icon(name), text)
				: h("a", { href, "aria-current": current ? "page" : null }, name && icon(name), text),
		),
	);
