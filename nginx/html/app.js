// Boot: the session, the router, the frame around the views, the keyboard shortcuts.

import { traffic } from "./js/api.js";
import { tell } from "./js/applications.js";
import { $, h } from "./js/dom.js";
import { icon } from "./js/icons.js";
import { count } from "./js/labels.js";
import * as outbox from "./js/outbox.js";
import { go, nextPath, prefetch, routes, start } from "./js/router.js";
import { currentUser, mayResume, onLost, resume, session, setUser, signOut } from "./js/session.js";
import { announce, button, complain, confirm, dialog, failure, iconButton, skeleton, toast } from "./js/ui.js";
import { VIEWS } from "./js/views.js";

const NAV = [
	["/board", "Applications", "board"],
	["/resumes", "Résumés", "resume"],
	["/numbers", "Numbers", "numbers"],
	["/account", "Account", "person"],
];
const OPEN = /^\/sign-(in|up)$/; // views for those who are not signed in

const main = document.getElementById("main");

// ---- The frame ----

function drawFrame() {
	const signedIn = currentUser() !== null || mayResume();
	document.documentElement.toggleAttribute("data-signed-in", signedIn);
	const here = location.pathname;
	const state = JSON.stringify([signedIn, here, !signedIn && location.search]);
	if (main.dataset.frame === state) return; // or what has the focus there would lose it
	main.dataset.frame = state;
	const isHere = (href) =>
		href === "/board" ? /^\/(board|table|new|applications)\b/.test(here) : here.startsWith(href);
	document
		.getElementById("nav")
		.replaceChildren(
			...(!signedIn
				? []
				: NAV.map(([href, label, name]) =>
						h(
							"a",
							{ href, "aria-current": isHere(href) ? "page" : null },
							icon(name),
							h("span", null, label),
						),
					)),
		);
	document.getElementById("tools").replaceChildren(
		...(!signedIn
			? here === "/sign-in"
				? []
				: [
						h(
							"a",
							{ class: "button quiet", href: `/sign-in${OPEN.test(here) ? location.search : ""}` },
							"Sign in",
						),
					]
			: [
					h(
						"button",
						{
							type: "button",
							class: "search-button",
							onclick: openSearch,
							"aria-label": "Search everything",
						},
						icon("search"),
						h("span", null, "Search"),
						h("kbd", null, "/"),
					),
					h("a", { class: "button", href: "/new" }, icon("plus"), h("span", null, "New")),
					iconButton("leave", "Sign out", { onclick: leave, class: "icon-button sign-out" }),
				]),
	);
}

async function leave() {
	const unsent = outbox.all().length;
	if (
		unsent > 0 &&
		!(await confirm(
			"Sign out now?",
			`${count(unsent, "change")} could not be sent yet. They stay in this browser until you sign in again.`,
			"Sign out",
		))
	)
		return;
	try {
		await signOut();
	} catch (problem) {
		complain(problem, "You are still signed in.");
	}
}

// ---- The session ----

/** The session has ended in the middle of something: sign in again on top of it, and it goes on. */
async function askAgain() {
	const user = currentUser();
	const { signInForm } = await import("./js/views/sign.js");
	await dialog(
		"Please sign in again",
		(close) => {
			session.addEventListener("in", () => close(), { once: true });
			session.addEventListener("out", () => close(), { once: true });
			return [
				h("p", { class: "muted" }, "Your session has ended. What you have typed is still here."),
				signInForm(() => {}, { fixed: user?.email }),
				h(
					"p",
					null,
					h(
						"button",
						{ type: "button", class: "link", onclick: () => location.assign("/sign-in") },
						"Sign in as somebody else",
					),
				),
			];
		},
		{ firm: true },
	);
}

const guard = (path) => {
	const pathname = path.split("?")[0];
	if (currentUser() === null) {
		return OPEN.test(pathname) ? null : `/sign-in${pathname === "/" ? "" : `?next=${encodeURIComponent(path)}`}`;
	}
	return pathname === "/" || OPEN.test(pathname) ? "/board" : null;
};

// ---- What waits to be sent, and the network ----

function drawNotices() {
	const box = document.getElementById("notices");
	const entries = currentUser() === null ? [] : outbox.waiting();
	const notices = [];
	if (!navigator.onLine) {
		notices.push(
			h("p", { class: "notice" }, icon("warn"), "You are offline. What you change is kept and sent later."),
		);
	}
	if (entries.length > 0) {
		notices.push(
			h(
				"div",
				{ class: "notice" },
				icon("warn"),
				h(
					"p",
					null,
					entries.length === 1
						? `Not sent yet: ${entries[0].label}.`
						: `${count(entries.length, "change")} not sent yet.`,
				),
				button("Send now", { class: "quiet small", onclick: sendAll }),
				button("Show", { class: "quiet small", onclick: showOutbox }),
			),
		);
	}
	// What has the focus there keeps it, as long as the words are the same.
	if (box.textContent !== notices.map((one) => one.textContent).join("")) box.replaceChildren(...notices);
}

async function sendAll() {
	try {
		await outbox.flush(true);
		const left = outbox.waiting();
		if (left.length === 0) toast("Everything is sent.");
		else showOutbox();
	} catch (problem) {
		complain(problem, "Not sent.");
	}
}

function showOutbox() {
	dialog("Not sent yet", (close) => {
		const list = h("ul", { class: "outbox" });
		const draw = () =>
			list.replaceChildren(
				...outbox.waiting().map((entry) =>
					h(
						"li",
						null,
						h(
							"div",
							null,
							h("strong", null, entry.label),
							entry.error &&
								h(
									"p",
									{ class: "fault" },
									entry.error.status === 412
										? "It was changed elsewhere meanwhile."
										: entry.error.detail,
								),
						),
						entry.href &&
							h("a", { class: "button quiet small", href: entry.href, onclick: () => close() }, "Open"),
						button("Discard", {
							class: "quiet small",
							onclick: () => {
								outbox.discard(entry.key);
								if (outbox.waiting().length === 0) return close();
								draw();
								$("button", list).focus();
							},
						}),
					),
				),
			);
		draw();
		return [
			list,
			h(
				"p",
				{ class: "actions" },
				button("Send all", {
					autofocus: true,
					onclick: () => {
						close();
						sendAll();
					},
				}),
			),
		];
	});
}

const trySending = () => currentUser() !== null && navigator.onLine && outbox.flush().catch(() => {});

let waiting = null;
traffic.addEventListener("wait", ({ detail: { seconds, problem } }) => {
	waiting?.();
	waiting = toast(
		`${problem.status === 429 ? "Too many requests" : "The server is busy"}: trying again in ${seconds} s.`,
		{ ms: seconds * 1000 + 4000 },
	);
});
traffic.addEventListener("answer", () => {
	waiting?.();
	waiting = null;
});

// ---- Keyboard ----

async function openSearch() {
	const { openSearchDialog } = await import("./js/views/search.js");
	openSearchDialog();
}

const KEYS = [
	["/ or Ctrl K", "Search everything"],
	["n", "New application"],
	["b", "Board"],
	["t", "Table"],
	["r", "Résumés"],
	["?", "This list"],
	["Arrow keys, Home, End", "Move between cards or rows"],
	["Enter", "Open"],
	["Escape", "Close"],
];

const showKeys = () =>
	dialog("Keyboard shortcuts", () => [
		h(
			"dl",
			{ class: "keys" },
			KEYS.map(([keys, text]) => h("div", null, h("dt", null, h("kbd", null, keys)), h("dd", null, text))),
		),
		h("p", { class: "muted" }, "Single keys can be switched off under Account."),
	]);

const SINGLE = {
	"/": openSearch,
	n: () => go("/new"),
	b: () => go("/board"),
	t: () => go("/table"),
	r: () => go("/resumes"),
	"?": showKeys,
};

addEventListener("keydown", (event) => {
	if (currentUser() === null || event.defaultPrevented || $("dialog[open]") !== null) return;
	if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
		event.preventDefault();
		return openSearch();
	}
	if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("jobforge-keys") === "off") return;
	if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
	if (!(event.key in SINGLE)) return;
	event.preventDefault();
	SINGLE[event.key]();
});

// ---- Start ----

session.addEventListener("in", () => {
	drawFrame();
	drawNotices();
	if (OPEN.test(location.pathname) && main.childElementCount > 0 && $("dialog[open]") === null) setTimeout(goOn);
});
session.addEventListener("out", () => {
	drawFrame();
	drawNotices();
	announce("You are signed out.");
	go("/sign-in");
});

/** Another tab has signed in while this one showed the form; its own form goes on by itself. */
function goOn() {
	if (currentUser() === null || !OPEN.test(location.pathname)) return;
	go(nextPath(new URLSearchParams(location.search)), { replace: true });
}

session.addEventListener("user", drawFrame);
routes.addEventListener("show", drawFrame);
outbox.outbox.addEventListener("change", drawNotices);
outbox.outbox.addEventListener("sent", ({ detail: { entry, result } }) => {
	if (entry.path === "/me") return setUser(result.data);
	if (!/^\/applications(\/[^/]+)?$/.test(entry.path) || entry.method === "DELETE") return;
	tell(entry.method === "POST" ? "created" : "changed", result.data);
});
addEventListener("online", () => {
	drawNotices();
	trySending();
});
addEventListener("offline", () => {
	drawNotices();
	announce("You are offline.");
});
addEventListener("beforeunload", (event) => outbox.atRisk() && event.preventDefault());
setInterval(() => {
	drawNotices(); // the time of some may have come
	if (outbox.waiting().some((entry) => entry.automatic && !entry.error)) trySending();
}, 20_000);
onLost(askAgain);

const showShapes = () => main.replaceChildren(h("div", { class: "page" }, skeleton(1, "row"), skeleton(3)));

async function boot() {
	drawFrame();
	const late = mayResume() && !OPEN.test(location.pathname) ? setTimeout(showShapes, 500) : 0;
	try {
		if (mayResume()) await resume();
	} catch (problem) {
		main.replaceChildren(failure(problem, boot, "h1"));
		return;
	} finally {
		clearTimeout(late);
	}
	drawFrame();
	drawNotices();
	await start(main, VIEWS, guard);
	trySending();
	addEventListener("pointerdown", prefetch, { once: true });
	addEventListener("keydown", prefetch, { once: true });
}

boot();
