// Two versions of one thing, side by side; the user says which stays.

import { h } from "./dom.js";
import { button, dialog } from "./ui.js";

const LONGEST = 2000; // lines; longer texts are shown without marks

/** Which lines of `a` and `b` are not in the other's longest common sequence. */
export function differences(a, b) {
	const [one, two] = [a.split("\n"), b.split("\n")];
	let start = 0;
	while (start < one.length && start < two.length && one[start] === two[start]) start++;
	let end = 0;
	while (end < one.length - start && end < two.length - start && one.at(-1 - end) === two.at(-1 - end)) end++;
	const [left, right] = [one.slice(start, one.length - end), two.slice(start, two.length - end)];
	const marks = [new Set(), new Set()];
	if (left.length * right.length > LONGEST * LONGEST) return { lines: [one, two], marks };
	const table = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
	for (let i = left.length - 1; i >= 0; i--)
		for (let j = right.length - 1; j >= 0; j--)
			table[i][j] = left[i] === right[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
	let [i, j] = [0, 0];
	while (i < left.length || j < right.length) {
		if (i < left.length && j < right.length && left[i] === right[j]) [i, j] = [i + 1, j + 1];
		else if (j >= right.length || (i < left.length && table[i + 1][j] >= table[i][j + 1]))
			marks[0].add(start + i++);
		else marks[1].add(start + j++);
	}
	return { lines: [one, two], marks };
}

const pane = (title, lines, marks, name) =>
	h(
		"section",
		{ class: "version" },
		h("h3", null, title),
		h(
			"pre",
			{ tabindex: 0, role: "group", "aria-label": title, autofocus: name === "mine" },
			lines.map((line, at) => h("span", { class: marks.has(at) ? `line ${name}` : "line" }, line, "\n")),
		),
	);

const choices = (close) =>
	h(
		"p",
		{ class: "actions" },
		button("Decide later", { class: "quiet", onclick: () => close() }),
		button("Take the other version", { class: "quiet", onclick: () => close("theirs") }),
		button("Keep mine", { onclick: () => close("mine") }),
	);

/** Texts: "mine", "theirs" or undefined. */
export function textConflict(mine, theirs) {
	const { lines, marks } = differences(mine, theirs);
	return dialog(
		"Changed in another place meanwhile",
		(close) => [
			h(
				"p",
				{ class: "muted" },
				"Another tab or device has saved this since you began. Nothing is overwritten until you choose.",
			),
			h(
				"div",
				{ class: "versions" },
				pane("Yours", lines[0], marks[0], "mine"),
				pane("The saved one", lines[1], marks[1], "theirs"),
			),
			choices(close),
		],
		{ wide: true },
	);
}

/** Fields: `labels` says which and how they are called. */
export const conflictDialog = (mine, theirs, labels) =>
	dialog(
		"Changed in another place meanwhile",
		(close) => [
			h(
				"p",
				{ class: "muted" },
				"Another tab or device has saved this since you began. Nothing is overwritten until you choose.",
			),
			h(
				"div",
				{ class: "scroll" },
				h(
					"table",
					{ class: "table versions-table" },
					h(
						"thead",
						null,
						h(
							"tr",
							null,
							h("th", { scope: "col" }, "Field"),
							h("th", { scope: "col" }, "Yours"),
							h("th", { scope: "col" }, "The saved one"),
						),
					),
					h(
						"tbody",
						null,
						Object.entries(labels)
							.filter(([name]) => name in mine)
							.map(([name, label]) =>
								h(
									"tr",
									{ class: (mine[name] ?? "") === (theirs[name] ?? "") ? "" : "differs" },
									h("th", { scope: "row" }, label),
									h("td", null, mine[name] ?? ""),
									h("td", null, theirs[name] ?? ""),
								),
							),
					),
				),
			),
			choices(close),
		],
		{ wide: true },
	);
