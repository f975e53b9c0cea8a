// What could not be sent, or is not to be sent yet, is kept in this browser, apart for each user, and offered again; so is what
// is on its way, as the page may be left before it is answered. What is older never takes the place of what is newer, whichever
// tab either is of: a change is sent by `update`, which waits until the kept one of the same key is answered, and takes out of it
// what the server has got by the newer one.
//
// An entry: { key, label, href, method, path, body, type, etag, absent, base, idempotency, due, automatic, at, error }. `due`
// is the time before which it is not sent, `automatic` that it needs no word of the user, `error` why it cannot be sent as it
// is, `waits` that it is not ready (a text that is still too short), `base` what the fields of `body` were before,
// `sent` which texts of an editor may have arrived though no answer did.

import { get, newKey, patch, post, request } from "./api.js";
import { sleep } from "./dom.js";
import { currentUser, ownerId } from "./session.js";

const PREFIX = "jobforge-outbox:";
const PASSING = 100; // ms that what is stored may take from one tab to another
const SENDING = 5000; // ms for an answer before other tabs tell of it
const claims = new Set(); // { key }
const unstored = new Map(); // where the browser's store is full or closed
let queued = 0; // changes that are not sent yet because an older one is on its way

/** Events "change", and "sent" (detail: { entry, result }). */
export const outbox = new EventTarget();

const changed = () => outbox.dispatchEvent(new Event("change"));

/** Where an entry is: each has an item of its own, or tabs that write at once would undo what the other did. */
const place = (key) => `${PREFIX}${ownerId()}:${key}`;

function read(name) {
	try {
		return unstored.get(name) ?? JSON.parse(localStorage.getItem(name)) ?? undefined;
	} catch {
		return undefined;
	}
}

function store(name, entry) {
	try {
		localStorage.setItem(name, JSON.stringify(entry));
		unstored.delete(name);
	} catch {
		unstored.set(name, entry);
	}
}

const places = () => [...new Set([...Object.keys(localStorage), ...unstored.keys()])];

/** All of the user's, the oldest first. */
export function all() {
	if (currentUser() === null) return [];
	const entries = places().map((name) => (name.startsWith(place("")) ? read(name) : undefined));
	return entries.filter((entry) => entry !== undefined).sort((a, b) => a.at - b.at);
}

export const find = (key) => read(place(key));

/** Whether an entry is still the one that is kept, and nothing newer has taken its place. */
const isKept = (entry) => JSON.stringify(find(entry.key)) === JSON.stringify(entry);

export function keep(entry) {
	store(place(entry.key), { at: Date.now(), ...entry });
	changed();
}

export function discard(key) {
	if (find(key) === undefined) return;
	unstored.delete(place(key));
	localStorage.removeItem(place(key));
	for (const [name, entry] of unstored) store(name, entry); // there may be room now
	changed();
}

/** Runs it when nothing else of this key is under way, in this tab or another. */
export const inTurn = (key, run) => (navigator.locks ? navigator.locks.request(place(key), run) : run());

/**
 * Keeps an entry while `run` sends it, and returns what that does, or null: it could not be sent now and stays. When it was
 * sent or refused, `before`, which was kept under the key, is there again.
 */
async function keepWhile(run, entry, before) {
	const { key } = entry;
	const free = claim(key);
	keep({ ...entry, due: Date.now() + SENDING });
	const kept = find(key);
	let left = before;
	try {
		return await run();
	} catch (problem) {
		if (!problem.passes) throw problem;
		left = { ...kept, due: 0 };
		return null;
	} finally {
		if (isKept(kept)) left === undefined ? discard(key) : keep(left);
		free();
	}
}

/** Creates by POST and returns what was made, or null: it could not be sent now and is kept. */
export function create(path, body, label) {
	const idempotency = newKey();
	const key = `create:${idempotency}`;
	const send = async () => (await post(path, body, { key: idempotency })).data;
	return inTurn(key, () => keepWhile(send, { key, label, method: "POST", path, body, idempotency, automatic: true }));
}

/**
 * Changes some fields of what is at `path` and returns the answer, or null: it could not be sent now and is kept, together with
 * what waits already under the key. `label` makes the entry's label of the names of its fields, `before` is what the user began
 * with.
 */
export function update({ key, label, href, path, etag, change, before }) {
	queued++;
	return inTurn(key, async () => {
		queued--;
		const kept = find(key);
		const body = { ...kept?.body, ...change };
		const entry = {
			key,
			label: label(Object.keys(body)),
			href,
			method: "PATCH",
			path,
			body,
			base: { ...kept?.base, ...origin(key, change, before) },
			etag: kept?.etag ?? etag,
			automatic: true,
		};
		const answer = await keepWhile(() => patch(path, change, { etag }), entry, kept);
		if (answer !== null) forget(key, Object.keys(change), label);
		return answer;
	});
}

/** What the fields of a change were before: where the user began with a change that still waits, what was before that. */
export function origin(key, change, before) {
	const kept = find(key);
	const waits = (name) => kept?.base !== undefined && name in kept.base && kept.body[name] === (before[name] ?? null);
	return Object.fromEntries(
		Object.keys(change).map((name) => [name, waits(name) ? kept.base[name] : (before[name] ?? null)]),
	);
}

/** Takes out of a kept change the fields of which the user and the server know better now; the others still are to be sent. */
export function forget(key, fields, label) {
	const kept = find(key);
	if (kept === undefined || !fields.some((name) => name in kept.body)) return;
	const rest = (values) => Object.fromEntries(Object.entries(values ?? {}).filter(([name]) => !fields.includes(name)));
	const left = Object.keys(rest(kept.body));
	if (left.length === 0) return discard(key);
	// What was wrong may have been with those that are gone.
	keep({ ...kept, label: label(left), body: rest(kept.body), base: rest(kept.base), error: undefined });
}

/** While claimed, an entry is its view's to send. */
export function claim(key) {
	const mine = { key };
	claims.add(mine);
	return () => claims.delete(mine) && changed();
}

const isClaimed = ({ key }) => [...claims].some((one) => one.key === key);

/** Those that wait for the user's word or for the network. */
export const waiting = () =>
	all().filter((entry) => !isClaimed(entry) && !entry.waits && !((entry.due ?? 0) > Date.now()));

/** Whether leaving the page loses something. */
export const atRisk = () => unstored.size > 0 || queued > 0;

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

/** Sends an entry. What has taken its place meanwhile, as a text that was typed on, stays as it is. */
async function send(entry) {
	try {
		const result = await deliver(entry);
		if (isKept(entry)) discard(entry.key);
		outbox.dispatchEvent(new CustomEvent("sent", { detail: { entry, result } }));
	} catch (problem) {
		if (problem.passes) throw problem;
		if (!isKept(entry)) return;
		if (entry.method === "DELETE" && problem.status === 404) return discard(entry.key);
		keep({ ...entry, error: { status: problem.status, detail: problem.message } });
	}
}

/** Sends what may be sent: with `everything` also what needs the user's word. Throws when the network fails. */
export async function flush(everything = false) {
	const ready = () => waiting().filter((entry) => everything || (entry.automatic && !entry.error));
	for (const { key } of ready())
		await inTurn(key, async () => {
			await sleep(PASSING); // or it might be sent as it was before another tab, whose turn is just over, took something out
			const entry = ready().find((one) => one.key === key);
			if (entry !== undefined) await send(entry);
		});
}

addEventListener("storage", (event) => {
	if (event.key?.startsWith(PREFIX)) changed();
});

// Until each had an item of its own, all of a user's were in one.
for (const name of places().filter((one) => /^jobforge-outbox:[^:]+$/.test(one))) {
	const entries = Object.entries(read(name) ?? {});
	localStorage.removeItem(name);
	for (const [key, entry] of entries) store(`${name}:${key}`, entry);
}
