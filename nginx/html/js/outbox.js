// What could not be sent, or is not to be sent yet, is kept in this browser, apart for each user, and offered again.
//
// An entry: { key, label, href, method, path, body, type, etag, absent, base, idempotency, due, automatic, at, error }. `due`
// is the time before which it is not sent, `automatic` that it needs no word of the user, `error` why it cannot be sent as it
// is, `waits` that it is not ready (a text that is still too short), `base` what the fields of `body` were before,
// `sent` which texts of an editor may have arrived though no answer did.

import { get, newKey, post, request } from "./api.js";
import { currentUser } from "./session.js";

const PREFIX = "jobforge-outbox:";
const claims = new Set();
let unstored = new Map(); // where the browser's store is full or closed

/** Events "change", and "sent" (detail: { entry, result }). */
export const outbox = new EventTarget();

const place = () => PREFIX + currentUser()?.id;

function read() {
	try {
		return { ...JSON.parse(localStorage.getItem(place()) ?? "{}"), ...Object.fromEntries(unstored) };
	} catch {
		return Object.fromEntries(unstored);
	}
}

function write(entries) {
	try {
		if (Object.keys(entries).length > 0) localStorage.setItem(place(), JSON.stringify(entries));
		else localStorage.removeItem(place());
		unstored = new Map();
	} catch {
		unstored = new Map(Object.entries(entries));
	}
	outbox.dispatchEvent(new Event("change"));
}

export const all = () => (currentUser() === null ? [] : Object.values(read()));
export const find = (key) => read()[key];

export function keep(entry) {
	write({ ...read(), [entry.key]: { at: Date.now(), ...entry } });
}

/** Creates by POST and returns what was made, or null: it could not be sent now and is kept. */
export async function create(path, body, label) {
	const idempotency = newKey();
	try {
		return (await post(path, body, { key: idempotency })).data;
	} catch (problem) {
		if (!problem.passes) throw problem;
		keep({ key: `create:${idempotency}`, label, method: "POST", path, body, idempotency, automatic: true });
		return null;
	}
}

/** Keeps the change of some fields of what is at `path`, together with those that wait already. */
export function keepChange({ key, label, href, path, etag, change, before }) {
	const kept = find(key);
	const base = Object.fromEntries(Object.keys(change).map((name) => [name, before[name] ?? null]));
	keep({
		key,
		label,
		href,
		method: "PATCH",
		path,
		body: { ...kept?.body, ...change },
		base: { ...base, ...kept?.base },
		etag: kept?.etag ?? etag,
		automatic: true,
	});
}

export function discard(key) {
	const { [key]: gone, ...rest } = read();
	if (gone !== undefined) write(rest);
}

/** While claimed, an entry is its view's to send. */
export function claim(key) {
	claims.add(key);
	return () => claims.delete(key) && outbox.dispatchEvent(new Event("change"));
}

/** Those that wait for the user's word or for the network. */
export const waiting = () =>
	all().filter((entry) => !claims.has(entry.key) && !entry.waits && !((entry.due ?? 0) > Date.now()));

/** Whether leaving the page loses something. */
export const atRisk = () => unstored.size > 0;

const locked = (run) => (navigator.locks ? navigator.locks.request("jobforge-outbox", run) : run());

/** Sends an entry. What was changed meanwhile is no obstacle when it is something else, or this very entry. */
async function deliver({ method, path, body, type, etag, absent, base, idempotency }) {
	try {
		return await request(method, path, { body, type, etag, absent, key: idempotency, once: true });
	} catch (problem) {
		if (problem.status !== 412) throw problem;
		const current = await get(path, { once: true });
		const is = (values, name) => (current.data[name] ?? null) === values[name];
		const names = Object.keys(body);
		if (names.every((name) => is(body, name))) return current;
		if (!base || !names.every((name) => is(body, name) || is(base, name))) throw problem;
		return request(method, path, { body, etag: current.etag, once: true });
	}
}

async function send(entry) {
	const { method } = entry;
	try {
		const result = await deliver(entry);
		discard(entry.key);
		outbox.dispatchEvent(new CustomEvent("sent", { detail: { entry, result } }));
	} catch (problem) {
		if (method === "DELETE" && problem.status === 404) return discard(entry.key);
		if (problem.passes) throw problem;
		keep({ ...entry, error: { status: problem.status, detail: problem.message } });
	}
}

/** Sends what may be sent: with `everything` also what needs the user's word. Throws when the network fails. */
export const flush = (everything = false) =>
	locked(async () => {
		for (const entry of waiting()) if (everything || (entry.automatic && !entry.error)) await send(entry);
	});

addEventListener("storage", (event) => {
	if (event.key?.startsWith(PREFIX)) outbox.dispatchEvent(new Event("change"));
});
