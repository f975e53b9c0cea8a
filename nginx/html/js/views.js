// The table of views: an address, and the module that is loaded when it is first shown. What a view is says router.js.

export const VIEWS = [
	[/^\/board$/, () => import("./views/board.js")],
	[/^\/table$/, () => import("./views/table.js")],
	[/^\/new(?:\/(?<by>paste|csv))?$/, () => import("./views/new.js")],
	[
		/^\/applications\/(?<id>[0-9a-f-]{36})(?:\/(?<step>research_report|optimized_resume|cover_letter))?$/,
		() => import("./views/application.js"),
	],
	[/^\/resumes$/, () => import("./views/resumes.js")],
	[/^\/resumes\/(?<id>new|[0-9a-f-]{36})$/, () => import("./views/resume.js")],
	[/^\/search$/, () => import("./views/search.js")],
	[/^\/numbers$/, () => import("./views/numbers.js")],
	[/^\/account$/, () => import("./views/account.js")],
	[/^\/account\/history$/, () => import("./views/history.js")],
	[/^\/(?<form>sign-in|sign-up)$/, () => import("./views/sign.js")],
	[/^/, () => import("./views/missing.js")],
];
