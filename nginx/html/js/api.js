// Requests to /api/v1. One that fails throws a Problem; one that may pass in a moment is sent again here.

import { sleep } from "./dom.js";

const BASE = "/api/v1";
const PATIENCE = 4; // times that a request is sent again
const TIME = 30_000; // ms for an answer
const LONGEST_WAIT = 20; // seconds; who is told to come back later than that is told so

const never = new AbortController().signal;
let session = { token: async () => null, renew: async () => {}, over: () => never };

/**
 * Says where access tokens come from: token() gives one, renew(used) gets another than `used`, over() is a signal that ends with
 * the session of now, with a Problem.
 */
export function useSession(source) {
	session = source;
}

/** Events "wait" (detail: seconds until the next try) and "answer". */
export const traffic = new EventTarget();

/** What went wrong: status 0 when there was no answer. */
export class Problem extends Error {
	constructor(status, details, retryAfter) {
		super(details?.detail || details?.title || `The server answered ${status}.`);
		this.status = status;
		this.kind = details?.type?.split("/").pop() ?? "";
		this.title = details?.title ?? "";
		this.errors = details?.errors ?? [];
		this.reference = details?.instance ?? "";
		this.retryAfter = retryAfter;
	}

	/** Whether what was sent may be sent again as it is, later. */
	get passes() {
		return this.status === 0 || this.status === 429 || this.status >= 502;
	}
}

async function contentOf(answer) {
	const type = answer.headers.get("Content-Type") ?? "";
	if (answer.status === 204) return null;
	return /[/+]json/.test(type) ? answer.json() : answer.text();
}

function headersOf(options, token) {
	const headers = { Accept: options.accept ?? "application/json", "X-Requested-With": "fetch" };
	if (token) headers.Authorization = `Bearer ${token}`;
	if (options.body !== undefined) headers["Content-Type"] = options.type ?? "application/json";
	if (options.etag) headers["If-Match"] = options.etag;
	if (options.absent) headers["If-None-Match"] = "*";
	if (options.key) headers["Idempotency-Key"] = options.key;
	return headers;
}

/** No answer came. */
export function noConnection(late = false) {
	const here = navigator.onLine ? "The server cannot be reached." : "You are offline.";
	return new Problem(0, { title: "No connection", detail: late ? "The server did not answer in time." : here });
}

async function attempt(method, path, options, token) {
	const plain = options.body === undefined || options.type !== undefined;
	const limit = AbortSignal.timeout(options.ms ?? TIME);
	let answer;
	let content;
	try {
		answer = await fetch(BASE + path, {
			method,
			headers: headersOf(options, token),
			signal: options.signal ? AbortSignal.any([options.signal, limit]) : limit,
			body: plain ? options.body : JSON.stringify(options.body),
		});
		content = await contentOf(answer);
	} catch (error) {
		if (options.signal?.aborted) throw error;
		if (answer === undefined || answer.ok) throw noConnection(limit.aborted);
	}
	traffic.dispatchEvent(new Event("answer"));
	if (!answer.ok) throw new Problem(answer.status, content, Number(answer.headers.get("Retry-After")) || undefined);
	return {
		status: answer.status,
		data: content,
		etag: answer.headers.get("ETag"),
		type: answer.headers.get("Content-Type") ?? "",
	};
}

/** Seconds after which to try again, or null: the problem stays. */
function pause(problem, tries, repeatable) {
	const waits = problem.retryAfter ?? 2 ** tries;
	if (tries >= PATIENCE || waits > LONGEST_WAIT) return null;
	if (problem.status === 429 || problem.status === 503) return waits;
	if (problem.kind === "idempotency-busy") return 1;
	if (problem.status === 502 || problem.status === 504) return repeatable ? waits : null;
	return problem.status === 0 && repeatable && navigator.onLine && tries === 0 ? 1 : null;
}

/**
 * Sends a request and returns { status, data, etag, type }.
 * Options: body (an object, or with `type` what is sent as it is), accept, etag (If-Match), absent (only when there is none
 * yet), key (Idempotency-Key: safe to send twice), signal, anonymous, once (never sent again), ms (time for the answer).
 * It is of who is signed in when it is called: nothing is sent for, and nothing shown to, who has signed out since.
 */
export async function request(method, path, options = {}) {
	const repeatable = method === "GET" || options.key !== undefined;
	const over = options.anonymous ? never : session.over();
	const ends = options.signal ? AbortSignal.any([options.signal, over]) : over;
	let renewed = false;
	for (let tries = 0; ;) {
		const token = options.anonymous ? null : await session.token();
		over.throwIfAborted();
		try {
			const answer = await attempt(method, path, options, token);
			if (method === "GET") over.throwIfAborted(); // what was changed is changed
			return answer;
		} catch (problem) {
			if (!(problem instanceof Problem)) throw problem;
			if (over.aborted) throw problem.status === 401 ? over.reason : problem;
			if (problem.status === 401 && !options.anonymous && !renewed) {
				renewed = true;
				await session.renew(token);
				continue;
			}
			const seconds = options.once ? null : pause(problem, tries, repeatable);
			if (seconds === null) throw problem;
			tries++;
			traffic.dispatchEvent(new CustomEvent("wait", { detail: { seconds, problem } }));
			await sleep(seconds * 1000, ends);
		}
	}
}

export const get = (path, options) => request("GET", path, options);
export const post = (path, body, options) => request("POST", path, { body, ...options });
export const patch = (path, body, options) => request("PATCH", path, { body, ...options });
export const put = (path, body, options) => request("PUT", path, { body, ...options });
export const remove = (path, options) => request("DELETE", path, options);

/** A key by which the server knows a creation that is sent twice. */
export const newKey = () => crypto.randomUUID();

/** The path with a query: empty values are left out, arrays repeat. */
export function withQuery(path, query) {
	const search = new URLSearchParams();
	for (const [name, value] of Object.entries(query))
		for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") search.append(name, one);
	return search.size > 0 ? `${path}?${search}` : path;
}
