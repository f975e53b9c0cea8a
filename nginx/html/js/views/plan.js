// The plan and what of it is used: a part of the account.

import { get } from "../api.js";
import { h } from "../dom.js";
import { count, dateOf } from "../labels.js";
import { failure, skeleton } from "../ui.js";

const MONTHS = 12;
const AMOUNTS = { applications: "Applications", documents: "Documents", embeddings: "Embeddings", bytes: "Space" };
const STATES = {
	trialing: ["Trial", "going"],
	active: ["Active", "ready"],
	past_due: ["Payment is due", "late"],
	canceled: ["Cancelled", "late"],
};
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];
const monthName = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric", timeZone: "UTC" });

/** "0 bytes", "17.1 KiB". */
export function sizeOf(bytes) {
	const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
	return `${(bytes / 1024 ** power).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${UNITS[power]}`;
}

const amountOf = (name, number) => (name === "bytes" ? sizeOf(number) : number.toLocaleString());

function meter(name, used, limit) {
	const words = limit === null ? amountOf(name, used) : `${amountOf(name, used)} of ${amountOf(name, limit)}`;
	const full = limit === null ? 0 : limit === 0 ? 1 : used / limit;
	return h(
		"div",
		{ class: "meter" },
		h("dt", null, AMOUNTS[name]),
		h(
			"dd",
			null,
			h("span", null, words),
			limit !== null &&
				h("progress", {
					max: Math.max(limit, 1),
					value: limit === 0 ? 1 : Math.min(used, limit),
					"aria-label": `${AMOUNTS[name]}: ${words}`,
					data: { full: full >= 1 ? "full" : full >= 0.9 ? "nearly" : "no" },
				}),
		),
	);
}

/** What holds, in a sentence beside its name and state. */
function sentence({ title, period_end: end, limits }) {
	if (end !== null) return `${new Date(end) > new Date() ? "Until" : "It ended on"} ${dateOf(end)}.`;
	const free = Object.values(limits).every((limit) => limit === null);
	return free ? "There is no limit to what you keep here." : `This is what ${title} includes.`;
}

const months = (rows) =>
	h(
		"details",
		null,
		h("summary", null, "Month by month"),
		h(
			"div",
			{ class: "scroll", tabindex: 0, role: "region", "aria-label": "Month by month" },
			h(
				"table",
				{ class: "table small-table" },
				h("caption", { class: "unseen" }, "What was written in each month, and what was held at its end"),
				h(
					"thead",
					null,
					h(
						"tr",
						null,
						["Month", "Applications added", "Documents written", "Held then"].map((head) =>
							h("th", { scope: "col" }, head),
						),
					),
				),
				h(
					"tbody",
					null,
					rows.map((row) =>
						h(
							"tr",
							null,
							h("th", { scope: "row" }, monthName.format(new Date(row.period))),
							h("td", null, row.applications_created.toLocaleString()),
							h("td", null, row.documents_written.toLocaleString()),
							h("td", null, `${count(row.applications, "application")}, ${sizeOf(row.bytes)}`),
						),
					),
				),
			),
		),
	);

const shapes = () => [skeleton(1), skeleton(4)];

/** The panel; it goes away where the server has no plans. */
export function planPanel(signal) {
	const place = h("div", { class: "stack plan" }, shapes());
	const node = h("section", { class: "panel stack", id: "plan", "aria-labelledby": "plan-title" });
	const load = async () => {
		place.replaceChildren(...shapes());
		try {
			const [plan, usage] = await Promise.all([
				get("/subscription", { signal }),
				get(`/usage?limit=${MONTHS}`, { signal }),
			]);
			show(plan.data, usage.data.data);
		} catch (problem) {
			if (signal.aborted) return;
			if (problem.status === 404) node.remove();
			else place.replaceChildren(failure(problem, load, "h3"));
		}
	};
	const show = (plan, rows) => {
		const [word, tone] = STATES[plan.status] ?? [];
		place.replaceChildren(
			h(
				"p",
				{ class: "plan-name" },
				h("strong", null, plan.title),
				word && h("span", { class: "badge", data: { tone } }, word),
				h("span", { class: "muted" }, sentence(plan)),
			),
			h(
				"dl",
				{ class: "meters" },
				Object.keys(AMOUNTS).map((name) => meter(name, plan.used[name], plan.limits[name])),
			),
			...(rows.length > 0 ? [months(rows)] : []),
		);
	};
	node.append(h("h2", { id: "plan-title" }, "Plan and usage"), place);
	load();
	return node;
}
