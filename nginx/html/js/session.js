// Who is signed in. The access token lives in this module alone; the refresh token is a cookie that scripts cannot read.
// Of several tabs one refreshes at a time and gives the others what it got. A page is the page of one user: when another signs
// in, it gives way to a new one, so that nothing that was begun for the one is done for the other.

import { Problem, post, useSession } from "./api.js";

// Which token is the newest, by a name that says nothing of it; none: asking for one is not worth the try.
const SIGNED_IN = "jobforge-signed-in";
const MARGIN = 60_000; // a token is renewed this long before it runs out
const PASSING = 1000; // ms that a token may take from one tab to another

const channel = new BroadcastChannel("jobforge-session");
let user = null;
let owner = null; // the id of the first who was signed in here
let over = new AbortController(); // of the session: aborted when it ends
let token = null;
let expires = 0;
let turn = null; // the name of the token
let timer = 0;
let asking = null;
let askAgain = async () => {};

/** Events "in" (signed in, or another token), "out", "user" (the profile changed). */
export const session = new EventTarget();

const tell = (name) => session.dispatchEvent(new Event(name));
/** Runs it while no other tab does; it is told whether it had to wait for one. */
async function locked(run) {
	if (!navigator.locks) return run(false);
	const name = "jobforge-session";
	const done = await navigator.locks.request(
		name,
		{ ifAvailable: true },
		async (lock) => lock && (await run(false), true),
	);
	return done || navigator.locks.request(name, () => run(true));
}

export const currentUser = () => user;
/** The id of the user whose page this is, also when they have signed out: what they typed here stays theirs. */
export const ownerId = () => owner;
export const mayResume = () => localStorage.getItem(SIGNED_IN) !== null;

/** Says how to sign in again when the session has ended: a function that returns when that is done. */
export function onLost(ask) {
	askAgain = ask;
}

function take(message) {
	if (owner !== null && owner !== message.user.id) {
		end();
		return location.assign("/");
	}
	owner = message.user.id;
	if (user === null) over = new AbortController();
	({ user, token, expires, turn } = message);
	clearTimeout(timer);
	timer = setTimeout(() => refresh(token).catch(() => {}), Math.max(expires - Date.now() - MARGIN, 5000));
	tell("in");
}

function accept(answer) {
	const message = {
		user: answer.user,
		token: answer.access_token,
		expires: Date.now() + answer.expires_in * 1000,
		turn: crypto.randomUUID(),
	};
	localStorage.setItem(SIGNED_IN, message.turn);
	channel.postMessage({ session: message });
	take(message);
}

function end() {
	user = token = null;
	clearTimeout(timer);
	over.abort(new Problem(0, { title: "Signed out", detail: "You are signed out." }));
}

function drop() {
	end();
	localStorage.removeItem(SIGNED_IN);
	tell("out");
}

channel.addEventListener("message", ({ data }) => {
	if (data.session) take(data.session);
	else if (data.user) setUser(data.user, false);
	else if (data.out && user !== null) drop();
});

/** Waits for the token that another tab has got, as long as one may take to come. */
const passed = () =>
	new Promise((resolve) => {
		session.addEventListener("in", resolve, { once: true });
		setTimeout(resolve, PASSING);
	});

/** Gets another token than `used`, unless another tab has got one meanwhile. */
const refresh = (used) =>
	locked(async (waited) => {
		const { signal } = over;
		signal.throwIfAborted(); // or who has signed out would be asked to sign in again
		const newer = () => token !== null && token !== used;
		if (token !== null && !newer() && (waited || localStorage.getItem(SIGNED_IN) !== turn)) await passed();
		if (newer()) return;
		const answer = await post("/auth/refresh", {}, { anonymous: true });
		signal.throwIfAborted();
		accept(answer.data);
	});

async function renew(used) {
	try {
		await refresh(used);
	} catch (problem) {
		if (problem.status !== 401) throw problem;
		asking ??= askAgain().finally(() => {
			asking = null;
		});
		await asking;
	}
}

useSession({
	token: async () => {
		if (token !== null && expires - Date.now() < 10_000) await renew(token);
		return token;
	},
	renew,
	over: () => over.signal,
});

/** Goes on with the session of before; false when there is none any more. */
export async function resume() {
	try {
		await refresh(null);
		return true;
	} catch (problem) {
		if (problem.status !== 401) throw problem;
		localStorage.removeItem(SIGNED_IN);
		return false;
	}
}

async function enter(path, who) {
	accept((await post(path, { ...who, cookie: true }, { anonymous: true })).data);
	if (user === null) await new Promise(() => {}); // it was another's page, and is about to go
}

export const signIn = (email, password) => enter("/auth/login", { email, password });
export const signUp = (email, password, fullName) => enter("/auth/register", { email, password, full_name: fullName });

export async function signOut() {
	await post("/auth/logout", {}, { anonymous: true });
	ended();
}

/** The session is over, here and in the other tabs. */
export function ended() {
	channel.postMessage({ out: true });
	drop();
}

export function setUser(changed, share = true) {
	if (user?.id !== changed.id) return; // they have signed out meanwhile
	user = changed;
	if (share) channel.postMessage({ user });
	tell("user");
}
