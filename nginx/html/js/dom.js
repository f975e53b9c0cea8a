// Builds nodes. Text becomes text nodes and nothing else: no string is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set([
	"value",
	"checked",
	"disabled",
	"hidden",
	"selected",
	"indeterminate",
	"srcdoc",
	"tabIndex",
]);

function set(node, name, value) {
	if (value === undefined || value === null || value === false) return;
	if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
	else if (name === "class") node.setAttribute("class", value);
	else if (name === "data") Object.assign(node.dataset, value);
	else if (PROPERTIES.has(name) && name in node) node[name] = value;
	else node.setAttribute(name, value === true ? "" : value);
}

function build(node, props, children) {
	node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
	for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
	return node;
}

/** An element of HTML: h("a", { href, class, onclick, data: {} }, "text", node, [nodes], null). */
export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);

/** An element of SVG. */
export const s = (tag, props, ...children) => build(document.createElementNS(SVG, tag), props, children);

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

let ids = 0;

/** An id that no other element has. */
export const newId = (prefix) => `${prefix}-${++ids}`;

/** Calls `run` when it has not been asked to for `ms`. */
export function debounce(run, ms) {
	let timer = 0;
	const later = (...words) => {
		clearTimeout(timer);
		timer = setTimeout(() => run(...words), ms);
	};
	later.cancel = () => clearTimeout(timer);
	return later;
}

export const sleep = (ms, signal) =>
	new Promise((resolve, reject) => {
		const timer = setTimeout(resolve, ms);
		signal?.addEventListener(
			"abort",
			() => {
				clearTimeout(timer);
				reject(signal.reason);
			},
			{ once: true },
		);
	});
