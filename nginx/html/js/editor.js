// A Markdown editor that saves by itself. What is typed is kept in the outbox until the server has it; what somebody else has
// saved meanwhile is never overwritten, nor what another tab keeps: each of the two then has an entry, and they are offered
// one after the other.

import { textConflict } from "./conflict.js";
import { debounce, h } from "./dom.js";
import { count } from "./labels.js";
import * as outbox from "./outbox.js";
import { nodesOf, previewFrame } from "./rendered.js";
import { announce, button, complain, failure, skeleton, toast } from "./ui.js";

const PAUSE = 700; // ms without a key before it is saved
const RETRY = 10_000;
const TYPING = 20_000; // within which a save has been tried

const STATES = {
	loading: "Loading",
	empty: "Nothing written yet",
	saved: "Saved",
	typing: "Not saved yet",
	saving: "Saving",
	offline: "Kept here, not sent yet",
	conflict: "Changed in another place",
	failed: "Not saved",
};

const MARKS = [
	["Bold", "B", "**", "**"],
	["Italic", "I", "_", "_"],
	["Heading", "H", "\n## ", ""],
	["List", "•", "\n- ", ""],
	["Link", "↗", "[", "](https://)"],
];

function wrap(area, before, after) {
	const { selectionStart: from, selectionEnd: to, value } = area;
	const atStart = from === 0 || value[from - 1] === "\n";
	const opening = before.startsWith("\n") && atStart ? before.slice(1) : before;
	area.focus();
	// The one way that the browser's own undo knows of.
	if (!document.execCommand("insertText", false, opening + value.slice(from, to) + after)) {
		area.setRangeText(opening + value.slice(from, to) + after, from, to, "end");
		area.dispatchEvent(new Event("input", { bubbles: true }));
	}
	if (from === to && after !== "") area.setSelectionRange(from + opening.length, from + opening.length);
}

/**
 * An editor. Options:
 *     key, label, href, path, method     of the outbox's entry
 *     load()            { text, etag }, text null when there is none yet
 *     send(text, place) writes; place is { etag } or { absent: true }; returns { text, etag }
 *     render()          the server's rendering as HTML
 *     lines             whether the lines of a paragraph stay lines
 *     least             characters that a text must have
 *     begin             [{ label, text() }]: what an empty one may begin with
 *     saved(first)      called after each save
 *     extra             nodes for the end of the bar
 * Returns { node, close, print }.
 */
export function editor(options) {
	const area = h("textarea", {
		class: "markdown",
		"aria-label": options.label,
		spellcheck: "true",
		placeholder: options.placeholder ?? "",
		oninput: () => typed(),
	});
	const light = h("span", { class: "save-state", role: "status", data: { state: "loading" } }, STATES.loading);
	const words = h("span", { class: "muted words" });
	const compare = button("Compare", { class: "small", hidden: true, onclick: () => resolve() });
	const begin = h("div", { class: "begin", hidden: true });
	const frame = previewFrame(`Preview of ${options.label}`, options.lines);
	const paper = h("article", { class: options.lines ? "paper lines print-only" : "paper print-only" });
	const hint = h("p", { class: "hint preview-hint" }, "The preview appears once there is something saved.");
	const page = h("div", { class: "preview-page" }, frame.node, hint);
	frame.node.hidden = true;
	const place = h("div", { class: "editor-panes", data: { pane: "write" } }, skeleton(1, "block"));
	const pane = (name, label) =>
		h(
			"button",
			{
				type: "button",
				class: "quiet small",
				"aria-pressed": String(name === "write"),
				onclick: (event) => {
					place.dataset.pane = name;
					for (const one of event.target.parentNode.children)
						one.setAttribute("aria-pressed", String(one === event.target));
				},
			},
			label,
		);
	const panes = h(
		"div",
		{ class: "pane-switch", role: "group", "aria-label": "Show" },
		pane("write", "Write"),
		pane("preview", "Preview"),
	);
	const marks = h(
		"div",
		{ class: "marks", role: "group", "aria-label": "Markdown" },
		MARKS.map(([label, sign, before, after]) =>
			h(
				"button",
				{
					type: "button",
					class: "icon-button",
					"aria-label": label,
					title: label,
					onclick: () => wrap(area, before, after),
				},
				sign,
			),
		),
	);
	const bar = h("div", { class: "editor-bar" }, light, compare, words, marks, panes, options.extra ?? null);
	const node = h("section", { class: "editor", "aria-label": options.label }, bar, begin, place, paper);

	let server = { text: null, etag: null }; // what the server has, as far as is known
	let theirs = null; // the other version, in a conflict
	let saving = null;
	let mine = null; // the text that is in the outbox from here: what another tab could not send may be in its place
	let lost = []; // texts that were sent and of which no answer came
	let failing = false; // whether the last save did not arrive
	let closed = false;
	let timer = 0;
	let key = options.key; // of this editor's entry
	let unclaim = outbox.claim(key);

	const dirty = () => area.value !== (server.text ?? "");
	const tooShort = () => [...area.value.trim()].length < options.least;
	const at = () => (server.etag ? { etag: server.etag } : { absent: true });

	const show = (state, text = STATES[state]) => {
		light.dataset.state = state;
		if (light.textContent !== text) light.textContent = text;
		compare.hidden = state !== "conflict";
		begin.hidden = !(area.value === "" && server.text === null && options.begin?.length > 0);
		const number = area.value.trim() === "" ? 0 : area.value.trim().split(/\s+/).length;
		words.textContent = number > 0 ? count(number, "word") : "";
	};
	const drop = () => {
		if (mine !== null && outbox.find(key)?.body.content === mine) outbox.discard(key);
		mine = null;
	};
	const keepUnder = (other) => {
		if (other === key) return;
		unclaim();
		key = other;
		unclaim = outbox.claim(key);
	};
	/** While one types, other tabs are not to offer what is on its way already. */
	const keepDraft = (typing = false) => {
		if (!dirty() || area.value === "") return drop();
		const there = outbox.find(key)?.body.content ?? mine;
		if (there !== mine) keepUnder(`${options.key}#${crypto.randomUUID()}`);
		mine = area.value;
		outbox.keep({
			key,
			label: options.label,
			href: options.href,
			method: options.method,
			path: options.path,
			body: { ...options.body, content: mine },
			...at(),
			waits: tooShort(),
			sent: lost,
			due: typing ? Date.now() + TYPING : 0,
		});
	};
	const keepSoon = debounce(() => keepDraft(saving !== null || !failing), 250);
	const saveSoon = debounce(() => save(), PAUSE);

	function typed() {
		keepSoon();
		if (theirs !== null) return;
		if (!dirty()) return show(server.text === null ? "empty" : "saved");
		if (tooShort()) return show("typing", `Saved from ${options.least} characters on`);
		show("typing");
		saveSoon();
	}

	async function save() {
		if (closed || theirs !== null || !dirty() || tooShort()) return;
		if (saving !== null) return saving.then(() => save());
		const text = area.value;
		const first = server.text === null;
		show("saving");
		if (!lost.includes(text)) lost = [...lost.slice(-1), text];
		saving = options.send(text, at());
		try {
			const answer = await saving;
			server = { text, etag: answer.etag };
			failing = false;
			lost = [];
			keepDraft(!closed); // what was typed meanwhile, of the new version
			if (area.value !== text && !closed) typed();
			else show("saved");
			options.saved?.(first);
			renderSoon();
		} catch (problem) {
			failing = true;
			if (!problem.passes) lost = lost.filter((one) => one !== text);
			keepDraft();
			await refused(problem);
		} finally {
			saving = null;
		}
	}

	async function refused(problem) {
		if (problem.status === 412) return meet();
		if (problem.passes) {
			show("offline");
			clearTimeout(timer);
			timer = setTimeout(() => save(), RETRY);
			return;
		}
		const fault = problem.errors?.[0]?.detail;
		show("failed", `Not saved: ${fault ?? problem.message}`);
	}

	/** Finds out what the other version is. */
	async function meet() {
		try {
			const other = await options.load();
			// Something else of it was changed, or it is this editor's own text of before.
			if (other.text !== null && (other.text === server.text || lost.includes(other.text))) {
				server = other;
				return saveSoon();
			}
			if (other.text === area.value) {
				server = other;
				drop();
				return show("saved");
			}
			theirs = other;
			show("conflict");
			announce("This was changed in another place. Compare the two versions.");
		} catch (problem) {
			show("failed", problem.message);
		}
	}

	async function resolve() {
		const answer = await textConflict(area.value, theirs.text ?? "");
		if (answer === undefined) return;
		area.focus();
		server = theirs;
		theirs = null;
		if (answer === "theirs") {
			area.value = server.text ?? "";
			drop();
			show("saved");
			return render();
		}
		keepDraft();
		await save();
	}

	async function render() {
		if (server.text === null) return;
		try {
			const html = await options.render();
			if (closed) return;
			frame.node.hidden = false;
			hint.hidden = true;
			frame.show(html);
			paper.replaceChildren(...nodesOf(html));
		} catch {
			// The preview of before stays.
		}
	}
	const renderSoon = debounce(render, 100);

	async function open() {
		const draft = outbox.all().find((entry) => entry.key.split("#")[0] === options.key);
		keepUnder(draft?.key ?? key);
		mine = draft?.body.content ?? null;
		try {
			server = await options.load();
		} catch (problem) {
			if (closed) return;
			if (draft === undefined) return place.replaceChildren(failure(problem, open));
			server = { text: null, etag: draft.etag ?? null };
		}
		if (closed) return;
		area.value = server.text ?? "";
		place.replaceChildren(h("div", { class: "write-pane" }, area), page);
		if (options.begin)
			begin.replaceChildren(
				"Begin with: ",
				...options.begin.map((one) =>
					button(one.label, {
						class: "quiet small",
						onclick: async () => {
							try {
								area.value = await one.text();
								typed();
								area.focus();
							} catch (problem) {
								complain(problem);
							}
						},
					}),
				),
			);
		show(server.text === null ? "empty" : "saved");
		if (draft !== undefined && draft.body.content !== area.value) {
			area.value = draft.body.content;
			if ((draft.etag ?? null) === (server.etag ?? null) || draft.sent?.includes(server.text)) {
				toast("What you had typed and was not saved is back.");
				typed();
			} else {
				theirs = server;
				show("conflict");
			}
		} else drop();
		render();
	}

	/** Looks for changes from elsewhere when the user comes back to this tab. */
	async function lookAgain() {
		if (
			document.visibilityState !== "visible" ||
			closed ||
			dirty() ||
			saving !== null ||
			theirs !== null ||
			server.text === null
		)
			return;
		try {
			const now = await options.load();
			if (closed || dirty() || saving !== null || now.etag === server.etag) return;
			server = now;
			area.value = now.text ?? "";
			show(now.text === null ? "empty" : "saved");
			render();
		} catch {
			// The next save will tell.
		}
	}

	/** What was typed last, when the editor is left. */
	async function sendRest() {
		if (saving !== null) await saving.catch(() => {});
		if (theirs !== null || failing || !dirty() || tooShort() || !place.contains(area)) return;
		const text = area.value;
		const first = server.text === null;
		try {
			await options.send(text, at());
			if (outbox.find(key)?.body.content === text) outbox.discard(key);
			options.saved?.(first);
		} catch {
			// It is in the outbox.
		}
	}

	const online = () => save();
	const leave = () => keepDraft();
	addEventListener("online", online);
	addEventListener("pagehide", leave);
	document.addEventListener("visibilitychange", lookAgain);
	area.addEventListener("keydown", (event) => {
		if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
		if (event.key === "s") {
			event.preventDefault();
			saveSoon.cancel();
			save();
		} else if (event.key === "b" || event.key === "i") {
			event.preventDefault();
			wrap(area, ...(event.key === "b" ? ["**", "**"] : ["_", "_"]));
		}
	});
	open();

	return {
		node,
		area,
		ready: () => area.isConnected,
		close: () => {
			keepSoon.cancel();
			saveSoon.cancel();
			clearTimeout(timer);
			if (dirty() && place.contains(area)) keepDraft();
			sendRest().finally(() => unclaim());
			closed = true;
			removeEventListener("online", online);
			removeEventListener("pagehide", leave);
			document.removeEventListener("visibilitychange", lookAgain);
		},
	};
}
