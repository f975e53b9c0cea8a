// The user's applications as lists, and what is done to one: all views do it here, so that each hears of it.

import { get, withQuery } from "./api.js";
import { conflictDialog } from "./conflict.js";
import { FACT } from "./labels.js";
import * as outbox from "./outbox.js";
import { complain, toast } from "./ui.js";

const UNDO = 8000;
const AGAIN = 2000; // ms after which other tabs are told anew that it may be undone

/** Events "changed" (detail: the application), "removed", "restored" (detail: its id), "created". */
export const applications = new EventTarget();

export const tell = (name, detail) => applications.dispatchEvent(new CustomEvent(name, { detail }));

const removal = (id) => `remove:${id}`;
export const isRemoved = (id) => outbox.find(removal(id)) !== undefined;

/** A list of the API, a page at a time by its cursor; the first may have another number of rows. */
export class Pages {
	constructor(path, query, limit = 50, first = limit) {
		this.path = path;
		this.query = query;
		this.limit = limit;
		this.first = first;
		this.rows = [];
		this.next = null;
		this.total = null;
		this.loading = null;
	}

	/** Whether there is more, as far as is known. */
	get more() {
		return this.total === null || this.next !== null;
	}

	/** Loads the next page; returns its rows. */
	load(signal) {
		this.loading ??= this.fetch(signal).finally(() => {
			this.loading = null;
		});
		return this.loading;
	}

	async fetch(signal) {
		const place =
			this.next === null ? { limit: this.first, count: "exact" } : { limit: this.limit, cursor: this.next };
		const { data } = await get(withQuery(this.path, { ...this.query, ...place }), { signal });
		this.total = data.total ?? this.total;
		this.next = data.next;
		const rows = data.data.filter((row) => !isRemoved(row.id));
		this.total -= data.total === undefined ? 0 : data.data.length - rows.length;
		this.rows.push(...rows);
		return rows;
	}
}

/** Whether a row is among what a search finds, as far as its row tells: company, role, place. */
export function matches(row, words) {
	const text = `${row.company_name}\n${row.role_title}\n${row.location ?? ""}\n${row.name ?? ""}`.toLowerCase();
	return text.includes(words.trim().toLowerCase());
}

/** Sets the priority; when that fails, `control` shows what it was. */
export async function setPriority(row, level, control) {
	const before = row.priority_level;
	row.priority_level = level;
	try {
		const answer = await outbox.update({
			key: `priority:${row.id}`,
			label: () => `Priority of ${row.role_title} at ${row.company_name}`,
			href: `/applications/${row.id}`,
			path: `/applications/${row.id}`,
			change: { priority_level: level },
			before: { priority_level: before },
		});
		if (answer !== null) tell("changed", answer.data);
	} catch (problem) {
		row.priority_level = before;
		if (control) {
			control.value = before;
			control.dataset.priority = before;
		}
		complain(problem, "The priority was not changed.");
	}
}

/** What the outbox needs of changed facts. */
const factsOf = (row) => ({
	key: `facts:${row.id}`,
	label: (names) => `${names.map((name) => FACT[name]).join(", ")} of ${row.role_title} at ${row.company_name}`,
	href: `/applications/${row.id}`,
	path: `/applications/${row.id}`,
});

/**
 * Changes facts of an application. `base` is the application as the user began with it and `etag` its version: what others
 * have changed since then stays, and where both have changed the same the user is asked. Without a network the change is kept
 * and sent later. Returns { row, etag }, or null when the user has not decided.
 */
export async function changeFacts(base, etag, change) {
	try {
		const answer = await outbox.update({ ...factsOf(base), etag, change, before: base });
		return answer === null ? { row: { ...base, ...change }, etag } : { row: answer.data, etag: answer.etag };
	} catch (problem) {
		if (problem.status !== 412) throw problem;
		return mergeFacts(base, change);
	}
}

async function mergeFacts(base, change) {
	const { key, label, path } = factsOf(base);
	const is = (a, b, name) => (a[name] ?? null) === (b[name] ?? null);
	// In turn, or a change of before that is on its way would come after what is seen here.
	const [theirs, before] = await outbox.inTurn(key, async () => {
		const answer = await get(path);
		const there = Object.keys(change).filter((name) => is(answer.data, change, name));
		outbox.forget(key, there, label);
		return [answer, outbox.origin(key, change, base)];
	});
	let rest = Object.keys(change).filter((name) => !is(theirs.data, change, name));
	const both = rest.filter((name) => !is(theirs.data, base, name) && !is(theirs.data, before, name));
	if (both.length > 0) {
		const labels = Object.fromEntries(both.map((name) => [name, FACT[name]]));
		const answer = await conflictDialog(change, theirs.data, labels);
		if (answer === undefined) return null;
		if (answer === "theirs") {
			rest = rest.filter((name) => !both.includes(name));
			outbox.forget(key, both, label);
		}
	}
	if (rest.length === 0) return { row: theirs.data, etag: theirs.etag };
	return changeFacts(theirs.data, theirs.etag, Object.fromEntries(rest.map((name) => [name, change[name]])));
}

/** Takes an application away at once and deletes it when the time for undoing is over. */
export function removeLater(row) {
	const key = removal(row.id);
	outbox.keep({
		key,
		label: `Delete ${row.role_title} at ${row.company_name}`,
		method: "DELETE",
		path: `/applications/${row.id}`,
		due: Date.now() + UNDO - 200,
		automatic: true,
	});
	const free = outbox.claim(key); // as long as the pointer rests on it, the toast stays
	/** Goes on with the entry as it is, if there is one, when no other tab is sending it. */
	const inTurn = (run) => outbox.inTurn(key, () => run(outbox.find(key)));
	const due = (time) => (entry) => entry && outbox.keep({ ...entry, due: time });
	const timer = setInterval(() => inTurn(due(Date.now() + UNDO)), AGAIN);
	tell("removed", row.id);
	toast(`${row.role_title} at ${row.company_name} is deleted.`, {
		action: "Undo",
		ms: UNDO,
		run: async () => {
			clearInterval(timer);
			const there = await inTurn((entry) => {
				outbox.discard(key);
				free();
				return entry !== undefined;
			});
			if (there) tell("restored", row.id);
			else toast("It is too late: it has been deleted.", { bad: true });
		},
		ended: async () => {
			clearInterval(timer);
			await inTurn(due(0));
			free();
			outbox.flush().catch(() => {});
		},
	});
}

/** Calls `load` when the end of a list comes near, as long as it returns true. */
export function endless(end, root, load) {
	const observer = new IntersectionObserver(
		async (entries) => {
			if (!entries.some((entry) => entry.isIntersecting)) return;
			observer.unobserve(end);
			if (await load()) observer.observe(end);
		},
		{ root, rootMargin: "600px" },
	);
	observer.observe(end);
	return {
		again: () => {
			observer.unobserve(end);
			observer.observe(end);
		},
		stop: () => observer.disconnect(),
	};
}
