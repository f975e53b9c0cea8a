// What was typed and not sent yet, by the names of forms: kept in this browser, apart for each user, until it is sent or
// given up. What was sent and has not arrived is the outbox's.

import { ownerId } from "./session.js";

const placeOf = (name) => `jobforge-draft:${ownerId()}:${name}`;

/** What is kept under a name, or null. */
export function readDraft(name) {
	try {
		return JSON.parse(localStorage.getItem(placeOf(name)));
	} catch {
		return null;
	}
}

export function keepDraft(name, values) {
	try {
		localStorage.setItem(placeOf(name), JSON.stringify(values));
	} catch {
		// The form itself still has it.
	}
}

/** Sends what a form has: from there on the outbox keeps it, unless it is refused. */
export async function sendDraft(name, values, send) {
	dropDraft(name);
	try {
		const answer = await send();
		dropDraft(name); // what was typed into it meanwhile
		return answer;
	} catch (problem) {
		if (readDraft(name) === null) keepDraft(name, values);
		throw problem;
	}
}

export const dropDraft = (name) => localStorage.removeItem(placeOf(name));

/** Drops all of the user's. */
export function dropDrafts() {
	for (const key of Object.keys(localStorage)) if (key.startsWith(placeOf(""))) localStorage.removeItem(key);
}
