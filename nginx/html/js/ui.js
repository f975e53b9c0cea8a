// What all views are made of: fields, dialogs, toasts, badges, and the states of a page that loads, is empty or failed.

import { $, $$, h, newId } from "./dom.js";
import { icon } from "./icons.js";
import { PRIORITY, STATUS, count } from "./labels.js";

// ---- Announcements, toasts ----

/** Says something to a screen reader. */
export function announce(text) {
	const region = document.getElementById("announcer");
	region.textContent = "";
	setTimeout(() => {
		region.textContent = text;
	}, 50);
}

/**
 * Shows a message for a while, longer while it has the focus or the pointer. With `action` it has a button; `ended` is
 * called when it goes without that. Returns a function that takes it away.
 */
export function toast(text, { action, run, ended, ms = 6000, bad = false } = {}) {
	let timer;
	let done = false;
	const holds = new Set();
	const finish = (call) => {
		if (done) return;
		done = true; // what has the focus loses it when the box goes, which is not the end of a rest
		clearTimeout(timer);
		const held = box.contains(document.activeElement);
		box.remove();
		if (held) $("main h1")?.focus();
		call?.();
	};
	const wait = () => {
		clearTimeout(timer);
		if (!done && holds.size === 0) timer = setTimeout(() => finish(ended), ms);
	};
	const hold = (by) => () => {
		holds.add(by);
		clearTimeout(timer);
	};
	const release = (by) => () => {
		holds.delete(by);
		wait();
	};
	const box = h(
		"div",
		{
			class: bad ? "toast bad" : "toast",
			onmouseenter: hold("pointer"),
			onmouseleave: release("pointer"),
			onfocusin: hold("focus"),
			onfocusout: release("focus"),
		},
		h("p", null, text),
		action && h("button", { type: "button", class: "link", onclick: () => finish(run) }, action),
		h(
			"button",
			{ type: "button", class: "icon-button", "aria-label": "Dismiss", onclick: () => finish(ended) },
			icon("close"),
		),
	);
	document.getElementById("toasts").append(box);
	wait();
	return () => finish();
}

/** Tells of something that failed, in a toast. */
export const complain = (problem, what) =>
	toast(what ? `${what} ${problem.message}` : problem.message, { bad: true, ms: 9000 });

// ---- Badges, buttons, notes ----

export const statusBadge = (status) => h("span", { class: "badge", data: { status } }, STATUS[status]?.label ?? status);

/** A select that shows the priority as a badge and changes it at once. */
export const prioritySelect = (row, change, name) =>
	h(
		"select",
		{
			class: "badge priority",
			data: { priority: row.priority_level },
			value: row.priority_level,
			"aria-label": name ?? `Priority of ${row.role_title} at ${row.company_name}`,
			onchange: (event) => {
				event.target.dataset.priority = event.target.value;
				change(event.target.value, event.target);
			},
		},
		Object.entries(PRIORITY).map(([value, label]) => h("option", { value }, label)),
	);

export const iconButton = (name, label, props) =>
	h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, ...props }, icon(name));

export const button = (label, props, ...more) => h("button", { type: "button", ...props }, ...more, label);

/** A link to an address that somebody typed: only what is http or https leads anywhere. */
export function outLink(address, text = address) {
	const fine = /^https?:\/\//i.test(address);
	return fine
		? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text, icon("out"))
		: h("span", null, text);
}

/** A snippet of the server's: matches in <mark>, all else escaped. */
export function snippet(html) {
	const entities = { "&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&#39;": "'", "&apos;": "'" };
	const text = (part) => part.replace(/&(?:lt|gt|amp|quot|apos|#39);/g, (entity) => entities[entity]);
	return html
		.split(/(<mark>.*?<\/mark>)/s)
		.filter(Boolean)
		.map((part) => (part.startsWith("<mark>") ? h("mark", null, text(part.slice(6, -7))) : text(part)));
}

// ---- States of a page ----

/** Grey shapes of the size of what is loading. */
export const skeleton = (lines, kind = "line") =>
	h(
		"div",
		{ class: "skeletons", "aria-hidden": "true" },
		Array.from({ length: lines }, () => h("div", { class: `skeleton ${kind}` })),
	);

export const empty = (title, text, ...actions) =>
	h(
		"div",
		{ class: "state" },
		h("h2", null, title),
		h("p", null, text),
		actions.length > 0 && h("p", { class: "actions" }, actions),
	);

/**
 * What to show in place of what could not be loaded. It tries again by itself when the network is back. In place of a
 * whole page its heading is an h1.
 */
export function failure(problem, again, heading = "h2") {
	const titles = {
		0: "No connection",
		404: "Not found",
		403: "Not allowed",
		429: "Too many requests",
		503: "Not available",
	};
	const box = h(
		"div",
		{ class: "state", role: "alert" },
		h(heading, null, titles[problem.status] ?? "This did not work"),
		h("p", null, problem.status === 404 ? "There is nothing here, or it is not yours." : problem.message),
		problem.retryAfter > 1 && h("p", null, `It is worth another try in ${count(problem.retryAfter, "second")}.`),
		problem.reference && problem.status >= 500 && h("p", { class: "muted" }, `Reference: ${problem.reference}`),
		again &&
			problem.status !== 404 &&
			h("p", { class: "actions" }, button("Try again", { onclick: () => again() })),
		problem.status === 404 &&
			h("p", { class: "actions" }, h("a", { class: "button", href: "/board" }, "To the board")),
	);
	if (again && problem.status === 0) {
		addEventListener("online", () => box.isConnected && again(), { once: true });
	}
	return box;
}

// ---- Fields ----

/** A labelled control: field({ label, name, hint, as: "textarea", options: {}, ...attributes }). */
export function field({ label, name, hint, as = "input", options, ...attributes }) {
	const id = newId(name);
	const described = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
	const control = h(
		as,
		{ id, name, "aria-describedby": described, ...attributes },
		options && Object.entries(options).map(([value, text]) => h("option", { value }, text)),
	);
	if (attributes.value !== undefined) control.value = attributes.value ?? "";
	control.addEventListener("input", () => clearFault(control));
	return h(
		"div",
		{ class: "field" },
		h(
			"label",
			{ for: id },
			label,
			!attributes.required &&
				as !== "select" &&
				attributes.type !== "checkbox" &&
				h("span", { class: "optional" }, " optional"),
		),
		control,
		hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
		h("p", { class: "fault", id: `${id}-error`, hidden: true }),
	);
}

export const controlOf = (form, name) => form.elements.namedItem(name);

export function showFault(control, text) {
	const place = document.getElementById(`${control.id}-error`);
	control.setAttribute("aria-invalid", "true");
	if (place === null) return;
	place.textContent = text;
	place.hidden = false;
}

function clearFault(control) {
	const place = document.getElementById(`${control.id}-error`);
	control.removeAttribute("aria-invalid");
	if (place !== null) place.hidden = true;
}

const planLink = () => h("a", { href: "/account" }, "Your plan and what of it is used");

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** Problems that are about one field, by their kind. */
const FIELDS_OF = { "email-taken": ["email"], "wrong-password": ["current_password", "password"] };

/** Puts each fault at its field and the rest at the form's end; the first field at fault gets the focus. */
export function showProblem(form, problem) {
	const rest = [];
	let first = null;
	for (const { pointer, detail } of problem.errors ?? []) {
		const control = controlOf(form, pointer.split("/").pop());
		if (control?.id) {
			showFault(control, sentence(detail));
			first ??= control;
		} else rest.push(sentence(detail));
	}
	const named = (FIELDS_OF[problem.kind] ?? []).map((name) => controlOf(form, name)).find(Boolean);
	if (named) {
		first = named;
		showFault(first, problem.message);
	} else if (first === null && rest.length === 0) rest.push(problem.message);
	const alert = $(".form-fault", form) ?? form.appendChild(h("p", { class: "form-fault", role: "alert" }));
	alert.replaceChildren(rest.join(" "), ...(problem.kind === "plan-limit" ? [" ", planLink()] : []));
	alert.hidden = rest.length === 0;
	first?.focus();
}

function clearProblems(form) {
	$$("[aria-invalid]", form).forEach(clearFault);
	const alert = $(".form-fault", form);
	if (alert) alert.hidden = true;
}

/** What the browser finds wrong itself, in the same places. */
function findFaults(form) {
	const wrong = [...form.elements].filter((control) => control.willValidate && !control.validity.valid);
	for (const control of wrong)
		showFault(control, control.validity.valueMissing ? "This is needed." : control.validationMessage);
	wrong[0]?.focus();
	return wrong.length > 0;
}

/** A form whose `send(values, form)` runs once at a time and whose problems are shown at its fields. */
export function form(props, send, ...children) {
	let busy = false;
	const node = h(
		"form",
		{
			novalidate: true,
			...props,
			onsubmit: async (event) => {
				event.preventDefault();
				if (busy) return;
				clearProblems(node);
				if (findFaults(node)) return;
				const submit = event.submitter ?? $("[type=submit]", node);
				busy = true;
				submit?.setAttribute("aria-busy", "true");
				try {
					await send(Object.fromEntries(new FormData(node)), node, submit);
				} catch (problem) {
					if (problem.status === undefined) console.error(problem);
					showProblem(node, problem);
				} finally {
					busy = false;
					submit?.removeAttribute("aria-busy");
				}
			},
		},
		...children,
	);
	return node;
}

// ---- Dialogs ----

/**
 * Opens a dialog; `make(close)` gives its content. Returns a promise of what close() was given, undefined for Escape.
 * A `firm` one stays until it is answered.
 */
export function dialog(title, make, { wide = false, firm = false } = {}) {
	return new Promise((resolve) => {
		const id = newId("dialog");
		const before = document.activeElement;
		let answer;
		const close = (value) => {
			answer = value;
			node.close();
		};
		const node = h(
			"dialog",
			{
				class: wide ? "dialog wide" : "dialog",
				"aria-labelledby": id,
				// A browser lets a page refuse the first Escape alone, but not being asked at all.
				closedby: firm ? "none" : null,
				onkeydown: (event) => firm && event.key === "Escape" && event.preventDefault(),
				oncancel: (event) => firm && event.target === node && event.preventDefault(),
				onclose: (event) => {
					if (event.target !== node) return;
					node.remove();
					before?.isConnected && before.focus();
					resolve(answer);
				},
			},
			h(
				"header",
				null,
				h("h2", { id }, title),
				!firm && iconButton("close", "Close", { onclick: () => close() }),
			),
		);
		node.append(...[make(close)].flat());
		document.body.append(node);
		node.showModal();
		($("[autofocus]", node) ?? $("input, textarea, select, .actions button", node))?.focus();
	});
}

/** Asks yes or no. */
export const confirm = (title, text, yes, { danger = false } = {}) =>
	dialog(title, (close) => [
		h("p", null, text),
		h(
			"p",
			{ class: "actions" },
			button("Cancel", { class: "quiet", onclick: () => close(false) }),
			button(yes, { class: danger ? "danger" : "", autofocus: true, onclick: () => close(true) }),
		),
	]);

/**
 * Moves the focus over `items` (a selector) by the arrow keys, Home and End: one of them is in the order of Tab. `across`
 * takes an item and -1 or 1 and gives the item beside it. Returns what to call when items have come or gone.
 */
export function roving(container, items, across) {
	const focusable = "a, button, select, input";
	let marked = null;
	const controls = (item) => (item.matches(focusable) ? [item, ...$$(focusable, item)] : $$(focusable, item));
	const reach = (item, tabIndex) =>
		controls(item).forEach((control) => {
			control.tabIndex = tabIndex;
		});
	const mark = (item) => {
		if (marked === item) return;
		if (marked?.isConnected) reach(marked, -1);
		marked = item;
		reach(item, 0);
	};
	const move = (item, event) => {
		if (!item) return;
		event.preventDefault();
		if (container.contains(item)) mark(item);
		controls(item)[0].focus();
		item.scrollIntoView({ block: "nearest", inline: "nearest" });
	};
	container.addEventListener("focusin", (event) => {
		const item = event.target.closest(items);
		if (item) mark(item);
	});
	container.addEventListener("keydown", (event) => {
		const item = event.target.closest(items);
		if (
			!item ||
			event.altKey ||
			event.ctrlKey ||
			event.metaKey ||
			/SELECT|INPUT|TEXTAREA/.test(event.target.tagName)
		)
			return;
		const list = $$(items, container).filter((one) => !one.hidden);
		const at = list.indexOf(item);
		if (event.key === "ArrowDown") move(list[at + 1], event);
		else if (event.key === "ArrowUp") move(list[at - 1], event);
		else if (event.key === "Home") move(list[0], event);
		else if (event.key === "End") move(list.at(-1), event);
		else if (across && event.key === "ArrowRight") move(across(item, 1), event);
		else if (across && event.key === "ArrowLeft") move(across(item, -1), event);
	});
	return () => {
		const list = $$(items, container);
		if (!marked?.isConnected) marked = list[0] ?? null;
		for (const item of list) reach(item, item === marked ? 0 : -1);
	};
}
