// The server's rendering of a document: on the screen in a sandboxed frame without scripts, on paper as nodes that are built
// one by one from what a rendering may hold.

import { h } from "./dom.js";

const ELEMENTS = new Set([
	"A",
	"BLOCKQUOTE",
	"BR",
	"CODE",
	"DEL",
	"EM",
	"H1",
	"H2",
	"H3",
	"H4",
	"H5",
	"H6",
	"HR",
	"LI",
	"OL",
	"P",
	"PRE",
	"STRONG",
	"SUP",
	"TABLE",
	"TBODY",
	"TD",
	"TH",
	"THEAD",
	"TR",
	"UL",
]);
const ALIGN = new Set(["left", "right", "center"]);

function copy(node) {
	if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
	if (node.nodeType !== Node.ELEMENT_NODE) return null;
	const children = [...node.childNodes].map(copy);
	if (node.tagName === "INPUT") return document.createTextNode(node.hasAttribute("checked") ? "☑ " : "☐ ");
	if (!ELEMENTS.has(node.tagName)) return /^(SCRIPT|STYLE|TEMPLATE)$/.test(node.tagName) ? null : children;
	const href = node.getAttribute("href") ?? "";
	const align = node.getAttribute("align");
	return h(
		node.tagName.toLowerCase(),
		{
			href: node.tagName === "A" && /^(https?:|mailto:|tel:)/i.test(href) ? href : null,
			start: node.tagName === "OL" ? node.getAttribute("start") : null,
			class: ALIGN.has(align) ? `align-${align}` : null,
		},
		children,
	);
}

/** Nodes of a rendering, for print. */
export const nodesOf = (html) =>
	[...new DOMParser().parseFromString(html, "text/html").body.childNodes].map(copy).flat().filter(Boolean);

/**
 * A frame that shows renderings: show(html). No script runs in it and nothing in it leads anywhere by itself. With `lines`
 * every line of a paragraph stays a line.
 */
export function previewFrame(title, lines = false) {
	const node = h("iframe", { class: "preview", title, sandbox: "allow-same-origin" });
	let scroll = 0;
	node.addEventListener("load", () => {
		const inside = node.contentDocument;
		inside.addEventListener("click", (event) => {
			const link = event.target.closest("a[href]");
			if (link === null) return;
			event.preventDefault();
			if (/^(https?|mailto|tel):$/.test(link.protocol) && link.origin !== location.origin)
				open(link.href, "_blank", "noopener");
		});
		inside.addEventListener("keydown", (event) => {
			if (event.key === "Escape") node.blur();
		});
		inside.documentElement.scrollTop = scroll;
	});
	return {
		node,
		show: (html) => {
			scroll = node.contentDocument?.documentElement?.scrollTop ?? 0;
			const theme = document.documentElement.dataset.theme;
			node.srcdoc =
				`<!doctype html><html lang="en"${theme ? ` data-theme="${theme}"` : ""}><meta charset="utf-8">` +
				`<title>Preview</title><link rel="stylesheet" href="/preview.css"><body class="paper${lines ? " lines" : ""}">${html}`;
		},
	};
}
