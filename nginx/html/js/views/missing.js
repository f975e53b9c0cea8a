// An address at which there is nothing.

import { h } from "../dom.js";

export default () => ({
	title: "Not found",
	body: h(
		"div",
		{ class: "page" },
		h(
			"div",
			{ class: "state" },
			h("h1", null, "There is nothing at this address"),
			h("p", null, "It may have been deleted, or the link is not complete."),
			h("p", { class: "actions" }, h("a", { class: "button", href: "/board" }, "To the board")),
		),
	),
});
