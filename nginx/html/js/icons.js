// The icons, drawn as lines on a grid of 24.

import { s } from "./dom.js";

const PATHS = {
	plus: "M12 5v14M5 12h14",
	search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5",
	board: "M4 5h4.5v14H4zM9.8 5h4.5v9H9.8zM15.5 5H20v6h-4.5z",
	table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9",
	resume: "M7 3h7l4 4v14H7zM14 3v4h4M10 12h5M10 16h5",
	numbers: "M4 20h16M7 20v-6M12 20V6M17 20v-9",
	person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20c1-4 4-5.5 7.5-5.5s6.500 1.500 7.500 5.500",
	bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
	close: "M6 6l12 12M18 6L6 18",
	check: "M5 12.500l4.500 4.500L19 7.500",
	lock: "M7 11h10v9H7zM9 11V8a3 3 0 0 1 6 0v3",
	pen: "M5 19l1-4L16 5l3 3L9 18z",
	out: "M14 5h5v5M19 5l-8 8M17 13v6H5V7h6",
	leave: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
	print: "M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z",
	copy: "M9 9h11v11H9zM5 15H4V4h11v1",
	star: "M12 4l2.500 5.200 5.500.700-4 4 1 5.600-5-2.700-5 2.700 1-5.600-4-4 5.500-.700z",
	down: "M6 9l6 6 6-6",
	theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
	left: "M15 6l-6 6 6 6",
	warn: "M12 4L2.500 20h19zM12 10v4.500M12 17v.500",
};

/** An icon that says nothing to a screen reader: what it stands on has a name. */
export const icon = (name) =>
	s(
		"svg",
		{ class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", width: 20, height: 20 },
		s("path", { d: PATHS[name] }),
	);
