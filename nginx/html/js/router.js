// Addresses and views. A view is a module that is loaded when first needed; its default export takes a page and returns
// { title, heading, body, update, close }:
//     page.params, page.query, page.signal    of the address; the signal ends with the view
//     body      a node, at once; what is still loading stands as a skeleton in it
//     ready     a promise, when the page has its height; the scroll position is restored then
//     update    takes another page of the same view and returns a new title, or false to be made anew
//     close     called when the view is left

import { noConnection } from "./api.js";
import { announce, failure } from "./ui.js";

let main;
let views = []; // the last one is shown where no pattern fits
let mayShow = () => null;
let current = null; // { load, view, controller }
let shown = 0;

/** Events "show" after each change of view. */
export const routes = new EventTarget();

/** Begins, with a table of patterns of paths and what loads their views. `guard(path)` gives the path to show instead, or null. */
export function start(place, table, guard) {
	main = place;
	views = table;
	mayShow = guard;
	history.scrollRestoration = "manual";
	addEventListener("popstate", () => show({ back: true }));
	addEventListener("scroll", rememberScroll, { passive: true });
	document.addEventListener("click", followLink);
	return show({ first: true });
}

let scrollTimer = 0;
function rememberScroll() {
	clearTimeout(scrollTimer);
	scrollTimer = setTimeout(() => history.replaceState({ ...history.state, scroll: scrollY }, ""), 150);
}

function followLink(event) {
	const link = event.target.closest?.("a[href]");
	if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
		return;
	if (link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
	if (link.pathname.startsWith("/api/") || /\.[0-9a-z]+$/i.test(link.pathname)) return;
	event.preventDefault();
	if (link.hash && link.pathname === location.pathname) return document.querySelector(link.hash)?.focus();
	go(link.pathname + link.search);
}

/** Loads all views, so that going to one needs no network for its code. */
export const prefetch = () =>
	views.reduce((before, [, load]) => before.then(load, load), Promise.resolve()).catch(() => {});

/** The path that an address asks to go to next, or the board: never another host. */
export function nextPath(query) {
	const next = query.get("next");
	if (!next?.startsWith("/")) return "/board";
	const url = new URL(next, location.origin);
	return url.origin === location.origin ? url.pathname + url.search : "/board";
}

/** Goes to an address. With `replace`, going back does not lead here. */
export function go(path, { replace = false } = {}) {
	clearTimeout(scrollTimer);
	if (!replace) history.replaceState({ ...history.state, scroll: scrollY }, "");
	history[replace || path === location.pathname + location.search ? "replaceState" : "pushState"]({}, "", path);
	return show({});
}

/** Writes the state of a view into its address, without showing it anew. */
export function note(query) {
	const search = new URLSearchParams(query);
	const path = location.pathname + (search.size > 0 ? `?${search}` : "");
	if (path !== location.pathname + location.search) history.replaceState(history.state, "", path);
}

function match(path) {
	const [pattern, load] = views.find(([pattern]) => pattern.test(path));
	return { load, params: { ...pattern.exec(path).groups } };
}

function setTitle(title) {
	document.title = title ? `${title} · JobForge` : "JobForge";
}

/** Shows what the address says. */
export async function show({ first = false, back = false }) {
	const instead = mayShow(location.pathname + location.search);
	if (instead !== null) return go(instead, { replace: true });
	const turn = ++shown;
	const { load, params } = match(location.pathname);
	const scroll = back || first ? (history.state?.scroll ?? 0) : 0;
	const page = { params, query: new URLSearchParams(location.search), state: history.state };
	if (current?.load === load && current.view?.update) {
		page.signal = current.controller.signal;
		const title = current.view.update(page);
		if (title !== false) {
			setTitle(title);
			return routes.dispatchEvent(new Event("show"));
		}
	}
	const controller = new AbortController();
	page.signal = controller.signal;
	const view = await make(load, page);
	if (turn !== shown) return controller.abort();
	current?.controller.abort();
	current?.view.close?.();
	current = { load, view, controller };
	main.replaceChildren(view.body);
	setTitle(view.title);
	routes.dispatchEvent(new Event("show"));
	if (!first) {
		focusHeading();
		announce(view.title);
	}
	scrollTo(0, scroll);
	if (scroll > 0 && view.ready)
		view.ready.then(
			() => turn === shown && scrollTo(0, scroll),
			() => {},
		);
}

async function make(load, page) {
	try {
		return await (await load()).default(page);
	} catch (error) {
		// What import() throws when a module does not arrive; anything else is a fault of ours.
		const lost = error instanceof TypeError && /import|module/i.test(error.message);
		if (!lost) console.error(error);
		const problem = lost ? noConnection() : error;
		return { title: "Not loaded", body: failure(problem, () => location.reload(), "h1") };
	}
}

function focusHeading() {
	const heading = main.querySelector("[autofocus]") ?? main.querySelector("h1");
	if (heading === null) return;
	if (heading.tagName === "H1") heading.tabIndex = -1;
	heading.focus({ preventScroll: true });
}
