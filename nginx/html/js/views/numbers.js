// The numbers: applications a week, how far they are, how much they matter. Drawn as SVG.

import { get, withQuery } from "../api.js";
import { h, s } from "../dom.js";
import { PRIORITY, STATUS, shortDay } from "../labels.js";
import { empty, failure, skeleton } from "../ui.js";
import { pageHead } from "./parts.js";

const WEEKS = 12;

const totalOf = async (query, signal) =>
	(await get(withQuery("/applications", { ...query, limit: 1, count: "exact" }), { signal })).data.total;

/** The first moments of the last weeks, Mondays, oldest first. */
function mondays() {
	const now = new Date();
	const monday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - ((now.getDay() + 6) % 7));
	return Array.from(
		{ length: WEEKS + 1 },
		(_, at) => new Date(monday.getFullYear(), monday.getMonth(), monday.getDate() - 7 * (WEEKS - 1 - at)),
	);
}

async function load(signal) {
	const starts = mondays();
	const weeks = starts.slice(0, -1).map((start, at) =>
		totalOf(
			{
				created_after: new Date(start - 1).toISOString(),
				created_before: starts[at + 1].toISOString(),
			},
			signal,
		),
	);
	const statuses = Object.keys(STATUS).map((status) => totalOf({ status }, signal));
	const priorities = Object.keys(PRIORITY).map((level) => totalOf({ priority_level: level }, signal));
	const [total, ...numbers] = await Promise.all([totalOf({}, signal), ...weeks, ...statuses, ...priorities]);
	return {
		total,
		weeks: starts.slice(0, -1).map((start, at) => ({ label: shortDay(start), value: numbers[at] })),
		statuses: Object.entries(STATUS).map(([key, one], at) => ({
			key,
			label: one.label,
			value: numbers[WEEKS + at],
		})),
		priorities: Object.entries(PRIORITY).map(([key, label], at) => ({
			key,
			label,
			value: numbers[WEEKS + 4 + at],
		})),
	};
}

/** A round number at or above the largest. */
function ceiling(value) {
	const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
	return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= value) ?? 1;
}

const dataTable = (caption, head, rows) =>
	h(
		"details",
		null,
		h("summary", null, "As a table"),
		h(
			"table",
			{ class: "table small-table" },
			h("caption", { class: "unseen" }, caption),
			h("thead", null, h("tr", null, h("th", { scope: "col" }, head), h("th", { scope: "col" }, "Applications"))),
			h(
				"tbody",
				null,
				rows.map(({ label, value }) =>
					h("tr", null, h("th", { scope: "row" }, label), h("td", null, String(value))),
				),
			),
		),
	);

function columns(rows) {
	const narrow = innerWidth < 640;
	const [width, height, left, bottom, top] = [narrow ? 330 : 720, 240, 34, 28, 16];
	const labelled = narrow ? 4 : 2; // every how many weeks there is room for a date
	const high = ceiling(Math.max(...rows.map((row) => row.value)));
	const step = (width - left) / rows.length;
	const y = (value) => top + (height - top - bottom) * (1 - value / high);
	const lines = [...new Set([0, high / 2, high])].filter(Number.isInteger);
	return s(
		"svg",
		{
			class: "chart",
			viewBox: `0 0 ${width} ${height}`,
			role: "img",
			"aria-label": `Applications a week: ${rows.map((row) => `${row.label} ${row.value}`).join(", ")}`,
		},
		lines.map((value) => [
			s("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
			s("text", { class: "axis", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, value),
		]),
		rows.map((row, at) =>
			s(
				"g",
				null,
				s("title", null, `Week of ${row.label}: ${row.value}`),
				s("rect", {
					class: "bar",
					x: left + at * step + step * 0.16,
					width: step * 0.68,
					rx: 4,
					y: y(row.value),
					height: Math.max(y(0) - y(row.value), row.value > 0 ? 2 : 0),
				}),
				row.value > 0 &&
					s(
						"text",
						{ class: "value", x: left + (at + 0.5) * step, y: y(row.value) - 5, "text-anchor": "middle" },
						row.value,
					),
				(rows.length - 1 - at) % labelled === 0 &&
					s(
						"text",
						at === rows.length - 1 // beyond the middle of its column there is no room
							? { class: "axis", x: width, y: height - 8, "text-anchor": "end" }
							: { class: "axis", x: left + (at + 0.5) * step, y: height - 8, "text-anchor": "middle" },
						row.label,
					),
			),
		),
	);
}

function bars(rows, name, total) {
	const [width, row, left] = [innerWidth < 640 ? 330 : 460, 40, innerWidth < 640 ? 112 : 128];
	const high = Math.max(...rows.map((one) => one.value), 1);
	return s(
		"svg",
		{
			class: "chart",
			viewBox: `0 0 ${width} ${rows.length * row}`,
			role: "img",
			"aria-label": `${name}: ${rows.map((one) => `${one.label} ${one.value}`).join(", ")}`,
		},
		rows.map((one, at) =>
			s(
				"g",
				null,
				s("text", { class: "label", x: 0, y: at * row + 25 }, one.label),
				s("rect", { class: "track", x: left, y: at * row + 9, width: width - left - 78, height: 22, rx: 5 }),
				s("rect", {
					class: `bar ${one.key}`,
					x: left,
					y: at * row + 9,
					width: ((width - left - 78) * one.value) / high,
					height: 22,
					rx: 5,
				}),
				s("text", { class: "value", x: width - 68, y: at * row + 25 }, one.value),
				s(
					"text",
					{ class: "axis", x: width, y: at * row + 25, "text-anchor": "end" },
					total > 0 ? `${Math.round((100 * one.value) / total)} %` : "",
				),
			),
		),
	);
}

const tile = (value, label) => h("div", { class: "tile" }, h("strong", null, String(value)), h("span", null, label));

export default function numbers(page) {
	const place = h("div", { class: "stack" }, skeleton(1, "block"), skeleton(1, "block"));
	const show = async () => {
		try {
			const found = await load(page.signal);
			if (found.total === 0) {
				return place.replaceChildren(
					empty(
						"No numbers yet",
						"They appear with your first application.",
						h("a", { class: "button", href: "/new/paste" }, "Add an application"),
					),
				);
			}
			const ready = found.statuses.at(-1).value;
			place.replaceChildren(
				h(
					"div",
					{ class: "tiles" },
					tile(found.total, found.total === 1 ? "application" : "applications"),
					tile(found.weeks.at(-1).value, "this week"),
					tile(`${Math.round((100 * ready) / found.total)} %`, "have a letter"),
					tile(found.total - ready, "still to be finished"),
				),
				h(
					"section",
					{ class: "panel" },
					h("h2", null, "Applications a week"),
					columns(found.weeks),
					dataTable("Applications a week", "Week of", found.weeks),
				),
				h(
					"div",
					{ class: "pair charts" },
					h(
						"section",
						{ class: "panel" },
						h("h2", null, "By status"),
						bars(found.statuses, "Applications by status", found.total),
						dataTable("Applications by status", "Status", found.statuses),
					),
					h(
						"section",
						{ class: "panel" },
						h("h2", null, "By priority"),
						bars(found.priorities, "Applications by priority", found.total),
						dataTable("Applications by priority", "Priority", found.priorities),
					),
				),
			);
		} catch (problem) {
			if (!page.signal.aborted) place.replaceChildren(failure(problem, show));
		}
	};
	show();
	return { title: "Numbers", body: h("div", { class: "page" }, pageHead("Numbers"), place) };
}
