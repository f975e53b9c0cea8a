// Signing in and signing up.

import { h } from "../dom.js";
import { go, nextPath } from "../router.js";
import { signIn, signUp } from "../session.js";
import { button, field, form } from "../ui.js";

const email = (value) =>
	field({
		label: "Email",
		name: "email",
		type: "email",
		autocomplete: "username",
		required: true,
		maxlength: 255,
		value,
	});

/** The fields of signing in; `done` runs when that has worked. */
export const signInForm = (done, { address, fixed } = {}) =>
	form(
		{ class: "stack" },
		async (values) => {
			await signIn(fixed ?? values.email, values.password);
			done();
		},
		fixed ? h("p", null, "You are ", h("strong", null, fixed), ".") : email(address),
		fixed && h("input", { type: "text", name: "username", autocomplete: "username", value: fixed, hidden: true }),
		field({
			label: "Password",
			name: "password",
			type: "password",
			autocomplete: "current-password",
			required: true,
			autofocus: Boolean(fixed),
		}),
		button("Sign in", { type: "submit" }),
	);

const tooLong = (password) => new TextEncoder().encode(password).length > 72;

const signUpForm = (done) =>
	form(
		{ class: "stack" },
		async (values) => {
			if (tooLong(values.password)) {
				throw Object.assign(new Error(), {
					status: 422,
					errors: [{ pointer: "/password", detail: "must have at most 72 bytes" }],
				});
			}
			await signUp(values.email, values.password, values.full_name.trim());
			done();
		},
		field({ label: "Your name", name: "full_name", autocomplete: "name", required: true, maxlength: 255 }),
		email(),
		field({
			label: "Password",
			name: "password",
			type: "password",
			autocomplete: "new-password",
			required: true,
			minlength: 8,
			hint: "8 characters or more. A sentence is good.",
		}),
		button("Create account", { type: "submit" }),
	);

const point = (title, text) => h("li", null, h("strong", null, title), " ", text);

export default function sign(page) {
	const next = page.query.get("next");
	const done = () => go(nextPath(page.query), { replace: true });
	const up = page.params.form === "sign-up";
	const query = next ? `?next=${encodeURIComponent(next)}` : "";
	return {
		title: up ? "Create account" : "Sign in",
		body: h(
			"div",
			{ class: "welcome" },
			h(
				"section",
				{ class: "pitch" },
				h("h1", null, "Every application, and what you wrote for it."),
				h(
					"p",
					{ class: "lead" },
					"JobForge keeps the positions you apply for together with the research, the résumé and the ",
					"letter that go with each.",
				),
				h(
					"ul",
					{ class: "points" },
					point("Paste a posting.", "Company, role and place are read from it."),
					point(
						"One step after another.",
						"Research, résumé, letter: you see what is done and what is next.",
					),
					point("Yours alone.", "The database itself keeps everybody else out, on every statement."),
				),
			),
			h(
				"section",
				{ class: "panel", "aria-labelledby": "sign-title" },
				h("h2", { id: "sign-title" }, up ? "Create your account" : "Sign in"),
				up ? signUpForm(done) : signInForm(done),
				h(
					"p",
					{ class: "muted" },
					up ? "You have an account? " : "New here? ",
					h("a", { href: (up ? "/sign-in" : "/sign-up") + query }, up ? "Sign in" : "Create an account"),
				),
			),
		),
	};
}
